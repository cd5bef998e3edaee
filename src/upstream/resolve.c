#include "upstream/resolve.h"

#include "base/clock.h"

#include <ares.h>
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define TARGETS RESOLVE_TARGETS_MAX
#define FOUND_CAPACITY 256 /* before doubles are taken out */

struct look_up;

/* One question to the servers. */
struct ask {
    struct look_up *look_up;
    enum dns_type type;
    char name[DNS_NAME_CAPACITY];
    uint16_t port, priority, weight; /* of the addresses that it gives */
};

struct look_up {
    const struct resolve_question *question;
    ares_channel channel;
    unsigned pending; /* questions without an answer so far */
    enum resolve_failure failure;
    uint64_t ttl_ms;
    size_t count;
    struct found {
        struct pools_found found;
        uint16_t priority;
    } found[FOUND_CAPACITY];
    unsigned ask_count;
    struct ask asks[1 + 2 * TARGETS];
    struct dns_answer parsed; /* scratch */
};

struct slice resolve_reason(enum resolve_failure failure)
{
    static const struct slice reasons[] = {
#define REASON(name, reason) {reason, sizeof(reason) - 1},
        RESOLVE_FAILURE_TABLE(REASON)
#undef REASON
    };
    return (size_t)failure < sizeof reasons / sizeof reasons[0] ? reasons[failure] : SLICE_LITERAL("");
}

static void fail(struct look_up *look_up, enum resolve_failure failure)
{
    if (failure > look_up->failure)
        look_up->failure = failure;
}

static void shorten(struct look_up *look_up, uint64_t ttl_ms)
{
    if (ttl_ms < look_up->ttl_ms)
        look_up->ttl_ms = ttl_ms;
}

/* --- what was found --- */

/* `address`: 4 or 16 bytes. */
static void add_address(struct look_up *look_up, const struct ask *ask, int family, const void *address)
{
    if (look_up->count == FOUND_CAPACITY)
        return;
    struct found *found = &look_up->found[look_up->count++];
    memset(found, 0, sizeof *found);
    found->priority = ask->priority;
    found->found.weight = ask->weight > 0 ? ask->weight : 1;
    if (family == AF_INET) {
        struct sockaddr_in *in = (void *)&found->found.address;
        in->sin_family = AF_INET;
        in->sin_port = htons(ask->port);
        memcpy(&in->sin_addr, address, sizeof in->sin_addr);
    } else {
        struct sockaddr_in6 *in6 = (void *)&found->found.address;
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(ask->port);
        memcpy(&in6->sin6_addr, address, sizeof in6->sin6_addr);
    }
}

/* Of one family, IPv4 before IPv6, and the same in any order of arrival. */
static int compare_found(const void *a, const void *b)
{
    const struct found *left = a, *right = b;
    if (left->priority != right->priority)
        return left->priority < right->priority ? -1 : 1;
    return memcmp(&left->found.address, &right->found.address, sizeof left->found.address);
}

/* An address with a port stands in the answer once, at its best priority. */
static int is_in_answer(const struct resolve_answer *answer, const struct pools_found *found)
{
    for (size_t i = 0; i < answer->count; i++)
        if (memcmp(&answer->found[i].address, &found->address, sizeof found->address) == 0)
            return 1;
    return 0;
}

static void write_answer(struct look_up *look_up, struct resolve_answer *answer)
{
    qsort(look_up->found, look_up->count, sizeof look_up->found[0], compare_found);
    for (size_t i = 0; i < look_up->count && answer->count < POOLS_FOUND_MAX; i++) {
        struct pools_found *found = &look_up->found[i].found;
        found->is_backup = look_up->found[i].priority != look_up->found[0].priority;
        if (!is_in_answer(answer, found))
            answer->found[answer->count++] = *found;
    }
    if (answer->count == 0) {
        answer->failure = look_up->failure != RESOLVE_NOTHING ? look_up->failure : RESOLVE_NO_ADDRESS;
        return;
    }
    if (look_up->failure > RESOLVE_NO_ADDRESS)
        shorten(look_up, RESOLVE_PARTIAL_TTL_MS);
    answer->ttl_ms = look_up->ttl_ms;
}

