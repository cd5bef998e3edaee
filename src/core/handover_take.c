/* The receiver of a link: steps RECEIVE, THAW, TAKE, OPEN, REFUSE of tests/model/handover.pml. */
#include "core/freeze.h"

#include "base/assert.h"
#include "base/log.h"
#include "core/handover.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define SPARE_DESCRIPTORS 64u /* of what others need, as for connections that we make */

static struct handover_link *link_of(struct worker *worker, uint32_t link)
{
    return &worker->arena.core->handover.links[link];
}

static const struct conn_class *class_of(const struct worker *worker, const struct record *record)
{
    return worker->service->classes[record->class_tag];
}

/* --- OPEN --- */

/* Blocks are given back and claimed again, so that there is one way to become known to a worker: that of a revival. */
static void give_back_blocks(struct worker *worker, const struct record *record)
{
    const struct record_head *head = record_head(record);
    const struct conn_mover *mover = class_of(worker, record)->mover;

    if (mover->unthaw)
        mover->unthaw(worker, head);
    worker_give_blocks(worker, head);
}

/* Their lives first: two that belong together must find one another. */
static void open_lives(struct thaw *thaw)
{
    for (uint32_t i = 0; i < thaw->count; i++) {
        thaw->records[i]->handover = RECORD_MOVES;
        record_set_life(thaw->records[i], RECORD_OPEN);
    }
}

static void open_record(struct worker *worker, struct record *record)
{
    struct conn_side *side = worker_side(worker, record);

    *side = (struct conn_side){.is_again = side->is_again};
    give_back_blocks(worker, record);
    arena_count_add(&worker->arena.page->received, 1);
    MUST(!worker_claim_blocks(worker, record)); /* they were ours a moment ago */
    worker_adopt(worker, record);
    worker_admit_counted(worker, record);
    if (worker_register(worker, record)) {
        worker_turn_to(worker, record);
        class_of(worker, record)->abandon(worker, record);
        worker->intent->record = 0;
    }
}

/* Whatever of the batch no record names has no use here. */
static void close_unused(struct worker *worker, struct handover_link *link)
{
    uint32_t count;
    int *descriptors = handover_mail_descriptors(&link->mail, &count);

    for (uint32_t i = 0; i < count; i++) {
        const int fd = descriptors[i];

        descriptors[i] = -1;
        COMPILER_BARRIER();
        if (fd >= 0 && arena_record(&worker->arena, (uint32_t)fd)->life != RECORD_OPEN &&
            !worker->side[fd].file_references)
            close(fd);
    }
}

static void open_batch(struct thaw *thaw)
{
    struct worker *worker = thaw->worker;
    struct handover_link *link = link_of(worker, thaw->link);

    open_lives(thaw);
    for (uint32_t i = 0; i < thaw->count; i++)
        open_record(worker, thaw->records[i]);
    close_unused(worker, link);
    COMPILER_BARRIER();
    link->inbox = HANDOVER_EMPTY;
    handover_wake(link->socket_fd);
    log_event(LOG_DEBUG, LOG_EV_HANDOVER, "slot=%u batch=%llu received=%u", worker->arena.page->slot,
              (unsigned long long)link->batch, thaw->count);
    for (uint32_t i = 0; i < thaw->count; i++)
        if (thaw->records[i]->life == RECORD_OPEN)
            worker_drive(worker, thaw->records[i], READY_IN | READY_OUT);
}

/* --- REFUSE --- */

/* The sender has descriptors of its own: ours may go. */
static void refuse(struct worker *worker, uint32_t number, enum handover_refusal refusal)
{
    struct handover_link *link = link_of(worker, number);
    struct handover_page *page = worker->handover.pages[number];

    if (page->refused != link->batch) {
        page->refusal = refusal;
        atomic_store_explicit(&page->refused, link->batch, memory_order_release);
        log_event(LOG_WARN, LOG_EV_HANDOVER_FAILED, "slot=%u batch=%llu reason=\"%s\" next=\"refused\"",
                  worker->arena.page->slot, (unsigned long long)link->batch, handover_refusal_text(refusal));
    }
    link->inbox = HANDOVER_DROPPING;
    COMPILER_BARRIER();
    handover_mail_close(&link->mail);
    link->refusal = 0;
    link->inbox = HANDOVER_EMPTY;
    handover_wake(link->socket_fd);
}

/* --- THAW, TAKE --- */

static enum handover_refusal refusal_of(int error)
{
    if (error == ERR_NO_MEMORY || error == ERR_LIMIT)
        return HANDOVER_REFUSED_NO_ROOM;
    return error == ERR_PROTOCOL ? HANDOVER_REFUSED_MALFORMED : HANDOVER_REFUSED_NOT_UNDERSTOOD;
}

/* Each descriptor may become a record. */
static int reserve_records(struct worker *worker, struct handover_link *link, uint32_t *count)
{
    const int *descriptors = handover_mail_descriptors(&link->mail, count);
    int result = 0;

    for (uint32_t i = 0; i < *count && !result; i++) {
        if (descriptors[i] < 0)
            return ERR_PROTOCOL;
        worker_note_descriptor(worker, descriptors[i]);
        result = arena_record_reserve(&worker->arena, (uint32_t)descriptors[i]);
    }
    return result;
}

static int thaw_batch(struct thaw *thaw, const struct handover_page *page)
{
    struct passport_batch batch;
    struct passport passport;
    int result = passport_batch_open(&batch, (const char *)page + HANDOVER_AREA_AT, HANDOVER_AREA_SIZE);

    if (!result && batch.number != link_of(thaw->worker, thaw->link)->batch)
        result = ERR_PROTOCOL;
    while (!result && passport_batch_next(&batch, &passport))
        result = thaw_record(thaw, &passport);
    if (!result)
        return 0;
    while (thaw->count)
        thaw_undo(thaw->worker, thaw->records[--thaw->count]);
    return result;
}

