#include "loop/timers.h"

#include "base/assert.h"

#include <stdlib.h>
#include <sys/mman.h>

/* Both arrays are mapped for all numbers and touched as they are used: no growth that could fail later. */
static void *map_array(size_t size)
{
    void *memory =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return memory == MAP_FAILED ? NULL : memory;
}

int timers_init(struct timers *timers, uint32_t numbers)
{
    *timers = (struct timers){.numbers = numbers, .capacity = numbers};
    timers->heap = map_array((size_t)numbers * sizeof *timers->heap);
    timers->place = map_array((size_t)numbers * sizeof *timers->place);
    if (timers->heap && timers->place)
        return 0;
    timers_fini(timers);
    return ERR_NO_MEMORY;
}

void timers_fini(struct timers *timers)
{
    if (timers->heap)
        munmap(timers->heap, (size_t)timers->capacity * sizeof *timers->heap);
    if (timers->place)
        munmap(timers->place, (size_t)timers->numbers * sizeof *timers->place);
    *timers = (struct timers){0};
}

static void put(struct timers *timers, uint32_t at, struct timer_entry entry)
{
    timers->heap[at] = entry;
    timers->place[entry.number] = at + 1;
}

static void sift_up(struct timers *timers, uint32_t at, struct timer_entry entry)
{
    while (at > 0 && timers->heap[(at - 1) / 2].deadline_ns > entry.deadline_ns) {
        put(timers, at, timers->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    put(timers, at, entry);
}

static void sift_down(struct timers *timers, uint32_t at, struct timer_entry entry)
{
    for (;;) {
        uint32_t child = 2 * at + 1;

        if (child >= timers->count)
            break;
        if (child + 1 < timers->count &&
            timers->heap[child + 1].deadline_ns < timers->heap[child].deadline_ns)
            child++;
        if (timers->heap[child].deadline_ns >= entry.deadline_ns)
            break;
        put(timers, at, timers->heap[child]);
        at = child;
    }
    put(timers, at, entry);
}

void timers_set(struct timers *timers, uint32_t number, uint64_t deadline_ns)
{
    struct timer_entry entry = {deadline_ns, number};
    uint32_t place;

    MUST(number < timers->numbers);
    place = timers->place[number];
    if (!place)
        sift_up(timers, timers->count++, entry);
    else if (timers->heap[place - 1].deadline_ns > deadline_ns)
        sift_up(timers, place - 1, entry);
}

void timers_remove(struct timers *timers, uint32_t number)
{
    uint32_t place = timers->place[number];
    struct timer_entry last;

    if (!place)
        return;
    timers->place[number] = 0;
    last = timers->heap[--timers->count];
    if (place - 1 == timers->count)
        return;
    if (place - 1 > 0 && timers->heap[(place - 2) / 2].deadline_ns > last.deadline_ns)
        sift_up(timers, place - 1, last);
    else
        sift_down(timers, place - 1, last);
}

uint64_t timers_earliest(const struct timers *timers)
{
    return timers->count ? timers->heap[0].deadline_ns : UINT64_MAX;
}

int timers_take_due(struct timers *timers, uint64_t now_ns, uint32_t *number)
{
    if (!timers->count || timers->heap[0].deadline_ns > now_ns)
        return 0;
    *number = timers->heap[0].number;
    timers_remove(timers, *number);
    return 1;
}
