#include "behind.h"

#include "base/fd.h"
#include "core/revival.h"
#include "unit.h"
#include "upstream/table.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct behind behind = {.listener = -1, .fd = -1};

static char no_host[] = "";
static struct http_site_address any_address = {.listener = 0, .host = no_host};
static struct http_site site = {.addresses = &any_address, .address_count = 1};
static const struct http_route *routes[1];

/* --- the server --- */

static void open_listener(void)
{
    struct sockaddr_un *address = (void *)&behind.server.address;

    snprintf(behind.path, sizeof behind.path, "/tmp/holdfast-unit-behind-%d", (int)getpid());
    (void)unlink(behind.path);
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path, behind.path, sizeof behind.path);
    behind.server.length = sizeof *address;
    behind.listener = rig_aside(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    assert_int_equal(bind(behind.listener, (struct sockaddr *)address, sizeof *address), 0);
    assert_int_equal(listen(behind.listener, 8), 0);
    assert_int_equal(fcntl(behind.listener, F_SETFL, O_NONBLOCK), 0);
}

static int is_readable(int fd)
{
    struct pollfd wait = {.fd = fd, .events = POLLIN};

    return poll(&wait, 1, 0) == 1;
}

int behind_is_asked(void)
{
    talk_settle(&behind.talk);
    return is_readable(behind.listener);
}

void behind_accept(void)
{
    fd_close(&behind.fd);
    talk_settle(&behind.talk);
    assert_true(rig_await(behind.listener, POLLIN));
    behind.fd = rig_aside(accept(behind.listener, NULL, NULL));
    assert_int_equal(fcntl(behind.fd, F_SETFL, O_NONBLOCK), 0);
}

void behind_hear(const char *text)
{
    size_t length = 0;

    for (;;) {
        ssize_t count;

        talk_settle(&behind.talk);
        assert_true(rig_await(behind.fd, POLLIN));
        count = recv(behind.fd, behind.got + length, sizeof behind.got - 1 - length, 0);
        assert_true(count > 0);
        length += (size_t)count;
        behind.got[length] = '\0';
        if (strstr(behind.got, text))
            return;
    }
}

void behind_say(const char *text)
{
    assert_int_equal(send(behind.fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
    talk_settle(&behind.talk);
}

/* --- the proxy --- */

static void configure(void)
{
    behind.server.text = slice_of("unix:/behind");
    behind.server.kind = UPSTREAM_UNIX;
    behind.server.weight = 1;
    behind.pool = (struct upstream_pool){.name = SLICE_LITERAL("app"),
                                         .servers = &behind.server,
                                         .server_count = 1,
                                         .keepalive = 4,
                                         .keepalive_ms = BEHIND_KEEPALIVE_MS,
                                         .connect_ms = BEHIND_CONNECT_MS,
                                         .first_byte_ms = BEHIND_FIRST_MS,
                                         .between_ms = BEHIND_BETWEEN_MS,
                                         .tunnel_ms = BEHIND_TUNNEL_MS,
                                         .retries = {3, 10000, 100},
                                         .queue = BEHIND_QUEUE,
                                         .queue_ms = BEHIND_QUEUE_MS};
    behind.route = (struct http_route){.text = "", .answer = ROUTE_PROXY, .proxy = &behind.proxy};
    routes[0] = site.route = &behind.route;
    behind.talk.config.sites = &site;
    behind.talk.config.site_count = 1;
    behind.talk.config.routes = routes;
    behind.talk.config.route_count = 1;
    behind.talk.config.upstreams = (struct upstream_config){.pools = &behind.pool, .pool_count = 1};
    sites_fini(&behind.talk.http.sites);
    assert_int_equal(sites_init(&behind.talk.http.sites, &behind.talk.config), 0);
}

static void start_proxy(void)
{
    struct worker *worker = &behind.talk.rig.worker;
    const struct pools_start start = {
        .config = &behind.talk.config.upstreams, .shared = behind.shared, .shared_fd = -1};

    assert_int_equal(pools_start(&behind.pools, &start, worker->now_ns), 0);
    assert_int_equal(turns_start(&behind.turns, worker, behind.pools), 0);
    assert_int_equal(proxy_start(&behind.talk.http, 0, behind.turns), 0);
}

static void stop_proxy(void)
{
    proxy_stop(&behind.talk.http, 0);
    turns_stop(&behind.turns);
    pools_stop(&behind.pools);
}

int behind_setup(void **state)
{
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN); /* as in a worker */
    behind = (struct behind){.listener = -1, .fd = -1};
    behind.shared =
        mmap(NULL, TABLE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_true(behind.shared != MAP_FAILED);
    talk_open(&behind.talk, &proxy_handler, AF_UNIX);
    behind.talk.rig.service.classes[CONN_CLASS_LEG] = &proxy_leg_class;
    open_listener();
    configure();
    start_proxy();
    return 0;
}

int behind_teardown(void **state)
{
    (void)state;
    stop_proxy();
    fd_close(&behind.fd);
    fd_close(&behind.listener);
    (void)unlink(behind.path);
    talk_close(&behind.talk);
    munmap(behind.shared, TABLE_SIZE);
    return 0;
}

/* --- requests --- */

struct record *behind_leg(void)
{
    const struct record *client = behind.talk.record;

    if (client->life != RECORD_OPEN || exchange_seen(client)->step != EXCHANGE_RELAY)
        return NULL;
    return leg_of(&behind.talk.rig.worker, client);
}

void behind_ask(void)
{
    talk_say(&behind.talk, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    talk_settle(&behind.talk);
    if (behind_is_asked())
        behind_accept();
    behind_hear("\r\n\r\n");
}

struct record *behind_ask_and_answer(void)
{
    struct record *leg;

    behind_ask();
    leg = behind_leg();
    assert_non_null(leg);
    behind_say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    talk_expect(&behind.talk, 200, "ok");
    talk_settle(&behind.talk);
    return leg;
}

uint32_t behind_active(void)
{
    struct table table;

    assert_int_equal(table_look(&table, behind.shared, NULL), 0);
    return table_active(&table, 0);
}

/* --- deaths --- */

void behind_revive(const struct record *fault)
{
    struct worker *worker = &behind.talk.rig.worker;
    struct arena_core *core = worker->arena.core;

    core->fault = fault != NULL;
    core->fault_thread = 0;
    if (fault)
        worker->intent->record = arena_number(&worker->arena, fault) + 1;
    stop_proxy();
    rig_forget(&behind.talk.rig);
    rig_begin_again(&behind.talk.rig);
    start_proxy();
    revival_run(worker);
    turns_recounted(behind.turns);
}

int behind_pass(struct record *record, uint64_t ms)
{
    struct worker *worker = &behind.talk.rig.worker;

    worker->now_ns += ms * NS_PER_MS;
    if (!record->deadline_ns || (record->deadline_ns & ~(uint64_t)RECORD_PURPOSE_MASK) > worker->now_ns)
        return 0;
    worker->intent->record = arena_number(&worker->arena, record) + 1;
    worker->service->classes[record->class_tag]->expired(worker, record);
    worker->intent->record = 0;
    talk_settle(&behind.talk);
    return 1;
}
