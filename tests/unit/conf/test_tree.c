#include "conf/tree.h"

#include "base/fd.h"
#include "conf/builder.h"
#include "conf/source.h"
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const char example[] = "workers 4\n"
                              "site :80 b {\n"
                              "\tfiles \"/srv/w w\" \\\n"
                              "      x # \xc3\xa4\n"
                              "}\n";

static void statements_keep_their_words_and_places(void **state)
{
    (void)state;
    struct source *source = source_new(example);
    struct conf_node root = conf_root(&source->tree), site = source_child(root, "site", 0);
    struct conf_node files = source_child(site, "files", 0);
    assert_string_equal(conf_name(root), "");
    assert_int_equal(conf_arg_count(source_child(root, "workers", 0)), 1);
    assert_true(conf_has_block(site));
    assert_false(conf_has_block(files));
    assert_int_equal(conf_arg_count(files), 2);
    assert_string_equal(conf_arg(files, 0), "/srv/w w");
    assert_true(conf_arg_quoted(files, 0));
    assert_false(conf_arg_quoted(files, 1));
    assert_string_equal(conf_file(files), "t.conf");
    assert_int_equal(conf_line(files), 3);
    assert_int_equal(conf_column(files), 2);
    assert_false(conf_node_exists(conf_next(site)));
    assert_false(conf_node_exists(conf_first_child(files)));
    struct diagnostic_place place = conf_arg_place(files, 1);
    assert_int_equal(place.line, 4);
    assert_int_equal(place.column, 7);
    assert_int_equal(place.width, 1);
    assert_true(slice_equals(place.source, SLICE_LITERAL("      x # \xc3\xa4")));
    source_free(source);
}

static void relative_paths_start_from_the_folder_of_their_file(void **state)
{
    char path[32];
    (void)state;
    struct source *source = source_new("a");
    struct conf_node node = source_child(conf_root(&source->tree), "a", 0);
    assert_int_equal(conf_path_resolve(node, "www", path, sizeof path), 0);
    assert_string_equal(path, "/etc/holdfast/www");
    assert_int_equal(conf_path_resolve(node, "/srv", path, sizeof path), 0);
    assert_string_equal(path, "/srv");
    assert_int_equal(conf_path_resolve(node, "1234567890123456789", path, sizeof path), ERR_LIMIT);
    source_free(source);
}

static void blobs_are_found_by_name_and_aligned(void **state)
{
    struct conf_tree tree;
    struct slice bytes;
    void *image;
    size_t size;
    (void)state;
    struct source *source = source_new("a bc");
    assert_int_equal(conf_builder_add_blob(source->builder, "one", (struct slice){"\0\1\2", 3}), 0);
    assert_int_equal(conf_builder_add_blob(source->builder, "two", (struct slice){"", 0}), 0);
    assert_int_equal(conf_builder_add_blob(source->builder, "one", (struct slice){"x", 1}), ERR_EXISTS);
    assert_int_equal(conf_builder_image(source->builder, &image, &size), 0);
    assert_int_equal(conf_tree_view(&tree, image, size), 0);
    assert_int_equal(conf_tree_blob(&tree, "one", &bytes), 0);
    assert_true(slice_equals(bytes, (struct slice){"\0\1\2", 3}));
    assert_int_equal((uintptr_t)bytes.at % 8, 0);
    assert_int_equal(conf_tree_blob(&tree, "two", &bytes), 0);
    assert_int_equal(bytes.length, 0);
    assert_int_equal(conf_tree_blob(&tree, "three", &bytes), ERR_NOT_FOUND);
    assert_int_equal(conf_tree_blob(&source->tree, "one", &bytes), ERR_NOT_FOUND);
    conf_tree_fini(&tree);
    free(image);
    source_free(source);
}

static void a_sealed_snapshot_can_be_mapped_and_not_be_changed(void **state)
{
    struct conf_tree tree;
    (void)state;
    struct source *source = source_new(example);
    int fd = conf_builder_seal(source->builder);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "x", 1), -1);
    assert_int_equal(ftruncate(fd, 0), -1);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(conf_tree_map(&tree, fd), 0);
    fd_close(&fd);
    char *mapped = source_outline(&tree), *viewed = source_outline(&source->tree);
    assert_string_equal(mapped, viewed);
    free(mapped);
    free(viewed);
    conf_tree_fini(&tree);
    source_free(source);
}

