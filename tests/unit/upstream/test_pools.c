/* Pools in one worker and in several: who takes a request, and what is known of each server. */
#include "upstream/pools.h"

#include "base/clock.h"
#include "base/fd.h"
#include "core/shared.h"
#include "unit.h"
#include "upstream/health.h"
#include "upstream/table.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#define SECOND NS_PER_S
#define T0 (1000 * SECOND)

static int fd;
static void *shared;
static struct upstream_server servers[4];
static struct upstream_pool pool;
static struct upstream_config config;
static struct pools *one, *other;
static struct pools_wish wish;
static struct slice reason;

static void server(unsigned index, const char *text, uint16_t port)
{
    struct sockaddr_in *v4 = (void *)&servers[index].address;

    servers[index] = (struct upstream_server){.text = slice_of(text), .kind = UPSTREAM_ADDRESS, .weight = 1};
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    servers[index].length = sizeof *v4;
}

static int setup(void **state)
{
    (void)state;
    server(0, "127.0.0.1:1", 1);
    server(1, "127.0.0.1:2", 2);
    server(2, "127.0.0.1:3", 3);
    server(3, "127.0.0.1:4", 4);
    pool = (struct upstream_pool){.name = SLICE_LITERAL("app"),
                                  .servers = servers,
                                  .server_count = 3,
                                  .passive = {2, 10000, 5000, 60000},
                                  .check = {.interval_ms = 2000, .rise = 1, .fall = 2},
                                  .retries = {3, 10000, 20}};
    config =
        (struct upstream_config){.pools = &pool, .pool_count = 1, .ttl_min_ms = 1000, .ttl_max_ms = 60000};
    wish = (struct pools_wish){.hash = 0};
    fd = shared_create(TABLE_SIZE);
    return fd < 0 || shared_map(fd, TABLE_SIZE, &shared);
}

static int teardown(void **state)
{
    (void)state;
    pools_stop(&one);
    pools_stop(&other);
    shared_unmap(&shared, TABLE_SIZE);
    fd_close(&fd);
    return 0;
}

static struct pools *start(uint32_t place)
{
    struct pools *pools;
    const struct pools_start start = {.config = &config, .shared = shared, .shared_fd = fd, .place = place};

    assert_int_equal(pools_start(&pools, &start, T0), 0);
    pools_recount_begin(pools);
    pools_recount_end(pools);
    return pools;
}

static uint32_t pick(struct pools *pools, uint64_t now_ns)
{
    uint32_t member;

    assert_int_equal(pools_pick(pools, 0, &wish, now_ns, &member, &reason), 0);
    assert_int_not_equal(member, POOLS_NO_MEMBER);
    return member;
}

/* The port, which tells the servers apart. */
static unsigned port_of(struct pools *pools, uint32_t member)
{
    struct sockaddr_storage address;
    socklen_t length;

    assert_int_equal(pools_address(pools, member, &address, &length), 0);
    assert_int_equal(length, sizeof(struct sockaddr_in));
    return ntohs(((struct sockaddr_in *)(void *)&address)->sin_port);
}

/* Picks and gives back; which server it was. */
static unsigned ask(struct pools *pools, uint64_t now_ns)
{
    const uint32_t member = pick(pools, now_ns);
    const unsigned port = port_of(pools, member);

    pools_release(pools, member);
    return port;
}

static uint32_t member_of(struct pools *pools, unsigned port)
{
    for (;;) {
        const uint32_t member = pick(pools, T0);

        pools_release(pools, member);
        if (port_of(pools, member) == port)
            return member;
    }
}

static void fail_twice(struct pools *pools, uint32_t member, uint64_t now_ns)
{
    pools_report(pools, member, POOLS_CONNECT_FAILED, now_ns);
    pools_report(pools, member, POOLS_RESET, now_ns);
}

/* --- choosing --- */

