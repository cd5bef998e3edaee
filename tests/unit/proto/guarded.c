#include "guarded.h"

#include "unit.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static char *guard_page(void)
{
    static char *guard;
    if (guard == NULL) {
        size_t page = (size_t)sysconf(_SC_PAGESIZE);
        char *area =
            mmap(NULL, GUARDED_CAPACITY + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        assert_ptr_not_equal(area, MAP_FAILED);
        assert_return_code(mprotect(area + GUARDED_CAPACITY, page, PROT_NONE), 0);
        guard = area + GUARDED_CAPACITY;
    }
    return guard;
}

char *guarded_copy(const char *bytes, size_t length)
{
    char *copy = guard_page() - length;
    assert_true(length <= GUARDED_CAPACITY);
    if (length > 0)
        memcpy(copy, bytes, length);
    return copy;
}
