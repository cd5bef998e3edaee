#include "handler/files/cache.h"

#include "rig.h"
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct rig rig;
static struct file_cache *cache;
static const struct conn_class no_class;

static int setup(void **state)
{
    (void)state;
    rig_open(&rig, &no_class, AF_INET);
    cache = calloc(1, sizeof *cache);
    cache_init(cache, &rig.worker);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    (void)cache_trim(cache, UINT64_MAX, UINT64_MAX);
    assert_int_equal(rig.worker.files, 0);
    free(cache);
    rig_close(&rig);
    return 0;
}

static struct cached_file *put(unsigned site, const char *path, uint64_t used_ns)
{
    struct cached_file *file = cache_place(cache, site, slice_of(path), CACHE_FORM_FILE);

    assert_non_null(file);
    file->used_ns = used_ns;
    return file;
}

static unsigned entries_used(void)
{
    unsigned count = 0;

    for (unsigned i = 0; i < CACHE_ENTRIES; i++)
        count += cache->entries[i].path != NULL;
    return count;
}

static void what_was_put_is_found_by_site_and_whole_path(void **state)
{
    struct cached_file *a = put(0, "/a", 1), *b = put(1, "/a", 1), *ab = put(0, "/ab", 1);
    (void)state;

    assert_ptr_equal(cache_find(cache, 0, slice_of("/a"), CACHE_FORM_FILE), a);
    assert_ptr_equal(cache_find(cache, 1, slice_of("/a"), CACHE_FORM_FILE), b);
    assert_ptr_equal(cache_find(cache, 0, slice_of("/ab"), CACHE_FORM_FILE), ab);
    assert_null(cache_find(cache, 2, slice_of("/a"), CACHE_FORM_FILE));
    assert_null(cache_find(cache, 0, slice_of("/"), CACHE_FORM_FILE));
    assert_null(cache_find(cache, 0, slice_of("/A"), CACHE_FORM_FILE));
    assert_null(cache_find(cache, 0, slice_of("/abc"), CACHE_FORM_FILE));
}

static void what_is_forgotten_is_not_found_and_leaves_nothing_open(void **state)
{
    struct cached_file *file = put(0, "/a", 1);
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    (void)state;

    worker_file_use(&rig.worker, fd);
    file->fd = fd;
    file->content = malloc(10);
    cache_forget(cache, file);
    assert_null(cache_find(cache, 0, slice_of("/a"), CACHE_FORM_FILE));
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    assert_int_equal(file->fd, -1);
    assert_null(file->content);
    cache_forget(cache, file); /* twice does no harm */
}

static void a_file_in_use_elsewhere_stays_open_when_it_is_forgotten(void **state)
{
    struct cached_file *file = put(0, "/a", 1);
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    (void)state;

    file->fd = fd;
    worker_file_use(&rig.worker, fd); /* the cache's */
    worker_file_use(&rig.worker, fd); /* a response's */
    cache_forget(cache, file);
    assert_true(fcntl(fd, F_GETFD) >= 0);
    worker_file_drop(&rig.worker, fd);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
}

static void any_number_of_files_fits_and_the_longest_unused_make_room(void **state)
{
    char path[32];
    unsigned recent = 0;
    (void)state;

    for (unsigned i = 0; i < 20000; i++) {
        snprintf(path, sizeof path, "/file-%u", i);
        assert_null(cache_find(cache, 0, slice_of(path), CACHE_FORM_FILE));
        (void)put(0, path, i);
        assert_non_null(cache_find(cache, 0, slice_of(path), CACHE_FORM_FILE));
    }
    assert_true(entries_used() <= CACHE_ENTRIES);
    assert_true(entries_used() > CACHE_ENTRIES * 9 / 10);
    for (unsigned i = 20000 - CACHE_ENTRIES; i < 20000; i++) {
        snprintf(path, sizeof path, "/file-%u", i);
        recent += cache_find(cache, 0, slice_of(path), CACHE_FORM_FILE) != NULL;
    }
    assert_true(recent > CACHE_ENTRIES / 2);
}

static void trimming_forgets_what_was_not_used_since(void **state)
{
    (void)state;
    (void)put(0, "/old", 10);
    (void)put(0, "/just", 20);
    (void)put(0, "/new", 30);
    assert_int_equal(cache_trim(cache, 20, 20), 2);
    assert_null(cache_find(cache, 0, slice_of("/old"), CACHE_FORM_FILE));
    assert_non_null(cache_find(cache, 0, slice_of("/just"), CACHE_FORM_FILE));
    assert_int_equal(cache_trim(cache, UINT64_MAX, UINT64_MAX), 0);
    assert_int_equal(entries_used(), 0);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(what_was_put_is_found_by_site_and_whole_path),
        CASE(what_is_forgotten_is_not_found_and_leaves_nothing_open),
        CASE(a_file_in_use_elsewhere_stays_open_when_it_is_forgotten),
        CASE(any_number_of_files_fits_and_the_longest_unused_make_room),
        CASE(trimming_forgets_what_was_not_used_since),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
