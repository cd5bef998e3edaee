/* A connection into a passport and back: what core knows of it. What its class knows, the class's mover writes and reads.
 *
 * Freezing changes nothing of the record; thawing makes a record that is THAWING: not driven, not counted, not ours. What is
 * written by index here (listener, class) is written by its name, so that another configuration finds it. */
#ifndef HOLDFAST_CORE_FREEZE_H
#define HOLDFAST_CORE_FREEZE_H

#include "core/handover_state.h"
#include "core/passport.h"
#include "core/worker.h"

/* Core's tags. docs/internals/passport.md says what each means. */
#define PASSPORT_CORE_TABLE(X)                                                                               \
    X(CLASS, 1)                                                                                              \
    X(CLASS_VERSION, 2)                                                                                      \
    X(KIND, 3)                                                                                               \
    X(DESCRIPTOR, 4)                                                                                         \
    X(LISTENER, 5)                                                                                           \
    X(CLIENT_ADDRESS, 6)                                                                                     \
    X(CLIENT_PORT, 7)                                                                                        \
    X(OPENED_NS, 8)                                                                                          \
    X(RX, 9)                                                                                                 \
    X(TX, 10)                                                                                                \
    X(DEADLINE_NS, 11)                                                                                       \
    X(DEADLINE_PURPOSE, 12)                                                                                  \
    X(TAKEN, 13)                                                                                             \
    X(INPUT, 14)                                                                                             \
    X(MADE, 15)                                                                                              \
    X(OUTPUT_FROM, 16)                                                                                       \
    X(OUTPUT, 17)                                                                                            \
    X(FILE, 18)                                                                                              \
    X(FILE_FROM, 19)                                                                                         \
    X(FILE_OFFSET, 20)                                                                                       \
    X(SPOOL, 21)                                                                                             \
    X(PLAN, 22)                                                                                              \
    X(SHUT, 23)                                                                                              \
    X(END_OF_INPUT, 24)                                                                                      \
    X(CRASHES, 25)                                                                                           \
    X(WITH, 26)

enum passport_core_tag {
#define PASSPORT_CORE_ENUM(name, number) PASSPORT_##name = number,
    PASSPORT_CORE_TABLE(PASSPORT_CORE_ENUM)
#undef PASSPORT_CORE_ENUM
};

/* How connections of a class change hands; of conn_class.mover. Called on the loop thread. None of them moves bytes of the
 * connection. */
struct conn_mover {
    uint16_t version;    /* of the class's part of the passport. Who finds a newer one refuses */
    uint64_t understood; /* bit n: the tag PASSPORT_CLASS_TAGS + n */
    /* May it go now? 0; ERR_BUSY: not now, ask again; ERR_UNSUPPORTED: not as it is. *with: the record that must go in the same
     * batch, or NULL. NULL instead of a function: it only goes with another one. */
    int (*may_move)(struct worker *worker, struct record *record, struct record **with);
    /* From which stream offset on the output ring's bytes are needed, also those that are sent. NULL: from tx on. */
    uint64_t (*keep_from)(const struct record *record);
    void (*freeze)(struct worker *worker, const struct record *record, struct passport_writer *out);
    /* Fills head->protocol. `with`: the record that goes with it, THAWING too, whose head may be changed; or NULL. 0;
     * ERR_UNSUPPORTED, ERR_NOT_FOUND: this configuration or version has not what it speaks of; ERR_PROTOCOL: malformed;
     * ERR_NO_MEMORY. On an error nothing is held. Touches no index of the worker's but blocks: `revived` will be called. */
    int (*thaw)(struct worker *worker, struct record *record, struct record_head *head,
                const struct passport *passport, struct record *with);
    /* Gives back the blocks that thaw took. NULL: it takes none. */
    void (*unthaw)(struct worker *worker, const struct record_head *head);
    /* Another worker has it: forgets it and gives back what it holds here, without a line, a count or a word to anybody. Core
     * gives back its blocks, its files and its number. NULL: nothing is kept. */
    void (*released)(struct worker *worker, struct record *record);
};

/* The descriptors of a batch, in the order in which they go. */
struct freeze_descriptors {
    unsigned char *control; /* borrowed: HANDOVER_CONTROL_SIZE bytes, a cmsghdr and the numbers */
    uint32_t count;
};

/* Appends a passport. `with`: index of the passport that it goes with, or -1. 0; ERR_NO_SPACE: the batch is full, and nothing was
 * appended. */
WARN_UNUSED int freeze_record(struct worker *worker, const struct record *record, int with,
                              struct passport_writer *writer, struct freeze_descriptors *descriptors);

/* What a batch is thawed from. */
struct thaw {
    struct worker *worker;
    uint32_t link;                /* its index */
    const unsigned char *control; /* the descriptors */
    uint32_t descriptors;
    struct record *records[PASSPORTS_MAX]; /* by passport */
    uint32_t count;                        /* that were thawed */
};
/* The next passport of the batch becomes a record. Errors as of conn_mover.thaw; then nothing of it is left. */
WARN_UNUSED int thaw_record(struct thaw *thaw, const struct passport *passport);
/* Takes back what thaw_record has made. */
void thaw_undo(struct worker *worker, struct record *record);

#endif
