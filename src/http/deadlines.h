/* Deadlines of an exchange: what a client may take its time for, and how much of it.
 *
 *     HEAD     from a request's first byte (or the connection's beginning) to the end of its head: one deadline
 *     IDLE     between two requests
 *     BODY     without a byte of the request's body (also of one that is passed on, while that waits for the client); and the body must come at min_body_rate
 *     WRITE    without a byte of the response taken; and it must be taken at min_write_rate
 *     LINGER   our FIN is sent, theirs is awaited: for a while without a byte, for a longer while in all
 *
 * The deadline lies in the record, and what it is for in the same word (record_deadline): so it outlives the worker, and after
 * a death in the middle of a step deadline_plan sees that it is for something else, or that bytes may have moved since. A rate is an average since the body or the response began; HTTP_RATE_GRACE_MS long nobody looks at
 * it. Where it began is known to the worker alone: after a death it begins anew.
 *
 * Whoever waits for a request (HEAD, IDLE) or lingers may be closed to make room for others (core/waiting.h). */
#ifndef HOLDFAST_HTTP_DEADLINES_H
#define HOLDFAST_HTTP_DEADLINES_H

#include "base/bytes.h"
#include "http/exchange.h"

/* A connection begins. */
void deadline_opened(struct worker *worker, struct record *record);
/* A request's head is complete: the next one has a time of its own, also when its beginning lies in the ring already. */
void deadline_head_ends(struct worker *worker, struct record *record);
/* Our FIN is sent. */
void deadline_linger(struct worker *worker, struct record *record);
/* After that, something came. */
void deadline_linger_on(struct worker *worker, struct record *record);
/* The record was driven, and received or sent something on the way, or not: sets the deadline of what it waits for. */
void deadline_plan(struct worker *worker, struct record *record, int received, int sent);
/* After a death, before anything is driven: what is private is made anew. */
void deadline_revived(struct worker *worker, struct record *record);

enum deadline_verdict {
    DEADLINE_MOVED,  /* there is time left after all; a new deadline is set */
    DEADLINE_ANSWER, /* 408, with *reason (static) */
    DEADLINE_DRIVE,  /* the next bit of a response is due */
    DEADLINE_CLOSE,  /* without a word: nothing was asked, or nobody listens */
};
/* The record's deadline has passed. */
enum deadline_verdict deadline_passed(struct worker *worker, struct record *record, struct slice *reason);

/* For conn_class.may_yield: 1 if the connection lingers, or waits for a request and has done so long enough that closing
 * it to make room is fair. */
int deadline_may_yield(const struct worker *worker, const struct record *record);

#endif
