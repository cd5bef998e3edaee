#include "core/handover.h"

#include "base/fd.h"
#include "base/log.h"
#include "core/link.h"
#include "core/worker.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

static struct handover_state *state_of(const struct worker *worker)
{
    return &worker->arena.core->handover;
}

/* --- mail --- */

void handover_mail_prepare(struct handover_mail *mail)
{
    mail->message.msg_len = INTENT_UNTOUCHED;
    mail->message.msg_hdr.msg_controllen = 0;
    COMPILER_BARRIER();
}

int handover_mail_is_done(const struct handover_mail *mail)
{
    return mail->message.msg_len != INTENT_UNTOUCHED;
}

/* All that the kernel writes lies in the arena: bytes, descriptors (put there before anybody can use them), lengths. A SIGKILL
 * acts when it is done (recvmmsg(2), net/core/scm.c). */
int handover_mail_receive(struct handover_mail *mail, int socket_fd, uint32_t size, int with_descriptors)
{
    mail->vector = (struct iovec){mail->payload, size};
    mail->message.msg_hdr = (struct msghdr){.msg_iov = &mail->vector, .msg_iovlen = 1};
    if (with_descriptors) {
        mail->message.msg_hdr.msg_control = mail->control;
        mail->message.msg_hdr.msg_controllen = sizeof mail->control;
    }
    COMPILER_BARRIER();
    if (recvmmsg(socket_fd, &mail->message, 1, MSG_DONTWAIT | MSG_CMSG_CLOEXEC, NULL) < 1)
        return -errno;
    return (int)mail->message.msg_len;
}

int *handover_mail_descriptors(struct handover_mail *mail, uint32_t *count)
{
    struct cmsghdr header;

    *count = 0;
    if (!handover_mail_is_done(mail) || mail->message.msg_hdr.msg_controllen < sizeof header)
        return NULL;
    memcpy(&header, mail->control, sizeof header);
    if (header.cmsg_level != SOL_SOCKET || header.cmsg_type != SCM_RIGHTS || header.cmsg_len < CMSG_LEN(0) ||
        header.cmsg_len > sizeof mail->control)
        return NULL;
    *count = (uint32_t)((header.cmsg_len - CMSG_LEN(0)) / sizeof(int));
    return (int *)(void *)(mail->control + CMSG_LEN(0));
}

/* Forgotten first: a number that was closed may be another one's when the next worker looks. What a death leaves is a stray. */
void handover_mail_close(struct handover_mail *mail)
{
    uint32_t count;
    int *descriptors = handover_mail_descriptors(mail, &count);

    for (uint32_t i = 0; i < count; i++) {
        const int fd = descriptors[i];

        descriptors[i] = -1;
        COMPILER_BARRIER();
        if (fd >= 0)
            close(fd);
    }
}

