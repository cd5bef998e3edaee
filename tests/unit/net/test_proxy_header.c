/* Connections that begin with a header of the PROXY protocol, and headers for those that we make. */
#include "net/proxy_header.h"

#include "base/clock.h"
#include "base/fd.h"
#include "rig.h"
#include "unit.h"

#include <arpa/inet.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define HEADER "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n"
#define REST "what is behind it"
#define LISTENERS_OWN 1 /* class of the rig's listener */

static struct rig rig;
static unsigned opened_count, ready_count;
static int dies_in_opened;

static void opened(struct worker *worker, struct record *record, struct record_head *head)
{
    (void)record;
    if (dies_in_opened)
        _exit(0);
    opened_count++;
    head->protocol[0] = 77;
    worker_set_deadline(worker, record, 0);
}

static void ready(struct worker *worker, struct record *record, unsigned events)
{
    assert_int_equal(events, READY_IN | READY_OUT);
    ready_count++;
    while (conn_fill(worker, record) > 0)
        ;
}

static void revived(struct worker *worker, struct record *record)
{
    (void)worker;
    (void)record;
}

static const struct conn_class own_class = {
    .name = "own", .opened = opened, .ready = ready, .revived = revived, .abandon = conn_close};

static void open_rig(int family)
{
    struct core_listener *listener;

    rig_open(&rig, &own_class, family);
    opened_count = ready_count = 0;
    dies_in_opened = 0;
    rig.service.classes[CONN_CLASS_PROXY_HEADER] = &proxy_header_class;
    listener = &rig.settings.listeners[0];
    listener->header_ms = 5000;
    if (family == AF_UNIX)
        listener->header_from_unix = 1;
    else
        assert_int_equal(client_net_parse(family == AF_INET ? "127.0.0.1" : "::1", &listener->header_nets[0]),
                         0);
    listener->header_net_count = family != AF_UNIX;
}

static int setup_tcp(void **state)
{
    (void)state;
    open_rig(AF_INET);
    return 0;
}

static int setup_ipv6(void **state)
{
    (void)state;
    open_rig(AF_INET6);
    return 0;
}

static int setup_unix(void **state)
{
    (void)state;
    open_rig(AF_UNIX);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_close(&rig);
    return 0;
}

static void say(int client, const char *bytes, size_t length)
{
    assert_int_equal(send(client, bytes, length, MSG_NOSIGNAL), (ssize_t)length);
}

static void drive(struct record *record)
{
    worker_drive(&rig.worker, record, READY_IN | READY_OUT);
}

static void assert_is_announced(const struct record *record)
{
    char text[INET6_ADDRSTRLEN];

    assert_int_equal(record->life, RECORD_OPEN);
    assert_int_equal(record->class_tag, LISTENERS_OWN);
    assert_non_null(inet_ntop(AF_INET6, record->client_address, text, sizeof text));
    assert_string_equal(text, "::ffff:192.0.2.1");
    assert_int_equal(record->client_port, 56324);
    assert_int_equal(record_head(record)->taken, sizeof HEADER - 1);
    assert_int_equal(record_head(record)->protocol[0], 77);
}

static void assert_has_rest(struct record *record)
{
    const struct slice input = conn_input(&rig.worker, record, record_head(record));

    assert_true(slice_equals(input, SLICE_LITERAL(REST)));
}

static void a_connection_becomes_its_clients_whatever_dies_meanwhile(void **state)
{
    static const char all[] = HEADER REST;
    (void)state;

    if (!ARENA_SHARED)
        skip();
    for (size_t cut = 0; cut < sizeof all; cut += 3) {
        struct record *record;
        int client = rig_open_connection(&rig, &record);

        assert_int_equal(record->class_tag, CONN_CLASS_PROXY_HEADER);
        assert_int_equal(record->deadline_ns, rig.worker.now_ns + 5000 * NS_PER_MS);
        say(client, all, cut);
        drive(record);
        rig_forget(&rig);
        rig_revive(&rig);
        assert_int_equal(record->class_tag == CONN_CLASS_PROXY_HEADER, cut < sizeof HEADER - 1);
        say(client, all + cut, sizeof all - 1 - cut);
        drive(record);
        assert_is_announced(record);
        assert_has_rest(record);
        rig_forget(&rig);
        rig_revive(&rig);
        assert_is_announced(record);
        assert_has_rest(record);
        conn_close(&rig.worker, record);
        fd_close(&client);
    }
    assert_int_equal(opened_count, (sizeof all + 2) / 3);
}

