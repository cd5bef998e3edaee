#include "handler/demo/demo.h"

#include "base/process.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TICK_NS (200 * NS_PER_MS)
#define TICKS_MAX 36000 /* two hours */

enum { STATE_TICK = 0 }; /* of handler_state */

static const struct slice no_store = {"Cache-Control: no-store\r\n", 25};

/* --- who may ask --- */

int demo_is_loopback_name(struct slice host)
{
    char name[80], *colon;
    struct in_addr address;

    if (host.length >= sizeof name)
        return 0;
    memcpy(name, host.at, host.length);
    name[host.length] = '\0';
    if (name[0] == '[')
        return !strncmp(name, "[::1]", 5) && (name[5] == '\0' || name[5] == ':');
    colon = strchr(name, ':');
    if (colon)
        *colon = '\0';
    return !strcmp(name, "localhost") ||
           (inet_pton(AF_INET, name, &address) == 1 && ntohl(address.s_addr) >> 24 == 127);
}

int demo_is_loopback_address(const uint8_t address[16])
{
    static const uint8_t mapped[13] = {[10] = 0xff, [11] = 0xff, [12] = 127};
    static const uint8_t ipv6[16] = {[15] = 1};

    return !memcmp(address, mapped, sizeof mapped) || !memcmp(address, ipv6, sizeof ipv6);
}

static struct slice field(const struct exchange *exchange, struct slice name)
{
    const struct h1_field *found = h1_field_find(exchange->request, name);

    return found ? found->value : (struct slice){"", 0};
}

static int is_from_here(const struct exchange *exchange)
{
    return exchange->record->kind != RECORD_UNIX &&
           demo_is_loopback_address(exchange->record->client_address) &&
           demo_is_loopback_name(field(exchange, SLICE_LITERAL("Host"))) &&
           !h1_field_find(exchange->request, SLICE_LITERAL("X-Forwarded-For")) &&
           !h1_field_find(exchange->request, SLICE_LITERAL("Forwarded"));
}

/* The same in every worker of a generation, also in the next one of this slot; another page cannot know it. */
static void make_token(const struct exchange *exchange, char out[20])
{
    struct stat status = {0};
    uint64_t hash = 14695981039346656037ULL; /* FNV-1a */
    uint64_t words[3];

    (void)fstat(exchange->http->snapshot_fd, &status);
    words[0] = (uint64_t)status.st_ino;
    words[1] = (uint64_t)status.st_ctim.tv_sec;
    words[2] = (uint64_t)status.st_ctim.tv_nsec;
    for (size_t i = 0; i < sizeof words; i++)
        hash = (hash ^ ((const unsigned char *)words)[i]) * 1099511628211ULL;
    snprintf(out, 20, "%016llx", (unsigned long long)hash);
}

/* RFC 6454 section 7: whoever posts from a page says where the page came from. */
static int is_our_page(const struct exchange *exchange)
{
    const struct slice origin = field(exchange, SLICE_LITERAL("Origin"));
    const struct slice host = field(exchange, SLICE_LITERAL("Host"));
    char token[20];

    make_token(exchange, token);
    return slice_starts_with(origin, SLICE_LITERAL("http://")) && origin.length == host.length + 7 &&
           !memcmp(origin.at + 7, host.at, host.length) &&
           slice_equals(field(exchange, SLICE_LITERAL("X-Demo-Token")), slice_of(token));
}

/* --- answers --- */

static void answer_json(struct exchange *exchange, const char *name, const char *value, int is_text)
{
    char memory[128];
    const char *quote = is_text ? "\"" : "";
    int length = snprintf(memory, sizeof memory, "{\"%s\":%s%s%s}\n", name, quote, value, quote);

    exchange_respond(exchange, 200, SLICE_LITERAL("application/json"), no_store,
                     (struct slice){memory, (size_t)length});
}

/* A worker of this server: a grandchild of our own anchor that bears the name. */
static int is_our_worker(pid_t pid)
{
    char path[64], name[32] = "";
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/comm", pid);
    file = fopen(path, "re");
    if (!file)
        return 0;
    if (!fgets(name, sizeof name, file))
        name[0] = '\0';
    fclose(file);
    return !strcmp(name, "holdfast-worker\n") &&
           process_parent(process_parent(pid)) == process_parent(getppid());
}

/* If it is this very process, the request is undone, and taken up by the next worker, which finds the victim gone. If
 * another was killed and we die before we have answered, it is the same: nobody is killed twice for one request. */
static void kill_worker(struct exchange *exchange)
{
    struct slice rest = exchange->query, name, value;
    char digits[16] = "";
    uint64_t pid = 0;

    while (query_next(&rest, &name, &value))
        if (slice_equals(name, SLICE_LITERAL("pid")) && slice_to_u64(value, &pid))
            pid = 0;
    if (!pid || pid > INT32_MAX) {
        exchange_respond_error(exchange, 400, SLICE_LITERAL("pid_missing"));
        return;
    }
    if (is_our_worker((pid_t)pid))
        (void)kill((pid_t)pid, SIGKILL);
    snprintf(digits, sizeof digits, "%u", (unsigned)pid);
    answer_json(exchange, "killed", digits, 0);
}

static int path_is(const struct exchange *exchange, struct slice name)
{
    return exchange->path.length >= name.length &&
           !memcmp(exchange->path.at + exchange->path.length - name.length, name.at, name.length);
}

static void demo_tick(struct exchange *exchange)
{
    uint64_t *tick = &exchange->state->handler_state[STATE_TICK];
    char memory[96];
    int length;

    if (*tick >= TICKS_MAX || exchange->worker->is_draining) {
        exchange_stream_end(exchange);
        return;
    }
    length = snprintf(memory, sizeof memory, "{\"tick\":%llu,\"slot\":%u,\"pid\":%d}\n",
                      (unsigned long long)++*tick, exchange->worker->arena.page->slot, (int)getpid());
    exchange_stream_put(exchange, (struct slice){memory, (size_t)length}, exchange->worker->now_ns + TICK_NS);
}

static void demo_begin(struct exchange *exchange)
{
    const int is_get = exchange->request->method == H1_GET || exchange->request->method == H1_HEAD;
    const int is_post = slice_equals(exchange->request->method_text, SLICE_LITERAL("POST"));
    char token[20];

    if (!is_from_here(exchange)) {
        exchange_respond_error(exchange, 403, SLICE_LITERAL("not_from_here"));
    } else if (path_is(exchange, SLICE_LITERAL("/ticks")) && is_get) {
        exchange_respond_stream(exchange, SLICE_LITERAL("application/x-ndjson"), no_store,
                                exchange->worker->now_ns);
    } else if (path_is(exchange, SLICE_LITERAL("/token")) && is_get) {
        make_token(exchange, token);
        answer_json(exchange, "token", token, 1);
    } else if (path_is(exchange, SLICE_LITERAL("/kill")) && is_post) {
        if (is_our_page(exchange))
            kill_worker(exchange);
        else
            exchange_respond_error(exchange, 403, SLICE_LITERAL("not_our_page"));
    } else {
        exchange_respond_error(exchange, 404, SLICE_LITERAL("no_such_demonstration"));
    }
}

const struct handler demo_handler = {.name = "demo", .begin = demo_begin, .tick = demo_tick};