void handover_wake(int socket_fd)
{
    const struct handover_message message = {
        .magic = HANDOVER_MESSAGE_MAGIC, .version = HANDOVER_MESSAGE_VERSION, .type = HANDOVER_WAKE};

    /* A full socket means that there is enough to wake up for. */
    (void)!send(socket_fd, &message, sizeof message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* --- links --- */

void handover_look_again(struct worker *worker, uint64_t at_ns)
{
    if (!worker->handover.look_ns || at_ns < worker->handover.look_ns)
        worker->handover.look_ns = at_ns;
}

static void count_links(struct worker *worker)
{
    uint32_t count = 0;

    for (unsigned i = 0; i < HANDOVER_LINKS; i++)
        count += state_of(worker)->links[i].role != HANDOVER_NONE;
    worker->arena.page->handover_links = count;
}

static void forget_fd(volatile int32_t *number)
{
    int fd = *number;

    *number = -1;
    COMPILER_BARRIER();
    fd_close(&fd);
}

void handover_end_link(struct worker *worker, uint32_t link)
{
    struct handover_link *at = &state_of(worker)->links[link];

    at->role = HANDOVER_ENDED;
    COMPILER_BARRIER();
    handover_page_unmap(&worker->handover.pages[link]);
    forget_fd(&at->socket_fd);
    forget_fd(&at->page_fd);
    at->inbox = HANDOVER_EMPTY;
    COMPILER_BARRIER();
    at->role = HANDOVER_NONE;
    count_links(worker);
}

/* Maps the page and listens to the socket: what a worker does with a link, new or found. */
static int take_up(struct worker *worker, uint32_t link)
{
    const struct handover_link *at = &state_of(worker)->links[link];
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = (uint64_t)at->socket_fd};
    int result = handover_page_map(at->page_fd, &worker->handover.pages[link]);

    if (!result && epoll_ctl(worker->epoll_fd, EPOLL_CTL_ADD, at->socket_fd, &event) && errno != EEXIST)
        result = err_from_errno(errno);
    return result;
}

static int is_in_use(const struct handover_state *state, int fd)
{
    for (unsigned i = 0; i < HANDOVER_LINKS; i++)
        if (state->links[i].role != HANDOVER_NONE && state->links[i].socket_fd == fd)
            return 1;
    return 0;
}

static struct handover_link *free_link(struct handover_state *state, uint32_t *link)
{
    for (*link = 0; *link < HANDOVER_LINKS; ++*link)
        if (state->links[*link].role == HANDOVER_NONE)
            return &state->links[*link];
    return NULL;
}

/* In the table first, and then no longer in the mail: a death in between finds it in both. */
static void install(struct worker *worker, struct handover_mail *mail, int role)
{
    struct handover_state *state = state_of(worker);
    struct handover_link *at;
    uint32_t count, link;
    int *descriptors = handover_mail_descriptors(mail, &count), result;

    if (count == 2 && (arena_record_reserve(&worker->arena, (uint32_t)descriptors[0]) ||
                       arena_record_reserve(&worker->arena, (uint32_t)descriptors[1])))
        return; /* its events are looked up there */
    if (count != 2 || !ARENA_SHARED || (role != HANDOVER_GIVES && role != HANDOVER_TAKES) ||
        mail->message.msg_hdr.msg_flags & MSG_CTRUNC)
        return;
    if (is_in_use(state, descriptors[0])) {
        descriptors[0] = descriptors[1] = -1;
        return;
    }
    at = free_link(state, &link);
    if (!at)
        return;
    at->socket_fd = descriptors[0];
    at->page_fd = descriptors[1];
    at->inbox = HANDOVER_EMPTY;
    at->batch = 0;
    at->is_thawing = at->refusal = 0;
    at->until_ns = 0;
    at->below = worker->arena.core->next_serial;
    handover_mail_prepare(&at->mail);
    worker_note_descriptor(worker, descriptors[0]);
    worker_note_descriptor(worker, descriptors[1]);
    worker->arena.page->handover_links++; /* before it can be over */
    worker->arena.page->links_seen++;
    COMPILER_BARRIER();
    at->role = (uint32_t)role;
    COMPILER_BARRIER();
    descriptors[0] = descriptors[1] = -1;
    worker->handover.cursor[link] = worker->handover.put_off[link] = 0;
    result = take_up(worker, link);
    count_links(worker);
    if (result) {
        log_event(LOG_ERROR, LOG_EV_HANDOVER_FAILED, "slot=%u step=\"take up a link\" error=\"%s\"",
                  worker->arena.page->slot, err_text(result));
        handover_end_link(worker, link);
    } else if (role == HANDOVER_GIVES) {
        handover_look_again(worker, worker->now_ns);
    }
}

/* What lies in the mail has been received. */
static void mail_came(struct worker *worker)
{
    struct handover_state *state = state_of(worker);
    struct link_message message;

    memcpy(&message, state->mail.payload, sizeof message);
    if (message.type == LINK_HANDOVER)
        install(worker, &state->mail, message.detail);
    handover_mail_close(&state->mail);
    state->is_receiving = 0;
}

int handover_receive_link(struct worker *worker, struct link_message *message)
{
    struct handover_state *state = state_of(worker);
    int length;

    handover_mail_prepare(&state->mail);
    state->is_receiving = 1;
    length = handover_mail_receive(&state->mail, FD_LINK, sizeof *message, 1);
    if (length <= 0) {
        state->is_receiving = 0;
        return length == -EAGAIN || length == -EINTR ? ERR_AGAIN : ERR_CLOSED;
    }
    memcpy(message, state->mail.payload, sizeof *message);
    if (length != (int)sizeof *message || message->magic != LINK_MAGIC || message->version != LINK_VERSION) {
        handover_mail_close(&state->mail);
        state->is_receiving = 0;
        return ERR_PROTOCOL;
    }
    mail_came(worker);
    return 0;
}

/* --- the loop --- */

static void go_on(struct worker *worker, uint32_t link, int ended, int is_revival)
{
    const uint32_t role = state_of(worker)->links[link].role;

    if (role == HANDOVER_GIVES)
        handover_give(worker, link, ended);
    else if (role == HANDOVER_TAKES)
        handover_take(worker, link, is_revival);
}

/* The sender's side of the socket: what comes only wakes. 1: it is at its end. */
static int read_wakes(int socket_fd)
{
    struct handover_message message;
    ssize_t count;

    do
        count = recv(socket_fd, &message, sizeof message, MSG_DONTWAIT);
    while (count > 0 || (count < 0 && errno == EINTR));
    return count == 0 || errno != EAGAIN;
}

int handover_ready(struct worker *worker, uint32_t number)
{
    struct handover_state *state = state_of(worker);

    for (uint32_t i = 0; i < HANDOVER_LINKS; i++) {
        const struct handover_link *link = &state->links[i];

        if (link->role == HANDOVER_NONE || link->socket_fd != (int)number)
            continue;
        go_on(worker, i, link->role == HANDOVER_GIVES && read_wakes(link->socket_fd), 0);
        return 1;
    }
    return 0;
}

void handover_turn(struct worker *worker)
{
    if (!worker->handover.look_ns || worker->now_ns < worker->handover.look_ns)
        return;
    worker->handover.look_ns = 0;
    for (uint32_t i = 0; i < HANDOVER_LINKS; i++)
        if (state_of(worker)->links[i].role == HANDOVER_GIVES)
            handover_give(worker, i, 0);
}

uint64_t handover_due_ns(const struct worker *worker)
{
    return worker->handover.look_ns ? worker->handover.look_ns : UINT64_MAX;
}

int handover_is_open(const struct worker *worker)
{
    for (unsigned i = 0; i < HANDOVER_LINKS; i++) {
        const struct handover_page *page = worker->handover.pages[i];

        if (page && (handover_open_batch(page) || state_of(worker)->links[i].inbox != HANDOVER_EMPTY))
            return 1;
    }
    return 0;
}

void handover_fini(struct worker *worker)
{
    for (unsigned i = 0; i < HANDOVER_LINKS; i++)
        handover_page_unmap(&worker->handover.pages[i]);
}

/* --- revival --- */

static int mail_has(const struct handover_mail *mail, int fd)
{
    struct handover_mail copy; /* the reader changes nothing */
    uint32_t count;
    const int *descriptors;

    memcpy(&copy, mail, sizeof copy);
    descriptors = handover_mail_descriptors(&copy, &count);
    for (uint32_t i = 0; i < count; i++)
        if (descriptors[i] == fd)
            return 1;
    return 0;
}

int handover_has_descriptor(const struct arena *arena, int fd)
{
    const struct handover_state *state = &arena->core->handover;

    for (unsigned i = 0; i < HANDOVER_LINKS; i++) {
        const struct handover_link *link = &state->links[i];

        if (link->role == HANDOVER_NONE)
            continue;
        if (link->socket_fd == fd || link->page_fd == fd)
            return 1;
        if (link->role == HANDOVER_TAKES && link->inbox != HANDOVER_EMPTY && mail_has(&link->mail, fd))
            return 1;
    }
    return state->is_receiving && mail_has(&state->mail, fd);
}

/* The loop's thread alone thaws. */
void handover_note_fault(struct arena *arena)
{
    struct handover_link *links = arena->core->handover.links;

    for (unsigned i = 0; i < HANDOVER_LINKS; i++) {
        if (arena->core->fault && arena->core->fault_thread == 0 && links[i].is_thawing)
            links[i].refusal = HANDOVER_REFUSED_CRASHED;
        links[i].is_thawing = 0;
    }
}

static void settle_record(struct worker *worker, struct record *record)
{
    const uint32_t link = record->handover - 1;
    const struct handover_page *page = link < HANDOVER_LINKS ? worker->handover.pages[link] : NULL;

    if (record->life != RECORD_THAWING)
        return;
    if (page && page->taken == state_of(worker)->links[link].batch) {
        record->handover = RECORD_MOVES;
        record_set_life(record, RECORD_OPEN);
    } else {
        record_set_life(record, RECORD_FREE);
    }
}

void handover_settle(struct worker *worker)
{
    struct handover_state *state = state_of(worker);
    const uint32_t limit = arena_records_limit(&worker->arena);

    for (uint32_t i = 0; i < HANDOVER_LINKS; i++) {
        const uint32_t role = state->links[i].role;
        int result = role == HANDOVER_GIVES || role == HANDOVER_TAKES ? take_up(worker, i) : 0;

        if (result)
            log_event(LOG_ERROR, LOG_EV_HANDOVER_FAILED, "slot=%u step=\"take up a link again\" error=\"%s\"",
                      worker->arena.page->slot, err_text(result));
    }
    for (uint32_t number = 0; number < limit; number++)
        settle_record(worker, arena_record(&worker->arena, number));
}

void handover_revive(struct worker *worker)
{
    struct handover_state *state = state_of(worker);

    if (state->is_receiving && handover_mail_is_done(&state->mail) && state->mail.message.msg_len)
        mail_came(worker);
    state->is_receiving = 0;
    for (uint32_t i = 0; i < HANDOVER_LINKS; i++) {
        const uint32_t role = state->links[i].role;

        if (role == HANDOVER_ENDED || (role != HANDOVER_NONE && !worker->handover.pages[i]))
            handover_end_link(worker, i);
        else
            go_on(worker, i, 0, 1);
    }
    count_links(worker);
}

/* --- the master --- */

int handover_send_link(int link_fd, uint32_t slot, uint32_t generation, enum handover_role role,
                       int socket_fd, int page_fd)
{
    struct link_message message = {.magic = LINK_MAGIC,
                                   .version = LINK_VERSION,
                                   .type = LINK_HANDOVER,
                                   .slot = slot,
                                   .generation = generation,
                                   .pid = getpid(),
                                   .detail = role};
    const int descriptors[2] = {socket_fd, page_fd};
    struct iovec vector = {&message, sizeof message};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof descriptors)] = {0};
    struct msghdr header = {
        .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *first = CMSG_FIRSTHDR(&header);

    first->cmsg_level = SOL_SOCKET;
    first->cmsg_type = SCM_RIGHTS;
    first->cmsg_len = CMSG_LEN(sizeof descriptors);
    memcpy(CMSG_DATA(first), descriptors, sizeof descriptors);
    if (sendmsg(link_fd, &header, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)sizeof message)
        return 0;
    return errno == EAGAIN ? ERR_AGAIN : err_from_errno(errno);
}