static void servers_take_turns_by_their_weights(void **state)
{
    unsigned counts[5] = {0};
    (void)state;

    servers[1].weight = 3;
    one = start(0);
    for (unsigned i = 0; i < 5000; i++)
        counts[ask(one, T0)]++;
    assert_int_equal(counts[1], 1000);
    assert_int_equal(counts[2], 3000);
    assert_int_equal(counts[3], 1000);
}

static void another_try_goes_to_another_server(void **state)
{
    (void)state;
    one = start(0);
    for (unsigned i = 0; i < 3; i++) {
        wish.tried[wish.tried_count] = pick(one, T0);
        for (unsigned k = 0; k < wish.tried_count; k++)
            assert_int_not_equal(wish.tried[k], wish.tried[wish.tried_count]);
        wish.tried_count++;
    }
    assert_int_equal(pools_pick(one, 0, &wish, T0, &wish.tried[3], &reason), ERR_UNREACHABLE);
    assert_true(slice_equals(reason, slice_of("no_server_up")));
}

static void a_backup_is_asked_only_when_nobody_else_can_be(void **state)
{
    (void)state;
    pool.server_count = 2;
    servers[1].is_backup = 1;
    one = start(0);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(ask(one, T0), 1);
    fail_twice(one, member_of(one, 1), T0);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(ask(one, T0 + SECOND), 2);
    assert_int_equal(ask(one, T0 + 5 * SECOND), 1);
}

static void the_least_busy_one_is_known_over_all_workers(void **state)
{
    uint32_t members[8];
    unsigned counts[4] = {0};
    (void)state;

    pool.balance = UPSTREAM_LEAST;
    one = start(0);
    other = start(1);
    for (unsigned i = 0; i < 8; i++)
        members[i] = pick(i % 2 ? one : other, T0);
    for (unsigned i = 0; i < 8; i++)
        counts[port_of(one, members[i])]++;
    for (unsigned i = 1; i < 4; i++)
        assert_in_range(counts[i], 2, 3);
}

static void a_hash_leads_to_the_same_server_in_every_worker(void **state)
{
    unsigned counts[4] = {0};
    (void)state;

    pool.balance = UPSTREAM_HASH;
    one = start(0);
    other = start(7);
    for (unsigned i = 0; i < 3000; i++) {
        char text[16];

        snprintf(text, sizeof text, "%u", i);
        wish.hash = pools_hash(slice_of(text));
        counts[ask(one, T0)]++;
        assert_int_equal(ask(one, T0), ask(other, T0));
    }
    for (unsigned i = 1; i < 4; i++)
        assert_in_range(counts[i], 850, 1150);
}

static void at_its_limit_everybody_waits_and_a_release_anywhere_lets_one_in(void **state)
{
    uint32_t first, second, none;
    (void)state;

    pool.server_count = 1;
    servers[0].max = 2;
    one = start(0);
    other = start(1);
    first = pick(one, T0);
    second = pick(other, T0);
    assert_int_equal(pools_pick(one, 0, &wish, T0, &none, &reason), ERR_BUSY);
    assert_int_equal(pools_take(one, first), ERR_BUSY);
    pools_release(other, second);
    first = pick(one, T0);
    assert_int_equal(pools_pick(other, 0, &wish, T0, &none, &reason), ERR_BUSY);
}

/* --- health --- */

static void a_server_that_fails_is_put_aside_by_all_workers_and_comes_back(void **state)
{
    uint32_t member;
    (void)state;

    one = start(0);
    other = start(1);
    member = member_of(one, 2);
    fail_twice(one, member, T0);
    for (unsigned i = 0; i < 100; i++)
        assert_int_not_equal(ask(other, T0 + SECOND), 2);
    assert_false(pools_is_up(other, member, T0 + SECOND));
    assert_true(pools_is_up(other, member, T0 + 5 * SECOND));
    for (unsigned i = 0, seen = 0; !seen; i++) {
        assert_true(i < 4);
        seen = ask(other, T0 + 5 * SECOND) == 2;
    }
}

