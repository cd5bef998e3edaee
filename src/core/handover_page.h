/* The page of a handover link: what sender and receiver of connections tell each other that must outlive both.
 *
 * A memfd of HANDOVER_PAGE_SIZE bytes, size sealed, made by the master for one link and used for nothing else. A frozen wire
 * format, since sender and receiver may be of different versions: fields are only ever added in the reserved bytes, and the
 * version counts. Integers are of the machine's order. It reads, from offset 0:
 *
 *   0     magic, version, sizes             written by the master, before anybody has it
 *   64    offered                           written by the sender alone
 *   128   taken, refused, refusal           written by the receiver alone
 *   4096  the passports of the batch that was offered last (passport.h), written by the sender alone
 *
 * Batches are numbered from 1. Rules of the two writers:
 *
 * - The sender writes the passports of batch n, then stores `offered` = n (release). It touches neither of them again before
 *   `taken` or `refused` is n. So at most one batch is open: n = offered > max(taken, refused).
 * - The receiver answers batch n once, with one store (release): `taken` = n, and from that store on the connections are its own;
 *   or `refusal` and then `refused` = n, and they are not, for good. Never both, never of a batch that was not offered.
 * - Nobody takes anything back. Both only grow.
 *
 * Whoever wakes whom over the link's socket says nothing: what counts stands here (docs/internals/handover.md). */
#ifndef HOLDFAST_CORE_HANDOVER_PAGE_H
#define HOLDFAST_CORE_HANDOVER_PAGE_H

#include "base/err.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define HANDOVER_PAGE_MAGIC 0x314b4e4c4f484648ULL /* the bytes HFHOLNK1 in memory order */
#define HANDOVER_PAGE_VERSION 1u
#define HANDOVER_AREA_AT 4096u
#define HANDOVER_AREA_SIZE (1u << 20)
#define HANDOVER_PAGE_SIZE (HANDOVER_AREA_AT + HANDOVER_AREA_SIZE)

/* Why a batch was refused. */
#define HANDOVER_REFUSAL_TABLE(X)                                                                            \
    X(NO_ROOM, 1, "no room for so many")                                                                     \
    X(NOT_UNDERSTOOD, 2, "a passport is of another version, or speaks of what is not there")                 \
    X(MALFORMED, 3, "a passport breaks its format")                                                          \
    X(CRASHED, 4, "a worker crashed over it")                                                                \
    X(DESCRIPTORS, 5, "its descriptors did not arrive")

enum handover_refusal {
#define HANDOVER_REFUSAL_ENUM(name, number, text) HANDOVER_REFUSED_##name = number,
    HANDOVER_REFUSAL_TABLE(HANDOVER_REFUSAL_ENUM)
#undef HANDOVER_REFUSAL_ENUM
};

struct handover_page {
    uint64_t magic;
    uint32_t version;
    uint32_t size; /* of the whole memfd */
    uint32_t area_at, area_size;
    unsigned char reserved[40];
    _Alignas(64) _Atomic uint64_t offered;
    _Alignas(64) _Atomic uint64_t taken;
    _Atomic uint64_t refused;
    _Atomic uint32_t refusal; /* enum handover_refusal, of the batch `refused` */
};
_Static_assert(sizeof(struct handover_page) <= HANDOVER_AREA_AT, "the area begins behind it");
_Static_assert(offsetof(struct handover_page, offered) == 64 && offsetof(struct handover_page, taken) == 128,
               "a frozen format");

/* A new one, all of its memory allocated. The descriptor or an error. */
WARN_UNUSED int handover_page_create(void);
/* 0; ERR_VERSION; ERR_INVALID: it is none. */
WARN_UNUSED int handover_page_map(int fd, struct handover_page **page);
void handover_page_unmap(struct handover_page **page);
/* The text of a refusal, for logs. */
const char *handover_refusal_text(uint32_t refusal);

static inline void *handover_area(struct handover_page *page)
{
    return (char *)page + HANDOVER_AREA_AT;
}

#endif
