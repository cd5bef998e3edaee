/* The page of a handover link. */
#include "core/handover_page.h"

#include "base/fd.h"
#include "unit.h"

#include <fcntl.h>
#include <unistd.h>

static void what_one_side_stores_the_other_side_reads(void **state)
{
    struct handover_page *one, *other;
    int fd = handover_page_create();
    (void)state;

    assert_true(fd >= 0);
    assert_int_equal(handover_page_map(fd, &one), 0);
    assert_int_equal(handover_page_map(fd, &other), 0);
    one->offered = 3;
    assert_int_equal(other->offered, 3);
    assert_int_equal(other->taken + other->refused, 0);
    ((char *)handover_area(one))[HANDOVER_AREA_SIZE - 1] = 'x';
    assert_int_equal(((char *)handover_area(other))[HANDOVER_AREA_SIZE - 1], 'x');
    handover_page_unmap(&one);
    handover_page_unmap(&other);
    assert_null(one);
    fd_close(&fd);
}

static void its_size_is_sealed(void **state)
{
    int fd = handover_page_create();
    (void)state;

    assert_int_equal(ftruncate(fd, 4096), -1);
    fd_close(&fd);
}

static void another_file_is_none(void **state)
{
    struct handover_page *page;
    int fd = fd_memfd("other", HANDOVER_PAGE_SIZE, 0), null = open("/dev/null", O_RDWR | O_CLOEXEC);
    (void)state;

    assert_int_equal(handover_page_map(fd, &page), ERR_INVALID);
    assert_int_equal(handover_page_map(null, &page), ERR_INVALID);
    fd_close(&fd);
    fd = handover_page_create();
    assert_int_equal(handover_page_map(fd, &page), 0);
    page->version++;
    handover_page_unmap(&page);
    assert_int_equal(handover_page_map(fd, &page), ERR_VERSION);
    assert_null(page);
    fd_close(&fd);
    fd_close(&null);
}

static void every_refusal_has_a_text(void **state)
{
    (void)state;
    assert_string_equal(handover_refusal_text(HANDOVER_REFUSED_CRASHED), "a worker crashed over it");
    assert_string_equal(handover_refusal_text(99), "for an unknown reason");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_one_side_stores_the_other_side_reads),
        cmocka_unit_test(its_size_is_sealed),
        cmocka_unit_test(another_file_is_none),
        cmocka_unit_test(every_refusal_has_a_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