/* --- without asking --- */

static int take_literal(struct look_up *look_up, const struct ask *ask)
{
    uint8_t address[16];
    if (inet_pton(AF_INET, ask->name, address) == 1)
        add_address(look_up, ask, AF_INET, address);
    else if (inet_pton(AF_INET6, ask->name, address) == 1)
        add_address(look_up, ask, AF_INET6, address);
    else
        return 0;
    return 1;
}

/* RFC 6761 section 6.3: such names are never asked for. */
static int is_localhost(const char *name)
{
    struct slice text = slice_of(name), end = SLICE_LITERAL("localhost");
    if (text.length < end.length)
        return 0;
    size_t start = text.length - end.length;
    return slice_equals_nocase((struct slice){name + start, end.length}, end) &&
           (start == 0 || name[start - 1] == '.');
}

static int take_hosts(struct look_up *look_up, const struct ask *ask)
{
    static const int families[] = {AF_INET, AF_INET6};
    size_t before = look_up->count;
    for (size_t i = 0; i < 2; i++) {
        struct hostent *host = NULL;
        if (ares_gethostbyname_file(look_up->channel, ask->name, families[i], &host) != ARES_SUCCESS)
            continue;
        for (char **address = host->h_addr_list; *address; address++)
            add_address(look_up, ask, host->h_addrtype, *address);
        ares_free_hostent(host);
    }
    if (look_up->count == before && is_localhost(ask->name)) {
        add_address(look_up, ask, AF_INET, &(struct in_addr){htonl(INADDR_LOOPBACK)});
        add_address(look_up, ask, AF_INET6, &in6addr_loopback);
    }
    if (look_up->count == before)
        return 0;
    shorten(look_up, RESOLVE_HOSTS_TTL_MS);
    return 1;
}

/* --- asking --- */

static void ask_answered(void *argument, int status, int timeouts, unsigned char *bytes, int length);

static void ask_servers(struct look_up *look_up, const struct ask *like, enum dns_type type)
{
    struct ask *ask = &look_up->asks[look_up->ask_count++];
    *ask = *like;
    ask->look_up = look_up;
    ask->type = type;
    look_up->pending++;
    ares_query(look_up->channel, ask->name, DNS_CLASS_IN, (int)type, ask_answered,
               ask); /* may answer at once */
}

static void ask_addresses(struct look_up *look_up, const struct ask *like)
{
    if (take_hosts(look_up, like))
        return;
    ask_servers(look_up, like, DNS_A);
    ask_servers(look_up, like, DNS_AAAA);
}

/* The scratch is written anew while targets are asked for, if one of them is answered at once. */
static void take_services(struct look_up *look_up)
{
    struct ask targets[TARGETS];
    unsigned count = 0;
    for (uint32_t i = 0; i < look_up->parsed.count && count < TARGETS; i++) {
        const struct dns_record *record = &look_up->parsed.records[i];
        if (record->target[0] == '\0') /* RFC 2782: decidedly no such service */
            continue;
        struct ask *target = &targets[count++];
        *target = (struct ask){.port = record->port, .priority = record->priority, .weight = record->weight};
        memcpy(target->name, record->target, sizeof target->name);
    }
    for (unsigned i = 0; i < count; i++)
        ask_addresses(look_up, &targets[i]);
    if (count == 0)
        fail(look_up, RESOLVE_NO_ADDRESS);
}

static enum resolve_failure failure_of_rcode(unsigned rcode)
{
    switch (rcode) {
    case DNS_NO_ERROR:
        return RESOLVE_NOTHING;
    case DNS_NO_SUCH_NAME:
        return RESOLVE_NO_SUCH_NAME;
    default:
        return RESOLVE_SERVER_FAILED;
    }
}

