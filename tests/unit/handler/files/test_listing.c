#include "handler/files/listing.h"

#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct listing listing;

static void fill(unsigned count)
{
    listing =
        (struct listing){.path = "/a&b/", .count = count, .entries = calloc(count, sizeof *listing.entries)};
    assert_non_null(listing.entries);
    for (unsigned i = 0; i < count; i++) {
        char name[32];

        snprintf(name, sizeof name, "<%u>", i);
        listing.entries[i] = (struct listing_entry){
            .name = strdup(name), .is_folder = i % 10 == 0, .size = (count - i) * 1000, .modified_s = i * 60};
    }
}

static void names_are_escaped_in_both_forms(void **state)
{
    struct listing_style style = {0};
    char *out = NULL;
    size_t length = 0;
    (void)state;

    fill(3);
    assert_int_equal(listing_write(&listing, &style, LISTING_BYTES_MAX, &out, &length), 0);
    assert_non_null(memmem(out, length, "&lt;1&gt;", 9));
    assert_non_null(memmem(out, length, "href=\"./%3C1%3E\"", 16));
    assert_non_null(memmem(out, length, "a&amp;b", 7));
    assert_null(memmem(out, length, "<1>", 3));
    free(out);
    style.is_json = 1;
    assert_int_equal(listing_write(&listing, &style, LISTING_BYTES_MAX, &out, &length), 0);
    assert_non_null(memmem(out, length, "\"<1>\", \"type\": \"file\"", 21));
    assert_non_null(memmem(out, length, "\"truncated\": false", 18));
    free(out);
    listing_fini(&listing);
}

static void what_does_not_fit_is_left_out_and_said(void **state)
{
    struct listing_style style = {.is_json = 1};
    (void)state;

    for (size_t limit = 600; limit < 20000; limit += 777) {
        char *out = NULL;
        size_t length = 0;

        fill(500);
        assert_int_equal(listing_write(&listing, &style, limit, &out, &length), 0);
        assert_true(length <= limit && listing.is_truncated && listing.count < 500);
        assert_non_null(memmem(out, length, "\"truncated\": true", 17));
        free(out);
        listing_fini(&listing);
    }
}

static void folders_come_first_in_every_order(void **state)
{
    (void)state;
    for (unsigned order = 0; order < LISTING_ORDERS; order++) {
        for (int descends = 0; descends < 2; descends++) {
            fill(40);
            listing_sort(&listing, (enum listing_order)order, descends);
            for (unsigned i = 0; i < 40; i++)
                assert_int_equal(listing.entries[i].is_folder, i < 4);
            for (unsigned i = 5; order == LISTING_BY_SIZE && i < 40; i++)
                assert_true(descends ? listing.entries[i - 1].size > listing.entries[i].size
                                     : listing.entries[i - 1].size < listing.entries[i].size);
            listing_fini(&listing);
        }
    }
}

static void a_query_says_the_order_and_nonsense_nothing(void **state)
{
    struct listing_style style = listing_style_of(SLICE_LITERAL("x=y&order=desc&sort=size&"));
    (void)state;

    assert_int_equal(style.order, LISTING_BY_SIZE);
    assert_true(style.is_descending);
    style = listing_style_of(SLICE_LITERAL("sort=sizes&order=&&=&sort"));
    assert_int_equal(style.order, LISTING_BY_NAME);
    assert_false(style.is_descending);
}

static void a_folder_is_read_without_what_is_hidden(void **state)
{
    char folder[] = "/tmp/holdfast-listing-XXXXXX", command[64];
    int root;
    (void)state;

    assert_non_null(mkdtemp(folder));
    root = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(mkdirat(root, "sub", 0755), 0);
    close(openat(root, ".hidden", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    close(openat(root, "seen", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    assert_int_equal(symlinkat("/etc", root, "out"), 0);
    assert_int_equal(listing_read(&listing, root, "", 0), 0);
    assert_int_equal(listing.count, 2);
    listing_fini(&listing);
    assert_int_equal(listing_read(&listing, root, "", 1), 0);
    assert_int_equal(listing.count, 3);
    listing_fini(&listing);
    assert_int_equal(listing_read(&listing, root, "nothing/", 0), -1);
    listing_fini(&listing);
    close(root);
    snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_escaped_in_both_forms),
        cmocka_unit_test(what_does_not_fit_is_left_out_and_said),
        cmocka_unit_test(folders_come_first_in_every_order),
        cmocka_unit_test(a_query_says_the_order_and_nonsense_nothing),
        cmocka_unit_test(a_folder_is_read_without_what_is_hidden),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
