/* Handovers: live connections change hands between the workers of two slots.
 *
 * Sender and receiver share a link: a socket and a page (handover_page.h). They move one batch at a time:
 *
 *     sender                                   receiver
 *     FREEZE   the outbox, then life by life
 *     OFFER    passports, then page.offered
 *     SEND     the descriptors  ------------>  RECEIVE  into the arena
 *                                              THAW     into records that nobody drives
 *                                              TAKE     page.taken: from here on they are the receiver's
 *              <------------------------ WAKE  OPEN     one by one; they are driven
 *     RELEASE  out of epoll, close(2)
 *                                         or:  REFUSE   page.refused; the descriptors are closed
 *     RESUME   they are driven as before       WAKE
 *
 * Either worker may die between any two instructions; its successor goes on from arena and page (handover_revive). A crash
 * while it thaws is the batch's fault: it is refused, and its connections go one by one next time, so that one alone stays.
 * The end of the socket says that nobody holds the other slot's descriptors any more: what was not taken then is resumed.
 *
 * The steps are those of tests/model/handover.pml, which is checked; docs/internals/handover.md tells more. handover_give.c is
 * the sender, handover_take.c the receiver, handover.c what they share. Core moves what a class's mover (freeze.h) lets it. */
#ifndef HOLDFAST_CORE_HANDOVER_H
#define HOLDFAST_CORE_HANDOVER_H

#include "core/handover_page.h"
#include "core/handover_state.h"

#include <stdint.h>

struct arena;
struct link_message;
struct record;
struct worker;

/* Of one worker, private: made anew by its successor. */
struct handover {
    struct handover_page *pages[HANDOVER_LINKS]; /* owned mappings */
    uint32_t cursor[HANDOVER_LINKS];             /* GIVES: the record that is looked at next */
    uint32_t put_off[HANDOVER_LINKS];            /* … that could not go in this pass */
    uint64_t look_ns;                            /* when to look again; 0: when told */
};

/* --- the worker's loop --- */

/* Receives a message of the master's link, and the link that it may bring. As link_receive. */
int handover_receive_link(struct worker *worker, struct link_message *message);
/* 1 if the descriptor is a link's socket, which has an event: then that is seen to. */
int handover_ready(struct worker *worker, uint32_t number);
/* Once in a turn: what is due. */
void handover_turn(struct worker *worker);
/* CLOCK_MONOTONIC; UINT64_MAX: nothing is. */
uint64_t handover_due_ns(const struct worker *worker);
/* 1 while connections are neither ours nor another's for certain: the worker must not leave. */
int handover_is_open(const struct worker *worker);
/* Unmaps. The links stay: another worker follows. */
void handover_fini(struct worker *worker);

/* --- revival --- */

/* 1 if fd is a link's, or came with a message and is nobody's yet. */
int handover_has_descriptor(const struct arena *arena, int fd);
/* Before the intents are forgotten: a crash over a batch is that batch's fault. */
void handover_note_fault(struct arena *arena);
/* Before the records are looked at: what was taken is OPEN, what was not is FREE again. */
void handover_settle(struct worker *worker);
/* A FROZEN record has become known again: it waits for nothing that others could close it for. */
void handover_hold(struct worker *worker, struct record *record);
/* When all is rebuilt: goes on with what was under way. */
void handover_revive(struct worker *worker);

/* --- the master --- */

/* How a link travels over the master's link: a struct link_message of type LINK_HANDOVER whose `detail` is the role, with the
 * socket and the page as descriptors. The sender gives all connections that it has when it gets it. */
WARN_UNUSED int handover_send_link(int link_fd, uint32_t slot, uint32_t generation, enum handover_role role,
                                   int socket_fd, int page_fd);

/* --- between handover.c, handover_give.c and handover_take.c --- */

static inline int handover_open_batch(const struct handover_page *page)
{
    const uint64_t offered = page->offered;

    return offered > page->taken && offered > page->refused;
}

/* Goes on with the link as sender, whatever has happened. `ended`: the socket is at its end. */
void handover_give(struct worker *worker, uint32_t link, int ended);
/* The same as receiver. `is_revival`: a former worker may have died in the middle. */
void handover_take(struct worker *worker, uint32_t link, int is_revival);
/* Receives one message into the mail, with its descriptors (or without: then the kernel closes them). Bytes; 0: the end;
 * -errno. The mail's msg_len was preset to INTENT_UNTOUCHED before anything that says that it is being received. */
int handover_mail_receive(struct handover_mail *mail, int socket_fd, uint32_t size, int with_descriptors);
/* Ready to be received or sent; nothing of it is known to have happened. */
void handover_mail_prepare(struct handover_mail *mail);
int handover_mail_is_done(const struct handover_mail *mail);
/* The numbers that came, and how many; those that are somebody's by now are -1. */
int *handover_mail_descriptors(struct handover_mail *mail, uint32_t *count);
/* Closes those that are nobody's. */
void handover_mail_close(struct handover_mail *mail);
/* Wakes the other side, which looks at the page. */
void handover_wake(int socket_fd);
/* Closes the link's descriptors; its place is free. */
void handover_end_link(struct worker *worker, uint32_t link);
/* Looks again not later than at_ns. */
void handover_look_again(struct worker *worker, uint64_t at_ns);

#endif
