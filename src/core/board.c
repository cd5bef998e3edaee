#include "core/board.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- making and mapping --- */

static int allocate(int fd, off_t at, off_t length)
{
    while (fallocate(fd, 0, at, length))
        if (errno != EINTR)
            return err_from_errno(errno);
    return 0;
}

int board_create(void)
{
    const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
    struct board *board;
    int fd = fd_memfd("holdfast-board", BOARD_SIZE, 0), result;

    if (fd < 0)
        return fd;
    result = allocate(fd, 0, BOARD_HEAD_SIZE);
    if (!result && fcntl(fd, F_ADD_SEALS, seals))
        result = err_from_errno(errno);
    if (!result) {
        board = mmap(NULL, BOARD_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        result = board == MAP_FAILED ? err_from_errno(errno) : 0;
    }
    if (result) {
        fd_close(&fd);
        return result;
    }
    board->magic = BOARD_MAGIC;
    board->version = BOARD_VERSION;
    board->next_serial = 1;
    board_unmap(&board);
    return fd;
}

int board_map(int fd, int is_writable, struct board **board)
{
    struct stat status;
    void *memory;

    *board = NULL;
    if (fstat(fd, &status) || !S_ISREG(status.st_mode) || status.st_size != (off_t)BOARD_SIZE)
        return ERR_INVALID;
    memory = mmap(NULL, BOARD_SIZE, is_writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        return err_from_errno(errno);
    *board = memory;
    if ((*board)->magic == BOARD_MAGIC && (*board)->version == BOARD_VERSION)
        return 0;
    board_unmap(board);
    return ERR_VERSION;
}

void board_unmap(struct board **board)
{
    if (*board)
        munmap(*board, BOARD_SIZE);
    *board = NULL;
}

/* --- places --- */

int board_use(struct board *board, int fd, unsigned place, const struct arena_page *page)
{
    struct board_slot *slot = &board->slots[place];
    int result = allocate(fd, (off_t)(BOARD_HEAD_SIZE + place * ARENA_PAGE_SIZE), ARENA_PAGE_SIZE);

    if (result)
        return result;
    slot->is_used = 0; /* a former master may have died on the way here: nothing was counted yet */
    memcpy(board_page(board, place), page, ARENA_PAGE_SIZE);
    slot->generation = page->generation;
    slot->number = page->slot;
    board->serials[place] = board->next_serial;
    board->next_serial = board->serials[place] + 1;
    atomic_store(&slot->is_used, 1);
    return 0;
}

void board_release(struct board *board, unsigned place)
{
    const uint32_t current = board->past_current;
    const struct board_past *before = &board->past[current & 1];
    struct board_past *spare = &board->past[(current + 1) & 1];

    if (!board->slots[place].is_used)
        return;
    if (before->serial != board->serials[place]) {
        *spare = *before;
        board_add_page(&spare->totals, board_page(board, place));
        spare->serial = board->serials[place];
        atomic_store(&board->past_current, current + 1);
    }
    atomic_store(&board->slots[place].is_used, 0);
}

const struct arena_page *board_used_page(const struct board *board, unsigned place)
{
    return atomic_load(&board->slots[place].is_used) ? board_page(board, place) : NULL;
}

int board_find(const struct board *board, uint32_t generation, uint32_t number)
{
    for (unsigned place = 0; place < BOARD_SLOTS; place++) {
        const struct board_slot *slot = &board->slots[place];

        if (slot->is_used && slot->generation == generation && slot->number == number)
            return (int)place;
    }
    return ERR_NOT_FOUND;
}

int board_lay_over(int fd, struct arena *arena)
{
    struct board *board;
    void *memory;
    int place, result = board_map(fd, 0, &board);

    if (result)
        return result;
    place = board_find(board, arena->page->generation, arena->page->slot);
    board_unmap(&board);
    if (place < 0)
        return place;
    memory = mmap(arena->page, ARENA_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
                  (off_t)(BOARD_HEAD_SIZE + (unsigned)place * ARENA_PAGE_SIZE));
    return memory == MAP_FAILED ? err_from_errno(errno) : 0;
}

/* --- sums --- */

void board_add_page(struct board_totals *totals, const struct arena_page *page)
{
    totals->accepted += page->accepted;
    totals->requests += page->requests;
    totals->deaths += page->deaths;
    totals->revivals += page->revivals;
    totals->takeovers += page->takeovers;
    totals->poisoned += page->poisoned;
    totals->crash_loops += page->crash_loops;
    totals->reconciled += page->reconciled;
    totals->odd += page->odd;
    for (unsigned i = 0; i < ARENA_COUNTERS; i++)
        totals->counters[i] += page->counters[i];
}

/* A slot that leaves meanwhile is seen once, twice or not at all: asked again if the past has changed. */
void board_sum(const struct board *board, struct board_totals *totals)
{
    uint32_t current;

    do {
        current = board->past_current;
        *totals = board->past[current & 1].totals;
        for (unsigned place = 0; place < BOARD_SLOTS; place++)
            if (board->slots[place].is_used && board->serials[place] != board->past[current & 1].serial)
                board_add_page(totals, board_page(board, place));
    } while (current != board->past_current);
}