static void take_message(struct look_up *look_up, const struct ask *ask, const unsigned char *bytes,
                         int length)
{
    struct dns_answer *parsed = &look_up->parsed;
    if (dns_answer_parse(bytes, (uint32_t)length, slice_of(ask->name), ask->type, parsed) != 0 ||
        parsed->is_cut) { /* c-ares has asked again by TCP by now */
        fail(look_up, RESOLVE_BAD_ANSWER);
        return;
    }
    if (parsed->count == 0) {
        fail(look_up, parsed->rcode != DNS_NO_ERROR ? failure_of_rcode(parsed->rcode) : RESOLVE_NO_ADDRESS);
        return;
    }
    shorten(look_up, parsed->ttl_s * 1000ULL);
    if (ask->type == DNS_SRV) {
        take_services(look_up);
        return;
    }
    for (uint32_t i = 0; i < parsed->count; i++)
        add_address(look_up, ask, ask->type == DNS_A ? AF_INET : AF_INET6, parsed->records[i].address);
}

static enum resolve_failure failure_of_status(int status)
{
    switch (status) {
    case ARES_ETIMEOUT:
    case ARES_ECANCELLED: /* by us, when the time was over */
    case ARES_EDESTRUCTION:
        return RESOLVE_TIMEOUT;
    case ARES_ENOMEM:
        return RESOLVE_NO_MEMORY;
    case ARES_EBADNAME:
    case ARES_ENOTFOUND:
        return RESOLVE_NO_SUCH_NAME;
    case ARES_EBADRESP:
        return RESOLVE_BAD_ANSWER;
    default:
        return RESOLVE_SERVER_FAILED;
    }
}

/* Where there is a message, it says more than the status. */
static void ask_answered(void *argument, int status, int timeouts, unsigned char *bytes, int length)
{
    struct ask *ask = argument;
    (void)timeouts;
    ask->look_up->pending--;
    if (bytes && length > 0)
        take_message(ask->look_up, ask, bytes, length);
    else
        fail(ask->look_up, failure_of_status(status));
}

/* --- the channel --- */

static int set_servers(ares_channel channel, const struct resolve_question *question)
{
    struct ares_addr_port_node nodes[UPSTREAM_RESOLVERS_MAX] = {0};
    uint32_t count =
        question->resolver_count < UPSTREAM_RESOLVERS_MAX ? question->resolver_count : UPSTREAM_RESOLVERS_MAX;
    for (uint32_t i = 0; i < count; i++) {
        const struct sockaddr_in *in = (const void *)&question->resolvers[i];
        const struct sockaddr_in6 *in6 = (const void *)&question->resolvers[i];
        struct ares_addr_port_node *node = &nodes[i];
        node->next = i + 1 < count ? node + 1 : NULL;
        node->family = question->resolvers[i].ss_family;
        node->udp_port = node->tcp_port = ntohs(node->family == AF_INET ? in->sin_port : in6->sin6_port);
        if (node->family == AF_INET)
            node->addr.addr4 = in->sin_addr;
        else
            memcpy(&node->addr.addr6, &in6->sin6_addr, sizeof node->addr.addr6);
    }
    return count > 0 ? ares_set_servers_ports(channel, nodes) : ARES_SUCCESS;
}

static int open_channel(struct look_up *look_up)
{
    const struct resolve_question *question = look_up->question;
    struct ares_options options = {
        .flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES,
        .timeout = (int)(question->try_ms ? question->try_ms : RESOLVE_TRY_MS),
        .tries = (int)(question->tries ? question->tries : RESOLVE_TRIES),
    };
    int status =
        ares_init_options(&look_up->channel, &options, ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES);
    if (status != ARES_SUCCESS) {
        look_up->channel = NULL;
        return status;
    }
    return set_servers(look_up->channel, question);
}

