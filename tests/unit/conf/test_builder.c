/* What is added comes back from the image; the first error stays. */
#include "conf/builder.h"

#include "conf/image.h"
#include "conf/tree.h"
#include "unit.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static struct conf_builder *builder;

static int setup(void **state)
{
    (void)state;
    return conf_builder_new(&builder);
}

static int teardown(void **state)
{
    (void)state;
    conf_builder_free(&builder);
    assert_null(builder);
    return 0;
}

static struct conf_word word(const char *text, uint32_t line)
{
    return (struct conf_word){
        .text = slice_of(text), .line = line, .column = 1, .width = (uint32_t)strlen(text)};
}

static int add(int parent, const char *name, uint32_t line, int has_block)
{
    struct conf_word its_name = word(name, line);

    return conf_builder_add_node(builder, parent, 0, &its_name, has_block, 0);
}

static void statements_keep_their_order_their_parents_and_their_arguments(void **state)
{
    struct conf_word argument = word("value", 2);
    struct conf_tree tree;
    struct conf_node site, files, last;
    void *image = NULL;
    size_t size = 0;
    int parent;
    (void)state;

    assert_int_equal(
        conf_builder_add_file(builder, "t.conf", "/etc", SLICE_LITERAL("site {\nfiles value\n}\nlast\n")), 0);
    parent = add(0, "site", 1, 1);
    assert_true(parent > 0);
    assert_true(add(parent, "files", 2, 0) > parent);
    assert_int_equal(conf_builder_add_argument(builder, &argument), 0);
    assert_true(add(0, "last", 4, 0) > 0);
    assert_int_equal(conf_builder_image(builder, &image, &size), 0);
    assert_int_equal(conf_tree_view(&tree, image, size), 0);
    site = conf_first_child(conf_root(&tree));
    assert_string_equal(conf_name(site), "site");
    files = conf_first_child(site);
    assert_string_equal(conf_name(files), "files");
    assert_int_equal(conf_arg_count(files), 1);
    assert_string_equal(conf_arg(files, 0), "value");
    last = conf_next(site);
    assert_string_equal(conf_name(last), "last");
    assert_false(conf_node_exists(conf_next(last)));
    conf_tree_fini(&tree);
    free(image);
}

/* The builder goes on; each image is what was added until then. */
static void an_image_can_be_had_at_any_time(void **state)
{
    void *first = NULL, *second = NULL;
    size_t first_size = 0, second_size = 0;
    (void)state;

    assert_int_equal(conf_builder_add_file(builder, "t.conf", "/", SLICE_LITERAL("a\n")), 0);
    assert_int_equal(conf_builder_image(builder, &first, &first_size), 0);
    assert_true(add(0, "a", 1, 0) > 0);
    assert_int_equal(conf_builder_image(builder, &second, &second_size), 0);
    assert_true(second_size > first_size);
    free(first);
    free(second);
}

static void what_is_sealed_cannot_be_changed(void **state)
{
    int fd;
    (void)state;

    assert_int_equal(conf_builder_add_file(builder, "t.conf", "/", SLICE_LITERAL("a\n")), 0);
    fd = conf_builder_seal(builder);
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_GET_SEALS) & (F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL),
                     F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL);
    assert_int_equal(write(fd, "x", 1), -1);
    (void)close(fd);
}

static void what_is_too_much_is_the_first_error_and_stays_it(void **state)
{
    char *much = calloc(1, CONF_IMAGE_MAX);
    void *image = NULL;
    size_t size = 0;
    (void)state;

    assert_non_null(much);
    assert_int_equal(conf_builder_add_file(builder, "t.conf", "/", SLICE_LITERAL("a\n")), 0);
    assert_int_equal(conf_builder_error(builder), 0);
    assert_int_equal(conf_builder_add_blob(builder, "much", (struct slice){much, CONF_IMAGE_MAX}), ERR_LIMIT);
    assert_int_equal(conf_builder_error(builder), ERR_LIMIT);
    assert_int_equal(add(0, "a", 1, 0), ERR_LIMIT);
    assert_int_equal(conf_builder_image(builder, &image, &size), ERR_LIMIT);
    assert_null(image);
    free(much);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(statements_keep_their_order_their_parents_and_their_arguments),
        TEST(an_image_can_be_had_at_any_time),
        TEST(what_is_sealed_cannot_be_changed),
        TEST(what_is_too_much_is_the_first_error_and_stays_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
