#include "core/handover_page.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

static int map(int fd, struct handover_page **page)
{
    void *memory = mmap(NULL, HANDOVER_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (memory == MAP_FAILED)
        return err_from_errno(errno);
    (void)madvise(memory, HANDOVER_PAGE_SIZE, MADV_DONTDUMP); /* clients' bytes */
    *page = memory;
    return 0;
}

/* Allocated, so that memory is short here and never as a SIGBUS at whoever writes a passport. */
int handover_page_create(void)
{
    struct handover_page *page = NULL;
    int fd = fd_memfd("holdfast-handover", HANDOVER_PAGE_SIZE, 0), result;

    if (fd < 0)
        return fd;
    result = fallocate(fd, 0, 0, HANDOVER_PAGE_SIZE) ||
                     fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
                 ? err_from_errno(errno)
                 : map(fd, &page);
    if (result) {
        fd_close(&fd);
        return result;
    }
    page->magic = HANDOVER_PAGE_MAGIC;
    page->version = HANDOVER_PAGE_VERSION;
    page->size = HANDOVER_PAGE_SIZE;
    page->area_at = HANDOVER_AREA_AT;
    page->area_size = HANDOVER_AREA_SIZE;
    handover_page_unmap(&page);
    return fd;
}

int handover_page_map(int fd, struct handover_page **page)
{
    struct stat status;
    int result;

    *page = NULL;
    if (fstat(fd, &status) || !S_ISREG(status.st_mode) || status.st_size != HANDOVER_PAGE_SIZE)
        return ERR_INVALID;
    result = map(fd, page);
    if (result)
        return result;
    if ((*page)->magic != HANDOVER_PAGE_MAGIC)
        result = ERR_INVALID;
    else if ((*page)->version != HANDOVER_PAGE_VERSION || (*page)->area_at != HANDOVER_AREA_AT ||
             (*page)->area_size != HANDOVER_AREA_SIZE)
        result = ERR_VERSION;
    if (result)
        handover_page_unmap(page);
    return result;
}

void handover_page_unmap(struct handover_page **page)
{
    if (*page)
        munmap(*page, HANDOVER_PAGE_SIZE);
    *page = NULL;
}

const char *handover_refusal_text(uint32_t refusal)
{
    switch (refusal) {
#define HANDOVER_REFUSAL_CASE(name, number, text)                                                            \
    case number:                                                                                             \
        return text;
        HANDOVER_REFUSAL_TABLE(HANDOVER_REFUSAL_CASE)
#undef HANDOVER_REFUSAL_CASE
    default:
        return "for an unknown reason";
    }
}