static void what_is_not_sealed_is_not_mapped(void **state)
{
    struct conf_tree tree;
    (void)state;
    struct source *source = source_new(example);
    int fd = fd_memfd("test", 0, 0);
    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, source->image, source->size), 0);
    assert_int_equal(conf_tree_map(&tree, fd), ERR_PERMISSION);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK), 0);
    assert_int_equal(conf_tree_map(&tree, fd), ERR_PERMISSION);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
    assert_int_equal(conf_tree_map(&tree, fd), 0);
    conf_tree_fini(&tree);
    fd_close(&fd);
    source_free(source);
}

static void an_image_of_another_version_is_refused_as_such(void **state)
{
    struct conf_tree tree;
    (void)state;
    struct source *source = source_new(example);
    ((unsigned char *)source->image)[8]++;
    assert_int_equal(conf_tree_view(&tree, source->image, source->size), ERR_VERSION);
    ((unsigned char *)source->image)[0]++;
    assert_int_equal(conf_tree_view(&tree, source->image, source->size), ERR_SYNTAX);
    source_free(source);
}

/* Touches everything that an accessor can reach. */
static size_t walk(struct conf_node node)
{
    size_t sum = strlen(conf_name(node)) + strlen(conf_directory(node)) + conf_place(node).source.length;
    for (size_t i = 0; i < conf_arg_count(node); i++)
        sum += strlen(conf_arg(node, i)) + conf_arg_place(node, i).width;
    for (struct conf_node child = conf_first_child(node); conf_node_exists(child); child = conf_next(child))
        sum += walk(child);
    return sum;
}

static void no_damaged_image_leads_anybody_outside_of_it(void **state)
{
    static const unsigned char values[] = {0, 1, 2, 3, 5, 7, 8, 16, 0x7f, 0x80, 0xff};
    size_t page = (size_t)sysconf(_SC_PAGESIZE), refused = 0, accepted = 0;
    (void)state;
    struct source *source = source_new(example);
    assert_int_equal(conf_builder_add_blob(source->builder, "key", (struct slice){"12345678", 8}), 0);
    free(source->image);
    assert_int_equal(conf_builder_image(source->builder, &source->image, &source->size), 0);
    assert_true(source->size < page);
    /* Directly before memory that nobody may touch. The size is no multiple of 8, so the beginning is shifted. */
    char *memory = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(memory, MAP_FAILED);
    assert_int_equal(mprotect(memory + page, page, PROT_NONE), 0);
    char *image = memory + (page - source->size) / 8 * 8;
    for (size_t at = 0; at < source->size; at++) {
        for (size_t i = 0; i < sizeof values; i++) {
            struct conf_tree tree;
            struct slice blob;
            memcpy(image, source->image, source->size);
            image[at] = (char)values[i];
            if (conf_tree_view(&tree, image, source->size)) {
                refused++;
                continue;
            }
            accepted++;
            walk(conf_root(&tree));
            if (conf_tree_blob(&tree, "key", &blob) == 0)
                assert_true(blob.at >= image && blob.at + blob.length < image + source->size);
        }
    }
    assert_true(refused > 100 && accepted > 100);
    munmap(memory, 2 * page);
    source_free(source);
}

static void an_image_that_is_cut_off_is_refused_wherever(void **state)
{
    struct conf_tree tree;
    (void)state;
    struct source *source = source_new(example);
    for (size_t size = 0; size < source->size; size++)
        assert_int_equal(conf_tree_view(&tree, source->image, size), ERR_SYNTAX);
    source_free(source);
}

static void only_an_aligned_image_is_read(void **state)
{
    struct conf_tree tree;
    (void)state;
    struct source *source = source_new(example);
    char *copy = malloc(source->size + 8);
    assert_non_null(copy);
    memcpy(copy + 4, source->image, source->size);
    assert_int_equal(conf_tree_view(&tree, copy + 4, source->size), ERR_SYNTAX);
    free(copy);
    source_free(source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statements_keep_their_words_and_places),
        cmocka_unit_test(relative_paths_start_from_the_folder_of_their_file),
        cmocka_unit_test(blobs_are_found_by_name_and_aligned),
        cmocka_unit_test(a_sealed_snapshot_can_be_mapped_and_not_be_changed),
        cmocka_unit_test(what_is_not_sealed_is_not_mapped),
        cmocka_unit_test(an_image_of_another_version_is_refused_as_such),
        cmocka_unit_test(no_damaged_image_leads_anybody_outside_of_it),
        cmocka_unit_test(an_image_that_is_cut_off_is_refused_wherever),
        cmocka_unit_test(only_an_aligned_image_is_read),
    };
    return cmocka_run_group_tests_name("tree", tests, NULL, NULL);
}