/* Waits once for the sockets of the channel, not past `left_ms`, and lets c-ares go on. */
static void wait_once(ares_channel channel, struct pool *gate, uint64_t left_ms)
{
    ares_socket_t sockets[ARES_GETSOCK_MAXNUM];
    struct pollfd polled[ARES_GETSOCK_MAXNUM];
    struct timeval most = {(time_t)(left_ms / 1000), (suseconds_t)(left_ms % 1000 * 1000)}, time;
    unsigned wanted = (unsigned)ares_getsock(channel, sockets, ARES_GETSOCK_MAXNUM);
    nfds_t count = 0;
    for (unsigned i = 0; i < ARES_GETSOCK_MAXNUM; i++) {
        /* Not ARES_GETSOCK_WRITABLE, which shifts an int by 31. */
        short events =
            (short)((wanted >> i & 1 ? POLLIN : 0) | (wanted >> (ARES_GETSOCK_MAXNUM + i) & 1 ? POLLOUT : 0));
        if (events != 0)
            polled[count++] = (struct pollfd){.fd = sockets[i], .events = events};
    }
    struct timeval *until = ares_timeout(channel, &most, &time);
    int wait_ms = (int)(until->tv_sec * 1000 + until->tv_usec / 1000 + 1);
    if (gate)
        pool_enter_gate(gate);
    int ready = poll(polled, count, wait_ms);
    if (gate)
        pool_leave_gate(gate);
    for (nfds_t i = 0; ready > 0 && i < count; i++) {
        ares_socket_t reading = polled[i].revents & ~POLLOUT ? polled[i].fd : ARES_SOCKET_BAD;
        ares_socket_t writing = polled[i].revents & ~POLLIN ? polled[i].fd : ARES_SOCKET_BAD;
        if (polled[i].revents != 0)
            ares_process_fd(channel, reading, writing);
    }
    ares_process_fd(channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD); /* time-outs */
}

static void wait_for_answers(struct look_up *look_up, struct pool *gate)
{
    uint32_t whole_ms = look_up->question->whole_ms ? look_up->question->whole_ms : RESOLVE_WHOLE_MS;
    uint64_t end_ns = clock_monotonic_ns() + whole_ms * 1000000ULL;
    while (look_up->pending > 0) {
        uint64_t now_ns = clock_monotonic_ns();
        if (now_ns >= end_ns) {
            ares_cancel(look_up->channel); /* answers all */
            return;
        }
        wait_once(look_up->channel, gate, (end_ns - now_ns) / 1000000);
    }
}

static void begin(struct look_up *look_up)
{
    const struct resolve_question *question = look_up->question;
    struct ask first = {.port = question->port, .weight = 1};
    size_t length = strlen(question->host);
    if (length > 0 && question->host[length - 1] == '.')
        length--;
    if (length == 0 || length >= sizeof first.name - 1) {
        fail(look_up, RESOLVE_NO_SUCH_NAME);
        return;
    }
    memcpy(first.name, question->host, length);
    if (question->is_srv)
        ask_servers(look_up, &first, DNS_SRV);
    else if (!take_literal(look_up, &first))
        ask_addresses(look_up, &first);
}

void resolve(const struct resolve_question *question, struct pool *gate, struct resolve_answer *answer)
{
    struct look_up *look_up = calloc(1, sizeof *look_up);
    *answer = (struct resolve_answer){.failure = RESOLVE_NOTHING};
    if (!look_up) {
        answer->failure = RESOLVE_NO_MEMORY;
        return;
    }
    look_up->question = question;
    look_up->ttl_ms = INT32_MAX * 1000ULL;
    int status = open_channel(look_up);
    if (status == ARES_SUCCESS) {
        begin(look_up);
        wait_for_answers(look_up, gate);
        write_answer(look_up, answer);
    } else {
        answer->failure = failure_of_status(status);
    }
    if (look_up->channel)
        ares_destroy(look_up->channel);
    free(look_up);
}

static void resolve_run(struct pool_job *job, unsigned thread)
{
    struct resolve_job *resolving = (struct resolve_job *)(void *)job;
    (void)thread;
    resolve(&resolving->question, resolving->pool, &resolving->answer);
}

static void resolve_done(struct pool_job *job)
{
    struct resolve_job *resolving = (struct resolve_job *)(void *)job;
    resolving->done(resolving);
}

int resolve_start(struct resolve_job *job, struct pool *pool)
{
    job->job.run = resolve_run;
    job->job.done = resolve_done;
    job->pool = pool;
    return pool_submit(pool, &job->job);
}