static void a_pool_is_never_put_aside_as_a_whole(void **state)
{
    unsigned counts[4] = {0};
    (void)state;

    one = start(0);
    for (unsigned i = 1; i < 4; i++)
        fail_twice(one, member_of(one, i), T0);
    for (unsigned i = 0; i < 300; i++)
        counts[ask(one, T0 + SECOND)]++;
    for (unsigned i = 1; i < 4; i++)
        assert_in_range(counts[i], 98, 102);
}

static void health_outlives_the_worker(void **state)
{
    uint32_t member;
    (void)state;

    one = start(0);
    member = member_of(one, 2);
    fail_twice(one, member, T0);
    pools_stop(&one);
    one = start(0);
    assert_false(pools_is_up(one, member, T0 + SECOND));
    assert_int_equal(port_of(one, member), 2);
}

static void a_server_that_comes_back_starts_slowly(void **state)
{
    unsigned counts[4] = {0};
    uint32_t member;
    (void)state;

    pool.server_count = 2;
    pool.slow_start_ms = 10000;
    one = start(0);
    member = member_of(one, 2);
    fail_twice(one, member, T0);
    pools_report(one, member, POOLS_OK, T0 + 5 * SECOND);
    for (unsigned i = 0; i < 1000; i++)
        counts[ask(one, T0 + 6 * SECOND)]++;
    assert_in_range(counts[2], 80, 100); /* a tenth of the other one's */
    memset(counts, 0, sizeof counts);
    for (unsigned i = 0; i < 1000; i++)
        counts[ask(one, T0 + 15 * SECOND)]++;
    assert_in_range(counts[2], 490, 510);
}

/* --- checks --- */

static void a_check_is_done_by_one_worker_each_time(void **state)
{
    const struct upstream_pool *asking;
    uint32_t member;
    unsigned count = 0;
    (void)state;

    pool.check.kind = UPSTREAM_CHECK_HTTP;
    pool.check.path = "/health";
    one = start(0);
    other = start(1);
    for (unsigned i = 0; i < 6; i++)
        count += (unsigned)pools_take_check(i % 2 ? one : other, T0, &member, &asking);
    assert_int_equal(count, 3);
    assert_string_equal(asking->check.path, "/health");
    assert_int_equal(pools_tick(one, T0), T0 + 2 * SECOND);
    assert_false(pools_take_check(one, T0 + 2 * SECOND - 1, &member, &asking));
    assert_true(pools_take_check(other, T0 + 2 * SECOND, &member, &asking));
}

static void a_server_that_fails_its_checks_is_down_until_one_is_good(void **state)
{
    uint32_t member, none;
    (void)state;

    pool.check.kind = UPSTREAM_CHECK_HTTP;
    pool.check.path = "/health";
    pool.server_count = 1;
    one = start(0);
    other = start(1);
    member = member_of(one, 1);
    pools_report_check(one, member, 503, T0);
    assert_true(pools_is_up(one, member, T0));
    pools_report_check(other, member, ERR_REFUSED, T0);
    assert_false(pools_is_up(one, member, T0));
    assert_int_equal(pools_pick(one, 0, &wish, T0, &none, &reason), ERR_UNREACHABLE);
    assert_true(slice_equals(reason, slice_of("no_server_up")));
    pools_report_check(other, member, 200, T0);
    assert_int_equal(ask(one, T0), 1);
}

static void a_good_check_ends_what_requests_have_said(void **state)
{
    uint32_t member;
    (void)state;

    pool.check.kind = UPSTREAM_CHECK_HTTP;
    pool.check.path = "/health";
    one = start(0);
    member = member_of(one, 2);
    fail_twice(one, member, T0);
    assert_false(pools_is_up(one, member, T0));
    pools_report_check(one, member, 204, T0 + 1);
    assert_true(pools_is_up(one, member, T0 + 1));
}

