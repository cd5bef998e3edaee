/* Counting connections by the address of their client. */
#include "core/clients.h"

#include "unit.h"

#include <arpa/inet.h>
#include <stdlib.h>

static uint64_t key_of(const char *text)
{
    uint8_t address[16];

    assert_int_equal(inet_pton(AF_INET6, text, address), 1);
    return clients_key(address);
}

static void an_address_counts_by_itself_and_a_network_of_64_bits_as_one(void **state)
{
    (void)state;

    assert_true(key_of("::ffff:127.0.0.1") != key_of("::ffff:127.0.0.2"));
    assert_int_equal(key_of("2001:db8:1:2::1"), key_of("2001:db8:1:2:ffff::9"));
    assert_true(key_of("2001:db8:1:2::1") != key_of("2001:db8:1:3::1"));
    assert_true(key_of("::1") != 0 && key_of("::") != 0);
}

static void a_network_of_ipv6_never_counts_as_an_address_of_ipv4(void **state)
{
    (void)state;

    assert_true(key_of("2001:db8:100::1") != key_of("::ffff:184.13.1.32"));
    assert_true(key_of("2001:db8:100::1") != key_of("::ffff:32.1.13.184"));
    assert_true(key_of("2001:db8:0:1::1") != key_of("::ffff:32.1.13.184"));
}

/* Keys that share their places under one seed do not under another. */
static void nobody_can_choose_addresses_that_share_a_place(void **state)
{
    enum { KEYS = 60 };
    struct clients clients = {0}, other = {.seed = 0x123456789abcdef0};
    uint64_t keys[KEYS];
    size_t count = 0, homes = 0, before = SIZE_MAX;
    (void)state;

    assert_int_equal(clients_add(&clients, 1), 1); /* makes its places */
    clients_remove(&clients, 1);
    for (uint64_t key = 0x20010db800000000; count < KEYS; key++) {
        assert_int_equal(clients_add(&clients, key), 1);
        if (clients.places[7].key == key)
            keys[count++] = key;
        clients_remove(&clients, key);
    }
    for (size_t i = 0; i < KEYS; i++) {
        size_t at = 0;

        assert_int_equal(clients_add(&other, keys[i]), 1);
        while (other.places[at].key != keys[i])
            at++;
        homes += at != before;
        before = at;
        clients_remove(&other, keys[i]);
    }
    assert_true(homes > KEYS / 2);
    clients_fini(&clients);
    clients_fini(&other);
}

static void connections_are_counted_up_and_down(void **state)
{
    struct clients clients = {0};
    (void)state;

    clients_remove(&clients, 5); /* of one that was never counted */
    assert_int_equal(clients_add(&clients, 7), 1);
    assert_int_equal(clients_add(&clients, 7), 2);
    assert_int_equal(clients_add(&clients, 8), 1);
    clients_remove(&clients, 7);
    assert_int_equal(clients_add(&clients, 7), 2);
    clients_remove(&clients, 7);
    clients_remove(&clients, 7);
    assert_int_equal(clients.count, 1);
    assert_int_equal(clients_add(&clients, 7), 1);
    clients_fini(&clients);
}

/* A table beside it that is too simple to be wrong. */
static void counts_are_right_after_many_comings_and_goings(void **state)
{
    enum { KEYS = 1000, EVENTS = 200000 };
    static uint32_t expected[KEYS];
    struct clients clients = {0};
    size_t living = 0;
    (void)state;

    srand(1);
    for (int i = 0; i < EVENTS; i++) {
        size_t n = (size_t)rand() % KEYS;
        uint64_t key = (uint64_t)(n + 1) << 40; /* alike in their lower bits */

        if (expected[n] && rand() % 2) {
            clients_remove(&clients, key);
            living -= --expected[n] == 0;
        } else {
            living += expected[n] == 0;
            assert_int_equal(clients_add(&clients, key), ++expected[n]);
        }
        assert_int_equal(clients.count, living);
    }
    for (size_t n = 0; n < KEYS; n++)
        for (; expected[n]; expected[n]--)
            clients_remove(&clients, (uint64_t)(n + 1) << 40);
    assert_int_equal(clients.count, 0);
    for (size_t i = 0; i < clients.capacity; i++)
        assert_int_equal(clients.places[i].key, 0);
    clients_fini(&clients);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_counts_by_itself_and_a_network_of_64_bits_as_one),
        cmocka_unit_test(a_network_of_ipv6_never_counts_as_an_address_of_ipv4),
        cmocka_unit_test(nobody_can_choose_addresses_that_share_a_place),
        cmocka_unit_test(connections_are_counted_up_and_down),
        cmocka_unit_test(counts_are_right_after_many_comings_and_goings),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
