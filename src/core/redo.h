/* Words of the arena that change together with a record's head: counters, and how far a log is written.
 *
 * A head changes by one word (record_commit), but what it means is also counted elsewhere. So the new values of such words
 * are noted first, together with what the record's `current` will be; then the head is committed; then the words are
 * stored; then the note is forgotten. After a death the note tells the rest: if the record's `current` is the noted one,
 * the words are stored (again: they are values, no differences), if not, nothing has happened. Either way each event
 * counts once.
 *
 * The same goes for a second record whose head is to change with the first one's: bytes that leave one connection's ring
 * and appear in another's (redo_partner).
 *
 *   redo_begin ... redo_add, redo_set ... redo_commit           one transaction of the loop thread at a time
 *   redo_settle                                                 first thing of a revival */
#ifndef HOLDFAST_CORE_REDO_H
#define HOLDFAST_CORE_REDO_H

#include <stdatomic.h>
#include <stdint.h>

#define REDO_WORDS 16u /* different words of one transaction */

struct arena;
struct record;

/* In the arena. */
struct redo {
    volatile uint32_t is_armed; /* the rest is whole */
    uint32_t record;            /* number of the record whose commit decides */
    uint32_t current;           /* its `current` once it has happened */
    uint32_t count;
    uint32_t partner;         /* number + 1 of the record that changes with it, or 0 */
    uint32_t partner_current; /* its `current` once it has happened */
    struct redo_word {
        uint64_t offset; /* from the beginning of the arena, bytes */
        uint64_t value;
    } words[REDO_WORDS];
};

/* Forgets what was noted: a transaction begins, or is given up. */
void redo_begin(struct arena *arena);
/* Notes a word's new value. The word lies in the arena. More than REDO_WORDS is our own mistake. */
void redo_set(struct arena *arena, _Atomic uint64_t *word, uint64_t value);
/* The same, as a difference to what it will be so far. */
void redo_add(struct arena *arena, _Atomic uint64_t *word, uint64_t difference);
/* What the word will be if this transaction is committed. */
uint64_t redo_value(struct arena *arena, _Atomic uint64_t *word);
/* The partner's spare head (record_begin), too, is to count from the next redo_commit on. One at a time; never the record
 * itself. */
void redo_partner(struct arena *arena, const struct record *partner);
/* Commits the record's spare head, its partner's, and stores the words. */
void redo_commit(struct arena *arena, struct record *record);
/* After a death: finishes a commit that was cut off. 1 if there was one to finish. */
int redo_settle(struct arena *arena);

#endif
