/* The sender of a link: steps FREEZE, OFFER, SEND, RELEASE, RESUME of tests/model/handover.pml. */
#include "core/freeze.h"

#include "base/log.h"
#include "core/handover.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define AGAIN_NS (5 * 1000000ULL)     /* those that were busy are looked at again */
#define GIVING_NS (2 * 1000000000ULL) /* … so long; whoever is busy then stays */
#define LOOKS_A_BATCH 4096u           /* records, before the others have their turn */

static struct handover_link *link_of(struct worker *worker, uint32_t link)
{
    return &worker->arena.core->handover.links[link];
}

/* The next FROZEN record of the link from *number on, or NULL. */
static struct record *next_frozen(struct worker *worker, uint32_t link, uint32_t *number)
{
    const uint32_t limit = arena_records_limit(&worker->arena);

    for (; *number < limit; ++*number) {
        struct record *record = arena_record(&worker->arena, *number);

        if (record->life == RECORD_FROZEN && record->handover == link + 1)
            return record;
    }
    return NULL;
}

/* --- FREEZE --- */

static const struct conn_mover *mover_of(const struct worker *worker, const struct record *record)
{
    return worker->service->classes[record->class_tag]->mover;
}

/* A pool thread works for it. */
static int is_at_work(struct worker *worker, const struct record *record)
{
    const struct conn_side *side = worker_side(worker, record);

    return side->is_working || side->is_warming;
}

/* 0 and *with; ERR_BUSY; ERR_UNSUPPORTED. */
static int may_go(struct worker *worker, const struct handover_link *link, struct record *record,
                  struct record **with)
{
    const struct conn_mover *mover = record->life == RECORD_OPEN ? mover_of(worker, record) : NULL;
    int result;

    *with = NULL;
    if (!mover || !mover->may_move || record->serial >= link->below || record->handover == RECORD_STAYS)
        return ERR_UNSUPPORTED;
    result = mover->may_move(worker, record, with);
    if (!result && (is_at_work(worker, record) || (*with && is_at_work(worker, *with))))
        result = ERR_BUSY;
    if (!result && *with && ((*with)->life != RECORD_OPEN || !mover_of(worker, *with)))
        result = ERR_BUSY;
    return result;
}

void handover_hold(struct worker *worker, struct record *record)
{
    const uint32_t number = arena_number(&worker->arena, record);

    worker->side[number].waited = (uint8_t)worker->waiting.links[number].kind;
    worker_waits(worker, record, WAITING_NOT); /* nobody may close it to make room */
}

static void freeze_life(struct worker *worker, uint32_t link, struct record *record)
{
    handover_hold(worker, record);
    record->handover = link + 1;
    record_set_life(record, RECORD_FROZEN);
}

/* 0; ERR_NO_SPACE: no more fit into this batch. A crash in here is the connection's fault. */
static int freeze_one(struct worker *worker, uint32_t link, struct record *record, struct record *with,
                      struct passport_writer *writer, struct freeze_descriptors *descriptors)
{
    const struct passport_writer before = *writer;
    const uint32_t count = descriptors->count;
    int result = 0;

    worker_turn_to(worker, record);
    if (with)
        result = freeze_record(worker, with, -1, writer, descriptors);
    if (!result)
        result = freeze_record(worker, record, with ? (int)writer->count - 1 : -1, writer, descriptors);
    worker->intent->record = 0;
    COMPILER_BARRIER();
    if (result) {
        *writer = before;
        descriptors->count = count;
        return result;
    }
    if (with)
        freeze_life(worker, link, with);
    freeze_life(worker, link, record);
    return 0;
}

/* Freezes as many as fit, from the cursor on. How many, those that go with others not counted. *is_over: the last record was
 * looked at. */
static uint32_t freeze_batch(struct worker *worker, uint32_t link, struct passport_writer *writer,
                             struct freeze_descriptors *descriptors, int *is_over)
{
    const uint32_t limit = arena_records_limit(&worker->arena);
    struct handover *handover = &worker->handover;
    uint32_t frozen = 0, looks = 0, *at = &handover->cursor[link];

    for (; *at < limit && (looks < LOOKS_A_BATCH || !frozen); ++*at, looks++) {
        struct record *record = arena_record(&worker->arena, *at), *with;
        const uint32_t was = record->handover;
        int result = may_go(worker, link_of(worker, link), record, &with);

        handover->put_off[link] += result == ERR_BUSY;
        if (result)
            continue;
        if (was == RECORD_MOVES_ALONE && frozen)
            break; /* the next batch is its own */
        if (freeze_one(worker, link, record, with, writer, descriptors)) {
            if (frozen)
                break;
            record->handover = RECORD_STAYS; /* too large for any batch: cannot be */
            continue;
        }
        frozen++;
        if (was == RECORD_MOVES_ALONE) {
            ++*at;
            break;
        }
    }
    *is_over = *at >= limit;
    return frozen;
}