static void without_checks_and_names_nothing_is_ever_due(void **state)
{
    const struct upstream_pool *asking;
    const struct upstream_server *name;
    uint32_t member;
    (void)state;

    one = start(0);
    assert_int_equal(pools_tick(one, T0), UINT64_MAX);
    assert_false(pools_take_check(one, T0, &member, &asking));
    assert_false(pools_take_name(one, T0, &member, &name));
}

/* --- names --- */

static struct pools_found found_at(uint16_t port)
{
    struct pools_found found = {.weight = 1};
    struct sockaddr_in *v4 = (void *)&found.address;

    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return found;
}

static void use_a_name(void)
{
    pool.server_count = 1;
    servers[0] = (struct upstream_server){.text = SLICE_LITERAL("app.example.com:80"),
                                          .kind = UPSTREAM_HOST,
                                          .host = "app.example.com",
                                          .port = 80,
                                          .weight = 1};
    one = start(0);
    other = start(1);
}

static void a_name_blocks_nothing_and_says_why_it_has_nobody(void **state)
{
    const struct upstream_server *name;
    uint32_t ticket, none;
    (void)state;

    use_a_name();
    assert_int_equal(pools_pick(one, 0, &wish, T0, &none, &reason), ERR_BUSY);
    assert_true(slice_equals(reason, slice_of("pool_empty")));
    assert_true(pools_tick(one, T0) <= T0 + SECOND / 10);
    assert_true(pools_take_name(one, T0, &ticket, &name));
    assert_string_equal(name->host, "app.example.com");
    assert_false(pools_take_name(other, T0, &none, &name));
    pools_report_name(one, ticket, NULL, 0, 0, 1, T0);
    assert_int_equal(pools_pick(other, 0, &wish, T0, &none, &reason), ERR_UNREACHABLE);
    assert_true(slice_equals(reason, slice_of("dns_failed")));
    assert_false(pools_take_name(other, T0, &none, &name));
    assert_true(pools_take_name(other, T0 + SECOND, &none, &name)); /* soon again */
}

static void what_one_worker_looks_up_all_have_and_addresses_change(void **state)
{
    struct pools_found found[2];
    const struct upstream_server *name;
    uint32_t ticket, old;
    (void)state;

    use_a_name();
    found[0] = found_at(11);
    found[1] = found_at(12);
    assert_true(pools_take_name(one, T0, &ticket, &name));
    pools_report_name(one, ticket, found, 2, 5000, 0, T0);
    assert_int_equal(ask(one, T0) + ask(one, T0), 23);
    (void)pools_tick(other, T0 + 1);
    assert_int_equal(ask(other, T0) + ask(other, T0), 23);
    assert_true(pools_tick(other, T0 + 1) <= T0 + 1 + SECOND);
    old = member_of(one, 11);
    assert_false(pools_take_name(one, T0 + 5 * SECOND - 1, &ticket, &name));
    assert_true(pools_take_name(other, T0 + 5 * SECOND, &ticket, &name));
    found[0] = found_at(13);
    pools_report_name(other, ticket, found, 2, 5000, 0, T0 + 5 * SECOND);
    (void)pools_tick(one, T0 + 5 * SECOND);
    assert_int_equal(ask(one, T0) + ask(one, T0), 25);
    assert_false(pools_has_member(one, old));
    assert_int_equal(port_of(one, old), 11); /* what is under way there ends there */
}

static void a_lookup_that_fails_leaves_the_former_addresses(void **state)
{
    struct pools_found found = found_at(11);
    const struct upstream_server *name;
    uint32_t ticket;
    (void)state;

    use_a_name();
    assert_true(pools_take_name(one, T0, &ticket, &name));
    pools_report_name(one, ticket, &found, 1, 5000, 0, T0);
    assert_true(pools_take_name(one, T0 + 5 * SECOND, &ticket, &name));
    pools_report_name(one, ticket, NULL, 0, 0, 1, T0 + 5 * SECOND);
    assert_int_equal(ask(one, T0 + 6 * SECOND), 11);
}