/* In another process, which shares the arena and the socket. */
static void a_death_before_the_commit_leaves_a_connection_that_is_still_to_be_announced(void **state)
{
    struct record *record;
    int client = rig_open_connection(&rig, &record), status = 0;
    pid_t child;
    (void)state;

    if (!ARENA_SHARED)
        skip();
    say(client, HEADER REST, sizeof HEADER REST - 1);
    assert_true(rig_await((int)arena_number(&rig.worker.arena, record), POLLIN));
    fflush(NULL);
    child = fork();
    if (!child) {
        dies_in_opened = 1;
        drive(record);
        _exit(1); /* it was not called */
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(record->class_tag, CONN_CLASS_PROXY_HEADER);
    assert_int_equal(record_head(record)->taken, 0);
    rig_forget(&rig);
    rig_revive(&rig);
    assert_is_announced(record);
    assert_has_rest(record);
    assert_int_equal(opened_count, 1);
    fd_close(&client);
}

static void what_is_no_header_ends_the_connection(void **state)
{
    struct record *record;
    int client = rig_open_connection(&rig, &record);
    (void)state;

    log_set_level(LOG_ERROR);
    say(client, "GET / HTTP/1.1\r\n\r\n", 18);
    drive(record);
    assert_int_equal(record->life, RECORD_FREE);
    assert_int_equal(opened_count + ready_count, 0);
    fd_close(&client);
}

static void who_waits_with_nothing_holds_no_block(void **state)
{
    struct record *record;
    int client = rig_open_connection(&rig, &record);
    (void)state;

    drive(record);
    assert_int_equal(record_head(record)->in_block, 0);
    assert_true(proxy_header_class.is_idle(record, record->opened_ns + 2 * NS_PER_S));
    assert_false(proxy_header_class.is_idle(record, record->opened_ns));
    fd_close(&client);
}

static void only_whom_the_listener_names_speaks_for_others(void **state)
{
    struct record *record;
    int client;
    (void)state;

    assert_int_equal(client_net_parse("10.0.0.0/8", &rig.settings.listeners[0].header_nets[0]), 0);
    client = rig_open_connection(&rig, &record);
    assert_int_equal(record->class_tag, LISTENERS_OWN);
    fd_close(&client);
}

/* --- made --- */

static struct proxy_protocol_header made_for(const struct record *client, enum proxy_protocol_version version)
{
    static char bytes[PROXY_PROTOCOL_MADE_MAX];
    const size_t size = proxy_header_make(&rig.worker.arena, client, version, bytes);
    struct proxy_protocol_header header;
    enum proxy_protocol_refusal refusal;
    size_t length;

    assert_int_equal(proxy_protocol_parse(bytes, size, &header, &length, &refusal), 0);
    assert_int_equal(length, size);
    assert_int_equal(header.version, version);
    return header;
}

static void a_header_names_the_client_and_the_address_that_it_came_to(void **state)
{
    struct record *record;
    int client = rig_open_connection(&rig, &record);
    struct sockaddr_in own;
    socklen_t length = sizeof own;
    const struct proxy_protocol_header header = made_for(record, PROXY_PROTOCOL_V2);
    (void)state;

    assert_int_equal(
        getsockname((int)arena_number(&rig.worker.arena, record), (struct sockaddr *)&own, &length), 0);
    assert_int_equal(header.family, PROXY_PROTOCOL_IPV4);
    assert_memory_equal(header.source, record->client_address, 16);
    assert_int_equal(header.source_port, record->client_port);
    assert_memory_equal(header.destination + 12, &own.sin_addr, 4);
    assert_int_equal(header.destination_port, ntohs(own.sin_port));
    fd_close(&client);
}

/* As haproxy does it, too: whoever reads the header has one family for both. */
static void an_ipv4_client_of_a_socket_for_ipv6_is_written_as_ipv6(void **state)
{
    struct record *record;
    int client = rig_open_connection(&rig, &record);
    struct proxy_protocol_header header;
    (void)state;

    say(client, HEADER, sizeof HEADER - 1);
    drive(record);
    header = made_for(record, PROXY_PROTOCOL_V1);
    assert_int_equal(header.family, PROXY_PROTOCOL_IPV6);
    assert_memory_equal(header.source, record->client_address, 16);
    assert_memory_equal(header.destination, &in6addr_loopback, 16);
    fd_close(&client);
}

static void who_came_over_a_unix_socket_is_unknown_unless_it_was_announced(void **state)
{
    struct record *record;
    int client = rig_open_connection(&rig, &record);
    struct proxy_protocol_header header;
    (void)state;

    assert_int_equal(made_for(record, PROXY_PROTOCOL_V1).family, PROXY_PROTOCOL_UNKNOWN);
    assert_int_equal(made_for(record, PROXY_PROTOCOL_V2).is_local, 0);
    say(client, HEADER, sizeof HEADER - 1);
    drive(record);
    assert_is_announced(record);
    header = made_for(record, PROXY_PROTOCOL_V2);
    assert_int_equal(header.family, PROXY_PROTOCOL_IPV4);
    assert_memory_equal(header.source, record->client_address, 16);
    assert_memory_equal(header.destination, ((uint8_t[16]){[10] = 0xff, 0xff}), 16);
    assert_int_equal(header.destination_port, 0);
    assert_int_equal(made_for(NULL, PROXY_PROTOCOL_V2).is_local, 1);
    fd_close(&client);
}

#define CASE(name, setup) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_connection_becomes_its_clients_whatever_dies_meanwhile, setup_tcp),
        CASE(a_connection_becomes_its_clients_whatever_dies_meanwhile, setup_unix),
        CASE(a_death_before_the_commit_leaves_a_connection_that_is_still_to_be_announced, setup_tcp),
        CASE(what_is_no_header_ends_the_connection, setup_tcp),
        CASE(who_waits_with_nothing_holds_no_block, setup_tcp),
        CASE(only_whom_the_listener_names_speaks_for_others, setup_tcp),
        CASE(a_header_names_the_client_and_the_address_that_it_came_to, setup_tcp),
        CASE(an_ipv4_client_of_a_socket_for_ipv6_is_written_as_ipv6, setup_ipv6),
        CASE(who_came_over_a_unix_socket_is_unknown_unless_it_was_announced, setup_unix),
    };

    return cmocka_run_group_tests_name("proxy_header", tests, NULL, NULL);
}
