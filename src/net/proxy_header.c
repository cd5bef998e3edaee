#include "net/proxy_header.h"

#include "base/clock.h"
#include "base/log.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#define PATIENCE_NS NS_PER_S /* so long whoever is about to say who it is is not closed to make room */

_Static_assert(PROXY_PROTOCOL_MAX <= ARENA_BLOCK_SIZE, "a header fits into a ring");

static const struct core_listener *listener_of(const struct worker *worker, const struct record *record)
{
    return &worker->settings->listeners[record->listener];
}

/* --- how it ends --- */

static void refuse(struct worker *worker, struct record *record, const char *reason)
{
    const struct sockaddr_storage peer = client_sockaddr(record->client_address, record->client_port);
    char memory[CLIENT_NET_TEXT_MAX];
    struct text address;

    text_init(&address, memory, sizeof memory);
    client_address_format(&peer, &address);
    log_event(LOG_WARN, LOG_EV_PROXY_HEADER_REFUSED, "listener=%s peer=%s reason=%s bytes=%llu",
              listener_of(worker, record)->text, record->kind == RECORD_UNIX ? "unix" : address.at, reason,
              (unsigned long long)record->rx);
    conn_close(worker, record);
}

/* It sends no more. */
static void ended(struct worker *worker, struct record *record)
{
    if (record->rx)
        refuse(worker, record, "cut_off");
    else
        conn_close(worker, record);
}

static void become(struct worker *worker, struct record *record, const struct proxy_protocol_header *header,
                   size_t length)
{
    const uint8_t class_tag = listener_of(worker, record)->class_tag;
    struct record_head *head = record_begin(record);
    struct record_client client = {.port = header->source_port};

    memcpy(client.address, header->source, sizeof client.address);
    head->taken += length;
    worker_become(worker, record, head, class_tag, header->family == PROXY_PROTOCOL_UNKNOWN ? NULL : &client);
    worker->service->classes[class_tag]->ready(worker, record, READY_IN | READY_OUT);
}

/* --- the class --- */

static void set_deadline(struct worker *worker, struct record *record)
{
    worker_set_deadline(worker, record,
                        record->opened_ns + listener_of(worker, record)->header_ms * NS_PER_MS);
}

static void header_opened(struct worker *worker, struct record *record, struct record_head *head)
{
    memset(head->protocol, 0, sizeof head->protocol); /* there is nothing to know beyond the bytes */
    set_deadline(worker, record);
    worker_waits(worker, record, WAITING_BEGUN);
}

/* 1: more has come, or its end; 0: later; the record may be gone then. */
static int receive(struct worker *worker, struct record *record)
{
    const int result = worker_side(worker, record)->readable ? conn_fill(worker, record) : ERR_AGAIN;

    if (result >= 0)
        return 1;
    if (result == ERR_NO_MEMORY) {
        (void)worker_make_room(worker);
        worker_again_later(worker, record);
    }
    if (result == ERR_AGAIN || result == ERR_NO_MEMORY)
        conn_settle(worker, record);
    else
        ended(worker, record);
    return 0;
}

static void header_ready(struct worker *worker, struct record *record, unsigned events)
{
    struct proxy_protocol_header header;
    enum proxy_protocol_refusal refusal;
    int result;

    conn_note_events(worker_side(worker, record), events);
    do {
        const struct slice input = conn_input_whole(worker, record, record_head(record));
        size_t length;

        result = proxy_protocol_parse(input.at, input.length, &header, &length, &refusal);
        if (!result)
            become(worker, record, &header, length);
        else if (result != ERR_PARTIAL)
            refuse(worker, record, proxy_protocol_refusal_text(refusal));
        else if (record_head(record)->end_of_input)
            ended(worker, record);
        else
            continue;
        return;
    } while (receive(worker, record));
}

static void header_expired(struct worker *worker, struct record *record)
{
    refuse(worker, record, "timeout");
}

static void header_revived(struct worker *worker, struct record *record)
{
    set_deadline(worker, record); /* it may have been about to become another class's */
    worker_waits(worker, record, WAITING_BEGUN);
}

static void header_blamed(struct worker *worker, struct record *record)
{
    refuse(worker, record, "crashed");
}

static int header_is_idle(const struct record *record, uint64_t now_ns)
{
    return !record->rx && now_ns - record->opened_ns >= PATIENCE_NS;
}

static int header_may_yield(const struct worker *worker, const struct record *record)
{
    return worker->now_ns - record->opened_ns >= PATIENCE_NS;
}

static void header_describe(const struct arena *arena, const struct record *record,
                            struct conn_description *description)
{
    (void)arena;
    (void)record;
    description->state = "header";
}

const struct conn_class proxy_header_class = {
    .name = "proxy_header",
    .opened = header_opened,
    .ready = header_ready,
    .expired = header_expired,
    .revived = header_revived,
    .blamed = header_blamed,
    .is_idle = header_is_idle,
    .may_yield = header_may_yield,
    .abandon = conn_close,
    .describe = header_describe,
};

/* --- made --- */

static int is_mapped(const uint8_t address[16])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff}; /* RFC 4291 section 2.5.5.2 */

    return !memcmp(address, mapped, sizeof mapped);
}

/* Our end of the connection, in the form of client_address; 0 of the same family where there is none. */
static void own_end(int fd, const uint8_t client[16], struct record *end)
{
    struct sockaddr_storage address = {0};
    socklen_t length = sizeof address;

    memset(end, 0, offsetof(struct record, rx));
    if (!getsockname(fd, (struct sockaddr *)&address, &length))
        worker_note_peer(end, &address);
    if (!record_has_address(end) && is_mapped(client))
        end->client_address[10] = end->client_address[11] = 0xff;
}

size_t proxy_header_make(const struct arena *arena, const struct record *client,
                         enum proxy_protocol_version version, char out[PROXY_PROTOCOL_MADE_MAX])
{
    struct proxy_protocol_header header = {.version = version, .is_local = !client};
    struct record end;

    if (client && record_has_address(client)) {
        own_end((int)arena_number(arena, client), client->client_address, &end);
        memcpy(header.source, client->client_address, sizeof header.source);
        memcpy(header.destination, end.client_address, sizeof header.destination);
        header.source_port = client->client_port;
        header.destination_port = end.client_port;
        /* Where one of both is IPv6, the other one is written so, too. */
        header.family = is_mapped(header.source) && is_mapped(header.destination) ? PROXY_PROTOCOL_IPV4
                                                                                  : PROXY_PROTOCOL_IPV6;
    }
    return proxy_protocol_make(&header, out);
}
