/* What is told of upstream servers, by whoever has the table. */
#include "upstream/status.h"

#include "base/clock.h"
#include "unit.h"
#include "upstream/pools.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/mman.h>

static void *shared;
static struct upstream_server servers[2];
static struct upstream_pool pool[2];
static struct upstream_config config;
static struct pools *pools;
static char *json;

static int setup(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct sockaddr_in *v4 = (void *)&servers[i].address;

        servers[i] = (struct upstream_server){
            .text = i ? SLICE_LITERAL("unix:/run/\"odd\"") : SLICE_LITERAL("10.0.0.1:80"), .weight = 1 + i};
        servers[i].length = sizeof *v4;
        v4->sin_family = AF_INET;
        v4->sin_port = htons(80);
        v4->sin_addr.s_addr = htonl(0x0a000001);
        pool[i] = (struct upstream_pool){.name = i ? SLICE_LITERAL("web") : SLICE_LITERAL("app"),
                                         .servers = servers,
                                         .server_count = 2 - i,
                                         .passive = {1, 1000, 5000, 5000}};
    }
    servers[1].max = 9;
    servers[1].is_backup = 1;
    config = (struct upstream_config){.pools = pool, .pool_count = 2};
    shared = mmap(NULL, TABLE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return shared == MAP_FAILED;
}

static int teardown(void **state)
{
    (void)state;
    free(json);
    json = NULL;
    pools_stop(&pools);
    return munmap(shared, TABLE_SIZE);
}

static void start(void)
{
    const struct pools_start start = {.config = &config, .shared = shared, .shared_fd = -1};

    assert_int_equal(pools_start(&pools, &start, clock_monotonic_ns()), 0);
}

static const char *describe(void)
{
    free(json);
    json = upstream_describe(shared, NULL);
    assert_non_null(json);
    return json;
}

static void where_nobody_has_made_a_table_there_are_none(void **state)
{
    (void)state;
    assert_string_equal(describe(), "{\"pools\":[],\"names\":[]}");
    free(json);
    json = upstream_describe(NULL, NULL);
    assert_string_equal(json, "{\"pools\":[],\"names\":[]}");
}

static void servers_are_told_by_pool_in_the_order_of_the_configuration(void **state)
{
    (void)state;
    start();
    assert_string_equal(
        describe(),
        "{\"pools\":[{\"name\":\"app\",\"servers\":[{\"server\":\"10.0.0.1:80\",\"address\":\"10.0.0.1:80\","
        "\"state\":"
        "\"up\",\"check\":\"none\",\"active\":0,\"requests\":0,\"failures\":0,\"ejections\":0,\"ejected_ms\":"
        "0,"
        "\"checks\":0,\"checks_failed\":0,\"weight\":1,\"max\":0,\"backup\":false},{\"server\":"
        "\"unix:/run/"
        "\\\"odd\\\"\",\"address\":\"10.0.0.1:80\",\"state\":\"up\",\"check\":\"none\",\"active\":0,"
        "\"requests\":0,\"failures\":0,\"ejections\":0,\"ejected_ms\":0,\"checks\":0,\"checks_failed\":0,"
        "\"weight\":2,"
        "\"max\":9,\"backup\":true}]},{\"name\":\"web\",\"servers\":[{\"server\":\"10.0.0.1:80\",\"address\":"
        "\"10.0.0.1:80\",\"state\":\"up\",\"check\":\"none\",\"active\":0,\"requests\":0,\"failures\":0,"
        "\"ejections\":0,"
        "\"ejected_ms\":0,\"checks\":0,\"checks_failed\":0,\"weight\":1,\"max\":0,\"backup\":false}]}],"
        "\"names\":[]}");
}

static void what_requests_have_told_is_seen(void **state)
{
    const struct pools_wish wish = {.hash = 0};
    struct slice reason;
    uint32_t member;
    (void)state;

    start();
    assert_int_equal(pools_pick(pools, 0, &wish, clock_monotonic_ns(), &member, &reason), 0);
    pools_report(pools, member, POOLS_TIMED_OUT, clock_monotonic_ns());
    (void)describe();
    assert_non_null(
        strstr(json, "\"state\":\"ejected\",\"check\":\"none\",\"active\":1,\"requests\":1,\"failures\":1,"
                     "\"ejections\":1,\"ejected_ms\":"));
    assert_null(strstr(
        json, "\"ejected_ms\":0,\"checks\":0,\"checks_failed\":0,\"weight\":1,\"max\":0,\"backup\":false}"
              ",{\"server\":\"unix"));
}

static void a_server_that_no_worker_has_is_not_told(void **state)
{
    (void)state;
    start();
    pools_leave(pools);
    assert_string_equal(describe(), "{\"pools\":[],\"names\":[]}");
}

static void a_name_is_told_with_its_addresses(void **state)
{
    struct pools_found found = {.weight = 1};
    const struct upstream_server *server;
    uint32_t ticket;
    (void)state;

    config.ttl_max_ms = 60000;
    pool[1].server_count = 0;
    pool[0].server_count = 1;
    servers[0] = (struct upstream_server){.text = SLICE_LITERAL("app.test:80"),
                                          .kind = UPSTREAM_HOST,
                                          .host = "app.test",
                                          .port = 80,
                                          .weight = 1};
    start();
    assert_non_null(strstr(describe(), "\"names\":[{\"name\":\"app.test:80\",\"addresses\":0,\"failures\":0,"
                                       "\"next_ms\":0}]"));
    found.address.ss_family = AF_INET;
    assert_int_equal(pools_take_name(pools, clock_monotonic_ns(), &ticket, &server), 1);
    pools_report_name(pools, ticket, &found, 1, 60000, 0, clock_monotonic_ns());
    assert_non_null(strstr(describe(), "\"address\":\"0.0.0.0:0\""));
    assert_non_null(strstr(json, "\"addresses\":1,\"failures\":0,\"next_ms\":"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(where_nobody_has_made_a_table_there_are_none),
        TEST(servers_are_told_by_pool_in_the_order_of_the_configuration),
        TEST(what_requests_have_told_is_seen),
        TEST(a_server_that_no_worker_has_is_not_told),
        TEST(a_name_is_told_with_its_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