static void a_lookup_whose_worker_died_is_taken_by_another(void **state)
{
    const struct upstream_server *name;
    uint32_t ticket;
    (void)state;

    use_a_name();
    assert_true(pools_take_name(one, T0, &ticket, &name));
    pools_stop(&one);
    assert_false(pools_take_name(other, T0 + POOLS_LOOKUP_NS - 1, &ticket, &name));
    assert_true(pools_take_name(other, T0 + POOLS_LOOKUP_NS, &ticket, &name));
}

static void of_srv_the_weights_count_and_the_lower_priority_is_a_backup(void **state)
{
    struct pools_found found[3] = {found_at(11), found_at(12), found_at(13)};
    const struct upstream_server *name;
    unsigned counts[14] = {0};
    uint32_t ticket;
    (void)state;

    use_a_name();
    found[0].weight = 30;
    found[1].weight = 10;
    found[2].is_backup = 1;
    assert_true(pools_take_name(one, T0, &ticket, &name));
    pools_report_name(one, ticket, found, 3, 5000, 0, T0);
    for (unsigned i = 0; i < 400; i++)
        counts[ask(one, T0)]++;
    assert_int_equal(counts[11], 300);
    assert_int_equal(counts[12], 100);
    assert_int_equal(counts[13], 0);
}

/* --- others --- */

static void other_tries_are_bounded_by_the_budget(void **state)
{
    unsigned retries = 0;
    (void)state;

    one = start(0);
    while (pools_may_retry(one, 0))
        retries++;
    assert_in_range(retries, 1, 10);
    for (unsigned i = 0; i < 100; i++)
        (void)ask(one, T0);
    for (retries = 0; pools_may_retry(one, 0);)
        retries++;
    assert_int_equal(retries, 20);
}

/* The worker of that place dies, and the next one comes. */
static struct pools *start_again(struct pools **pools, uint32_t place)
{
    pools_stop(pools); /* gives back what is private, and nothing else */
    return start(place);
}

static void the_budget_outlives_the_worker_and_is_its_pools_alone(void **state)
{
    (void)state;
    one = start(0);
    while (pools_may_retry(one, 0))
        ;
    one = start_again(&one, 0);
    assert_false(pools_may_retry(one, 0));
    for (unsigned i = 0; i < 5; i++)
        (void)ask(one, T0);
    one = start_again(&one, 0);
    assert_true(pools_may_retry(one, 0));
    assert_false(pools_may_retry(one, 0));
    other = start(1); /* each slot has its own */
    assert_true(pools_may_retry(other, 0));
    pools_stop(&one);
    pool.name = SLICE_LITERAL("another"); /* of another configuration, in the same place */
    one = start(0);
    assert_true(pools_may_retry(one, 0));
}

/* Whenever a worker dies, the next one goes on with the turns where it stood. */
static void turns_go_on_across_deaths(void **state)
{
    unsigned whole[60], counts[5] = {0};
    (void)state;

    servers[0].weight = 5;
    servers[2].weight = 2;
    one = start(0);
    other = start(1);
    for (unsigned i = 0; i < 60; i++) {
        whole[i] = ask(other, T0);
        if (i % 3 == 1)
            one = start_again(&one, 0);
        assert_int_equal(ask(one, T0), whole[i]);
        counts[whole[i]]++;
    }
    assert_in_range(counts[1], 36, 39);
    assert_in_range(counts[2], 7, 8);
    assert_in_range(counts[3], 14, 16);
}

