/* Who a connection's client is: its peer, or whom the peer speaks for; and how many connections that client has. */
#include "core/worker.h"

#include "core/redo.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

/* In the record, since only this process's table has the socket to ask. */
void worker_note_peer(struct record *record, const struct sockaddr_storage *client)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff}; /* RFC 4291 section 2.5.5.2 */

    if (client->ss_family == AF_INET) {
        const struct sockaddr_in *ipv4 = (const struct sockaddr_in *)client;

        memcpy(record->client_address, mapped, sizeof mapped);
        memcpy(record->client_address + sizeof mapped, &ipv4->sin_addr, 4);
        record->client_port = ntohs(ipv4->sin_port);
    } else if (client->ss_family == AF_INET6) {
        const struct sockaddr_in6 *ipv6 = (const struct sockaddr_in6 *)client;

        memcpy(record->client_address, &ipv6->sin6_addr, sizeof record->client_address);
        record->client_port = ntohs(ipv6->sin6_port);
    }
}

/* --- how many it has --- */

/* Not yet of a peer that is still to say whom it speaks for; never without an address. */
static int is_to_be_counted(const struct worker *worker, const struct record *record)
{
    return worker->settings->max_connections_per_client && record->listener != RECORD_NO_LISTENER &&
           record->class_tag != CONN_CLASS_PROXY_HEADER && record_has_address(record);
}

void worker_count_client(struct worker *worker, const struct record *record)
{
    if (is_to_be_counted(worker, record))
        worker_side(worker, record)->is_counted =
            clients_add(&worker->clients, clients_key(record->client_address)) > 0;
}

void worker_admit_counted(struct worker *worker, const struct record *record)
{
    const uint64_t key = clients_key(record->client_address);

    if (worker_side(worker, record)->is_counted)
        (void)!crowd_enter(&worker->crowd, key, clients_count(&worker->clients, key), UINT64_MAX);
}

void worker_uncount_client(struct worker *worker, const struct record *record)
{
    struct conn_side *side = worker_side(worker, record);
    const uint64_t key = clients_key(record->client_address);

    if (!side->is_counted)
        return;
    side->is_counted = 0;
    clients_remove(&worker->clients, key);
    crowd_leave(&worker->crowd, key, clients_count(&worker->clients, key));
}

void worker_admit_client(struct worker *worker, const struct record *record, const struct record *identity)
{
    struct conn_side *side = worker_side(worker, record);
    const uint64_t key = clients_key(identity->client_address);

    if (!is_to_be_counted(worker, identity) || !clients_add(&worker->clients, key))
        return;
    side->is_counted = 1;
    if (!crowd_enter(&worker->crowd, key, clients_count(&worker->clients, key),
                     worker->settings->max_connections_per_client))
        return;
    side->is_counted = 0;
    side->is_over = 1;
    clients_remove(&worker->clients, key);
}

/* --- whoever speaks for others --- */

/* Of a peer that is gone already nobody knows whom it spoke for. */
uint8_t worker_class_of(const struct core_listener *listener, const struct sockaddr_storage *peer)
{
    if (listener->kind == CORE_LISTENER_UNIX)
        return listener->header_from_unix ? CONN_CLASS_PROXY_HEADER : listener->class_tag;
    if (listener->header_net_count && peer->ss_family == AF_UNSPEC)
        return CONN_CLASS_PROXY_HEADER;
    for (size_t i = 0; i < listener->header_net_count; i++)
        if (client_net_has(&listener->header_nets[i], peer))
            return CONN_CLASS_PROXY_HEADER;
    return listener->class_tag;
}

void worker_become(struct worker *worker, struct record *record, struct record_head *head, uint8_t class_tag,
                   const struct record_client *client)
{
    struct record changed;

    memcpy(&changed, record, offsetof(struct record, rx));
    changed.class_tag = class_tag;
    if (client) {
        memcpy(changed.client_address, client->address, sizeof changed.client_address);
        changed.client_port = client->port;
    }
    memset(head->protocol, 0, sizeof head->protocol);
    redo_begin(&worker->arena);
    redo_set(&worker->arena, &record->identity, changed.identity);
    for (unsigned i = 0; i < 2; i++)
        redo_set(&worker->arena, &record->client_words[i], changed.client_words[i]);
    worker_admit_client(worker, record, &changed);
    worker_set_deadline(worker, record, 0); /* it was for what is over now */
    worker->service->classes[class_tag]->opened(worker, record, head);
    redo_commit(&worker->arena, record);
}