static void thaw_received(struct worker *worker, uint32_t number)
{
    static struct thaw thaw; /* large for a stack */
    struct handover_link *link = link_of(worker, number);
    struct handover_page *page = worker->handover.pages[number];
    struct handover_message message;
    int result;

    memcpy(&message, link->mail.payload, sizeof message);
    thaw = (struct thaw){.worker = worker, .link = number, .control = link->mail.control};
    result = reserve_records(worker, link, &thaw.descriptors);
    if (result || thaw.descriptors != message.descriptors ||
        link->mail.message.msg_hdr.msg_flags & MSG_CTRUNC) {
        refuse(worker, number, result ? HANDOVER_REFUSED_NO_ROOM : HANDOVER_REFUSED_DESCRIPTORS);
        return;
    }
    link->is_thawing = 1;
    COMPILER_BARRIER();
    result = thaw_batch(&thaw, page);
    COMPILER_BARRIER();
    link->is_thawing = 0;
    if (result) {
        refuse(worker, number, refusal_of(result));
        return;
    }
    COMPILER_BARRIER();
    atomic_store_explicit(&page->taken, link->batch, memory_order_release); /* TAKE */
    open_batch(&thaw);
}

/* --- RECEIVE --- */

/* The kernel gives the lowest free numbers (see has_room of accept.c). Nothing is taken before there is room for all of it. */
static int has_room(struct worker *worker, const struct handover_page *page)
{
    struct passport_batch batch;
    uint64_t next;

    if (passport_batch_open(&batch, (const char *)page + HANDOVER_AREA_AT, HANDOVER_AREA_SIZE))
        return 1; /* it will be refused for another reason */
    next = worker_descriptors(worker) + batch.descriptors + SPARE_DESCRIPTORS;
    return next < worker->arena.core->record_count && !arena_record_reserve(&worker->arena, (uint32_t)next);
}

static int is_batch(const struct handover_link *link, const struct handover_page *page, int length)
{
    struct handover_message message;

    memcpy(&message, link->mail.payload, sizeof message);
    return length == (int)sizeof message && message.magic == HANDOVER_MESSAGE_MAGIC &&
           message.version == HANDOVER_MESSAGE_VERSION && message.type == HANDOVER_BATCH &&
           message.batch == page->offered;
}

/* 1: a message was received; 0: there is none; ERR_CLOSED: there will be none. */
static int receive(struct worker *worker, uint32_t number)
{
    struct handover_link *link = link_of(worker, number);
    struct handover_page *page = worker->handover.pages[number];
    const int has_all = has_room(worker, page);
    int length;

    link->refusal = has_all ? 0 : HANDOVER_REFUSED_NO_ROOM;
    handover_mail_prepare(&link->mail);
    link->inbox = HANDOVER_RECEIVING;
    do /* a sender that went leaves an error before its last message */
        length =
            handover_mail_receive(&link->mail, link->socket_fd, sizeof(struct handover_message), has_all);
    while (length == -ECONNRESET);
    if (length == -EAGAIN || length == -EINTR) {
        link->inbox = HANDOVER_EMPTY;
        return 0;
    }
    if (length <= 0) {
        link->inbox = HANDOVER_EMPTY;
        return ERR_CLOSED;
    }
    return 1;
}

/* What the mail has is ours, whoever received it. */
static void take_received(struct worker *worker, uint32_t number)
{
    struct handover_link *link = link_of(worker, number);
    struct handover_page *page = worker->handover.pages[number];

    if (link->inbox == HANDOVER_RECEIVING) {
        if (!is_batch(link, page, (int)link->mail.message.msg_len)) {
            link->inbox = HANDOVER_DROPPING;
            handover_mail_close(&link->mail);
            link->inbox = HANDOVER_EMPTY;
            return;
        }
        link->batch = page->offered;
        COMPILER_BARRIER();
        link->inbox = HANDOVER_RECEIVED;
    }
    if (link->refusal)
        refuse(worker, number, (enum handover_refusal)link->refusal);
    else
        thaw_received(worker, number);
}

/* A former worker died in the middle. What was taken is OPEN already, and known: the revival saw to that. */
static void go_on(struct worker *worker, uint32_t number)
{
    struct handover_link *link = link_of(worker, number);
    const struct handover_page *page = worker->handover.pages[number];

    if (link->inbox == HANDOVER_EMPTY) {
        /* nothing was under way */
    } else if (link->inbox == HANDOVER_RECEIVING) {
        if (handover_mail_is_done(&link->mail) && link->mail.message.msg_len)
            take_received(worker, number);
        else
            link->inbox = HANDOVER_EMPTY;
    } else if (link->batch == page->taken) {
        close_unused(worker, link);
        link->inbox = HANDOVER_EMPTY;
    } else if (link->batch == page->refused) {
        refuse(worker, number, (enum handover_refusal)page->refusal);
    } else {
        take_received(worker, number);
    }
    handover_wake(link->socket_fd); /* nobody knows whether that was done */
}

void handover_take(struct worker *worker, uint32_t number, int is_revival)
{
    int result;

    if (is_revival)
        go_on(worker, number);
    result = receive(worker, number);
    if (result > 0)
        take_received(worker, number);
    else if (result == ERR_CLOSED)
        handover_end_link(worker, number);
}