/* In the middle of a choice some have got their weight and nobody has paid: that shifts turns, and starves nobody. */
static void a_choice_that_was_cut_short_is_made_up_for(void **state)
{
    unsigned counts[5] = {0};
    struct table_row *row;
    (void)state;

    one = start(0);
    row = (void *)((char *)shared + TABLE_ROWS_AT);
    for (uint32_t i = 0; i < 100;
         i++) /* a hundred deaths, all of them at the worst place for the first one */
        row->accounts[TABLE_MEMBER_ENTRY(member_of(one, 1))] += (int64_t)HEALTH_WHOLE;
    for (unsigned i = 0; i < 3000; i++)
        counts[ask(one, T0)]++;
    assert_in_range(counts[2], 900, 1000);
    assert_in_range(counts[3], 900, 1000);
}

static void a_member_of_nobody_is_known_as_such(void **state)
{
    struct sockaddr_storage address;
    socklen_t length;
    (void)state;

    one = start(0);
    assert_false(pools_has_member(one, POOLS_NO_MEMBER));
    assert_false(pools_has_member(one, 0xffffffffu));
    assert_int_equal(pools_address(one, POOLS_NO_MEMBER, &address, &length), ERR_NOT_FOUND);
    assert_int_equal(pools_address(one, 0xffffffffu, &address, &length), ERR_NOT_FOUND);
    assert_true(slice_equals(pools_member_server(one, 0xffffffffu), slice_of("-")));
    assert_int_equal(pools_pool_of(one, POOLS_NO_MEMBER), UINT32_MAX);
    pools_report(one, 0xffffffffu, POOLS_RESET, T0);
    pools_recount(one, 0xffffffffu);
}

static void a_member_has_its_texts(void **state)
{
    uint32_t member;
    (void)state;

    one = start(0);
    member = member_of(one, 2);
    assert_true(slice_equals(pools_member_pool(one, member), slice_of("app")));
    assert_true(slice_equals(pools_member_server(one, member), slice_of("127.0.0.1:2")));
    assert_true(slice_equals(pools_member_address(one, member), slice_of("127.0.0.1:2")));
    assert_int_equal(pools_pool_of(one, member), 0);
    assert_true(pools_has_member(one, member));
}

static void without_shared_memory_it_works_alone(void **state)
{
    const struct pools_start alone = {.config = &config, .shared_fd = -1};
    (void)state;

    assert_int_equal(pools_start(&one, &alone, T0), 0);
    assert_in_range(ask(one, T0), 1, 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(servers_take_turns_by_their_weights),
        TEST(another_try_goes_to_another_server),
        TEST(a_backup_is_asked_only_when_nobody_else_can_be),
        TEST(the_least_busy_one_is_known_over_all_workers),
        TEST(a_hash_leads_to_the_same_server_in_every_worker),
        TEST(at_its_limit_everybody_waits_and_a_release_anywhere_lets_one_in),
        TEST(a_server_that_fails_is_put_aside_by_all_workers_and_comes_back),
        TEST(a_pool_is_never_put_aside_as_a_whole),
        TEST(health_outlives_the_worker),
        TEST(a_server_that_comes_back_starts_slowly),
        TEST(a_check_is_done_by_one_worker_each_time),
        TEST(a_server_that_fails_its_checks_is_down_until_one_is_good),
        TEST(a_good_check_ends_what_requests_have_said),
        TEST(without_checks_and_names_nothing_is_ever_due),
        TEST(a_name_blocks_nothing_and_says_why_it_has_nobody),
        TEST(what_one_worker_looks_up_all_have_and_addresses_change),
        TEST(a_lookup_that_fails_leaves_the_former_addresses),
        TEST(a_lookup_whose_worker_died_is_taken_by_another),
        TEST(of_srv_the_weights_count_and_the_lower_priority_is_a_backup),
        TEST(other_tries_are_bounded_by_the_budget),
        TEST(the_budget_outlives_the_worker_and_is_its_pools_alone),
        TEST(turns_go_on_across_deaths),
        TEST(a_choice_that_was_cut_short_is_made_up_for),
        TEST(a_member_of_nobody_is_known_as_such),
        TEST(a_member_has_its_texts),
        TEST(without_shared_memory_it_works_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