/* --- SEND --- */

static void address_message(struct handover_link *link, uint32_t count)
{
    const struct handover_message message = {.magic = HANDOVER_MESSAGE_MAGIC,
                                             .version = HANDOVER_MESSAGE_VERSION,
                                             .type = HANDOVER_BATCH,
                                             .descriptors = count,
                                             .batch = link->batch};
    const struct cmsghdr header = {
        .cmsg_len = CMSG_LEN(count * sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};

    memcpy(link->mail.payload, &message, sizeof message);
    memcpy(link->mail.control, &header, sizeof header);
}

/* Whether it was sent before, the kernel has written. */
static void send_batch(struct worker *worker, uint32_t link)
{
    struct handover_link *at = link_of(worker, link);
    struct handover_message message;
    struct msghdr *header = &at->mail.message.msg_hdr;

    if (handover_mail_is_done(&at->mail))
        return;
    memcpy(&message, at->mail.payload, sizeof message);
    at->mail.vector = (struct iovec){at->mail.payload, sizeof message};
    *header = (struct msghdr){.msg_iov = &at->mail.vector,
                              .msg_iovlen = 1,
                              .msg_control = at->mail.control,
                              .msg_controllen = CMSG_SPACE(message.descriptors * sizeof(int))};
    COMPILER_BARRIER();
    if (sendmmsg(at->socket_fd, &at->mail.message, 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1)
        return;
    /* No room in the socket, or too many descriptors in flight (unix(7), ETOOMANYREFS). The end of the socket is an event. */
    handover_look_again(worker, worker->now_ns + AGAIN_NS);
}

/* --- RELEASE, RESUME --- */

static void drop_files(struct worker *worker, const struct record_head *head)
{
    if (head->file_fd >= 0)
        worker_file_drop(worker, head->file_fd);
    if (head->spool)
        worker_file_drop(worker, (int)head->spool - 1);
}

/* Out of epoll while it is FROZEN: the socket lives on with its new owner, and epoll with it, whatever is closed here. */
static void release(struct worker *worker, uint32_t link)
{
    struct record *record;
    uint32_t count = 0;

    for (uint32_t number = 0; (record = next_frozen(worker, link, &number)); number++) {
        const struct conn_mover *mover = mover_of(worker, record);
        const struct record_head head = *record_head(record);

        (void)epoll_ctl(worker->epoll_fd, EPOLL_CTL_DEL, (int)number, NULL);
        if (mover && mover->released)
            mover->released(worker, record);
        worker_end_record(worker, record);
        drop_files(worker, &head);
        arena_count_add(&worker->arena.page->given, 1);
        count++;
    }
    if (count)
        log_event(LOG_DEBUG, LOG_EV_HANDOVER, "slot=%u batch=%llu given=%u", worker->arena.page->slot,
                  (unsigned long long)link_of(worker, link)->batch, count);
}

/* Edges that came meanwhile were not seen: it is armed again. */
static void resume_one(struct worker *worker, struct record *record, uint32_t fared)
{
    const uint32_t number = arena_number(&worker->arena, record);
    const struct conn_side *side = worker_side(worker, record);

    record->handover = fared;
    record_set_life(record, RECORD_OPEN);
    if (record->deadline_ns)
        timers_set(&worker->timers, number, record->deadline_ns);
    if (side->waited)
        worker_waits(worker, record, (enum waiting_for)side->waited);
    if (worker_register_again(worker, record)) {
        worker_turn_to(worker, record);
        worker->service->classes[record->class_tag]->abandon(worker, record);
        worker->intent->record = 0;
    } else {
        worker_side(worker, record)->readable = worker_side(worker, record)->writable = 1;
        worker_again(worker, record);
    }
}

/* Two that belong together are OPEN before either is driven: that comes later, by worker.again. */
static void resume(struct worker *worker, uint32_t link, int was_refused)
{
    const struct handover_page *page = worker->handover.pages[link];
    struct record *record;
    uint32_t count = 0, fared = RECORD_MOVES, number = 0;

    while ((record = next_frozen(worker, link, &number))) {
        number++;
        count++;
    }
    if (was_refused && page->refusal != HANDOVER_REFUSED_NO_ROOM)
        fared = worker->arena.core->handover.links[link].is_alone ? RECORD_STAYS : RECORD_MOVES_ALONE;
    for (number = 0; (record = next_frozen(worker, link, &number)); number++)
        resume_one(worker, record, fared);
    if (!was_refused || !count)
        return;
    worker->arena.page->batches_refused++;
    log_event(LOG_WARN, LOG_EV_HANDOVER_FAILED, "slot=%u batch=%llu connections=%u reason=\"%s\" next=\"%s\"",
              worker->arena.page->slot, (unsigned long long)link_of(worker, link)->batch, count,
              handover_refusal_text(page->refusal),
              fared == RECORD_MOVES         ? "they stay here"
              : fared == RECORD_MOVES_ALONE ? "each is tried alone"
                                            : "it stays here");
}

/* --- the link --- */

/* Everything that could go has gone. */
static void end(struct worker *worker, uint32_t link)
{
    log_event(LOG_INFO, LOG_EV_HANDOVER, "slot=%u batches=%llu left_busy=%u", worker->arena.page->slot,
              (unsigned long long)worker->handover.pages[link]->offered, worker->handover.put_off[link]);
    handover_end_link(worker, link);
}

/* A pass is over: another one follows as long as somebody was busy. */
static void pass_is_over(struct worker *worker, uint32_t link)
{
    struct handover_link *at = link_of(worker, link);
    struct handover *handover = &worker->handover;

    if (!at->until_ns)
        at->until_ns = worker->now_ns + GIVING_NS;
    if (!handover->put_off[link] || worker->now_ns >= at->until_ns) {
        end(worker, link);
        return;
    }
    handover->cursor[link] = handover->put_off[link] = 0;
    handover_look_again(worker, worker->now_ns + AGAIN_NS);
}

static void give_next(struct worker *worker, uint32_t link)
{
    struct handover_link *at = link_of(worker, link);
    struct handover_page *page = worker->handover.pages[link];
    struct freeze_descriptors descriptors = {.control = at->mail.control};
    struct passport_writer writer;
    int is_over;
    uint32_t frozen;

    /* FREEZE: the outbox first. Until `offered` says so, nothing of it counts. */
    at->batch = page->offered + 1;
    handover_mail_prepare(&at->mail);
    at->frozen_ns = worker->now_ns;
    passport_batch_begin(&writer, handover_area(page), HANDOVER_AREA_SIZE);
    frozen = freeze_batch(worker, link, &writer, &descriptors, &is_over);
    if (!frozen) {
        if (is_over)
            pass_is_over(worker, link);
        else
            handover_look_again(worker, worker->now_ns);
        return;
    }
    at->is_alone = frozen == 1;
    (void)passport_batch_end(&writer, at->batch, descriptors.count);
    address_message(at, descriptors.count);
    COMPILER_BARRIER();
    atomic_store_explicit(&page->offered, at->batch, memory_order_release); /* OFFER */
    send_batch(worker, link);                                               /* SEND */
}

/* Nobody can answer any more: what is in the page is the last word. */
static void peer_is_gone(struct worker *worker, uint32_t link)
{
    const struct handover_link *at = link_of(worker, link);
    const struct handover_page *page = worker->handover.pages[link];

    if (at->batch && at->batch == page->offered && at->batch == page->taken)
        release(worker, link);
    else
        resume(worker, link, 0);
    log_event(LOG_INFO, LOG_EV_HANDOVER, "slot=%u batches=%llu ended=\"the receiver is gone\"",
              worker->arena.page->slot, (unsigned long long)page->offered);
    handover_end_link(worker, link);
}

static void note_taken(struct worker *worker, const struct handover_link *link)
{
    const uint64_t frozen_ns = worker->now_ns > link->frozen_ns ? worker->now_ns - link->frozen_ns : 0;

    if (frozen_ns > worker->arena.page->frozen_longest_ns)
        worker->arena.page->frozen_longest_ns = frozen_ns;
}

/* The model's `revive`: whatever brought us here, outbox and page say what is to be done. */
void handover_give(struct worker *worker, uint32_t link, int ended)
{
    struct handover_link *at = link_of(worker, link);
    struct handover_page *page = worker->handover.pages[link];

    if (ended) {
        peer_is_gone(worker, link);
        return;
    }
    if (at->batch && at->batch <= page->offered && at->batch > page->taken && at->batch > page->refused) {
        send_batch(worker, link);
        return;
    }
    if (at->batch > page->offered) {
        resume(worker, link, 0); /* half frozen by a former worker, and never offered */
    } else if (at->batch && at->batch == page->taken) {
        note_taken(worker, at);
        release(worker, link);
    } else if (at->batch && at->batch == page->refused) {
        resume(worker, link, 1);
        if (page->refusal == HANDOVER_REFUSED_NO_ROOM) {
            end(worker, link);
            return;
        }
        worker->handover.cursor[link] = 0; /* they are tried alone */
    }
    give_next(worker, link);
}
