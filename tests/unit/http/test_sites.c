#include "http/sites.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

#define SITES 1000

static char names[SITES][32];
static struct http_site_address addresses[SITES];
static struct http_site sites[SITES];

static struct http_config config_of(size_t count)
{
    return (struct http_config){.sites = sites, .site_count = count};
}

static void give(size_t site, uint32_t listener, const char *host)
{
    snprintf(names[site], sizeof names[site], "%s", host);
    addresses[site] = (struct http_site_address){.listener = listener, .host = names[site]};
    sites[site] = (struct http_site){.addresses = &addresses[site], .address_count = 1};
}

static const struct http_site *find(const struct http_config *config, uint32_t listener, const char *host)
{
    struct sites index;
    const struct http_site *found;

    assert_int_equal(sites_init(&index, config), 0);
    found = sites_find(&index, listener, slice_of(host));
    sites_fini(&index);
    return found;
}

static void a_name_finds_its_site_whatever_its_case(void **state)
{
    const struct http_config config = config_of(2);

    (void)state;
    give(0, 0, "example.com");
    give(1, 0, "example.org");
    assert_ptr_equal(find(&config, 0, "example.com"), &sites[0]);
    assert_ptr_equal(find(&config, 0, "Example.ORG"), &sites[1]);
}

static void a_final_dot_does_not_matter(void **state)
{
    struct http_config config = config_of(2);

    (void)state;
    give(0, 0, "example.com");
    give(1, 0, "");
    assert_ptr_equal(find(&config, 0, "example.com."), &sites[0]);
    assert_ptr_equal(find(&config, 0, "EXAMPLE.com."), &sites[0]);
    assert_ptr_equal(find(&config, 0, "example.com.."), &sites[1]);
    assert_ptr_equal(find(&config, 0, "."), &sites[1]);
    config.site_count = 1;
    assert_ptr_equal(find(&config, 0, "example.com."), &sites[0]);
    assert_null(find(&config, 0, "."));
}

static void an_unknown_name_gets_the_site_without_a_name_or_none(void **state)
{
    struct http_config config = config_of(2);

    (void)state;
    give(0, 0, "example.com");
    give(1, 0, "");
    assert_ptr_equal(find(&config, 0, "elsewhere"), &sites[1]);
    assert_ptr_equal(find(&config, 0, ""), &sites[1]);
    assert_ptr_equal(find(&config, 0, "example.com"), &sites[0]);
    config.site_count = 1;
    assert_null(find(&config, 0, "elsewhere"));
    assert_null(find(&config, 0, "example.co"));
    assert_null(find(&config, 0, "example.com2"));
}

static void the_same_name_on_another_listener_is_another_site(void **state)
{
    const struct http_config config = config_of(3);

    (void)state;
    give(0, 0, "example.com");
    give(1, 1, "example.com");
    give(2, CORE_LISTENERS_MAX - 1, "");
    assert_ptr_equal(find(&config, 0, "example.com"), &sites[0]);
    assert_ptr_equal(find(&config, 1, "example.com"), &sites[1]);
    assert_ptr_equal(find(&config, CORE_LISTENERS_MAX - 1, "example.com"), &sites[2]);
    assert_null(find(&config, 1, "example.org"));
}

static void a_thousand_names_are_all_found(void **state)
{
    const struct http_config config = config_of(SITES);
    struct sites index;
    char host[32];

    (void)state;
    for (size_t i = 0; i < SITES; i++) {
        snprintf(host, sizeof host, "host-%zu.example", i);
        give(i, (uint32_t)(i % 3), host);
    }
    assert_int_equal(sites_init(&index, &config), 0);
    for (size_t i = 0; i < SITES; i++) {
        assert_ptr_equal(sites_find(&index, (uint32_t)(i % 3), slice_of(names[i])), &sites[i]);
        assert_null(sites_find(&index, (uint32_t)((i + 1) % 3), slice_of(names[i])));
    }
    sites_fini(&index);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_finds_its_site_whatever_its_case),
        cmocka_unit_test(a_final_dot_does_not_matter),
        cmocka_unit_test(an_unknown_name_gets_the_site_without_a_name_or_none),
        cmocka_unit_test(the_same_name_on_another_listener_is_another_site),
        cmocka_unit_test(a_thousand_names_are_all_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
