#include "net/conn.h"

#include "base/assert.h"
#include "core/ledger.h"
#include "net/warm.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define SEND_SHARE (512u * 1024u) /* bytes a connection sends before the others have their turn */
/* sendfile(2) moves pages through a pipe of 64 KB. What is left of a file goes in calls of that size when it is short: 100
 * KB in two calls cost 0.6 of what they cost in one. Of a long file, whose calls wait for room in the socket, they cost 1.3
 * times as much (bench/run --only files). */
#define SHORT_PIECE (64u * 1024u)
#define SHORT_FILE (256u * 1024u)

static int error_of(ssize_t negative_errno)
{
    int number = (int)-negative_errno;

    if (number == EPIPE || number == ECONNRESET || number == ENOTCONN)
        return ERR_RESET;
    return err_from_errno(number);
}

static int take_block(struct worker *worker, uint32_t *block)
{
    int64_t number = blocks_take(&worker->blocks);

    if (number < 0)
        return ERR_NO_MEMORY;
    *block = (uint32_t)number + 1;
    return 0;
}

static char *ring_at(struct worker *worker, uint32_t block, uint64_t base, uint64_t offset)
{
    return arena_block(&worker->arena, block - 1) + (offset - base) % ARENA_BLOCK_SIZE;
}

/* How much of [offset, offset + length) lies before the ring's end. */
static size_t in_one_piece(uint64_t base, uint64_t offset, uint64_t length)
{
    uint64_t piece = ARENA_BLOCK_SIZE - (offset - base) % ARENA_BLOCK_SIZE;

    return (size_t)(length < piece ? length : piece);
}

/* --- input --- */

/* Committed before the bytes are received: they must not outlive the name of their block. */
static int fill_needs_block(struct worker *worker, struct record *record)
{
    struct record_head *head;
    int result;

    if (record_head(record)->in_block)
        return 0;
    head = record_begin(record);
    result = take_block(worker, &head->in_block);
    if (result)
        return result;
    head->in_base = record->rx;
    record_commit(record);
    return 0;
}

int conn_fill(struct worker *worker, struct record *record)
{
    int fd = (int)arena_number(&worker->arena, record), result = fill_needs_block(worker, record);
    const struct record_head *head = record_head(record);
    struct conn_side *side = worker_side(worker, record);
    uint64_t free_bytes = ARENA_BLOCK_SIZE - conn_input_length(record, head);
    size_t piece;
    ssize_t count;

    if (result)
        return result;
    if (!free_bytes)
        return ERR_LIMIT;
    piece = in_one_piece(head->in_base, record->rx, free_bytes);
    count = ledger_receive(worker->intent, record, fd,
                           ring_at(worker, head->in_block, head->in_base, record->rx), piece);
    side->is_flowing = count > 0 && (size_t)count == piece;
    if (count > 0) {
        /* A short read has emptied the socket; a FIN that came with the bytes gives no further edge. */
        if ((size_t)count < piece && !side->read_to_the_end)
            side->readable = 0;
        return (int)count;
    }
    if (count == 0) {
        record_begin(record)->end_of_input = 1;
        record_commit(record);
        side->readable = 0;
        return 0;
    }
    if (count == -EAGAIN || count == -EINTR) {
        side->readable = 0;
        return ERR_AGAIN;
    }
    return error_of(count);
}

struct slice conn_input(struct worker *worker, const struct record *record, const struct record_head *head)
{
    uint64_t length = conn_input_length(record, head);

    if (!length)
        return (struct slice){"", 0};
    return (struct slice){ring_at(worker, head->in_block, head->in_base, head->taken),
                          in_one_piece(head->in_base, head->taken, length)};
}

struct slice conn_input_whole(struct worker *worker, const struct record *record,
                              const struct record_head *head)
{
    static char straight[ARENA_BLOCK_SIZE];
    struct slice first = conn_input(worker, record, head);
    uint64_t length = conn_input_length(record, head);

    if (first.length == length)
        return first;
    memcpy(straight, first.at, first.length);
    memcpy(straight + first.length,
           ring_at(worker, head->in_block, head->in_base, head->taken + first.length), length - first.length);
    return (struct slice){straight, length};
}

/* --- output --- */

uint32_t conn_room(const struct record *record, const struct record_head *head)
{
    return head->file_fd >= 0 ? 0 : ARENA_BLOCK_SIZE - (uint32_t)(head->made - record->tx);
}

int conn_reserve(struct worker *worker, struct record_head *head)
{
    int result;

    if (head->out_block)
        return 0;
    result = take_block(worker, &head->out_block);
    if (!result)
        head->out_base = head->made;
    return result;
}

void conn_copy_output(struct worker *worker, const struct record_head *head, uint64_t from, char *into)
{
    const size_t length = (size_t)(conn_ring_end(head) - from),
                 piece = in_one_piece(head->out_base, from, length);

    MUST(length <= ARENA_BLOCK_SIZE && head->out_block);
    memcpy(into, ring_at(worker, head->out_block, head->out_base, from), piece);
    memcpy(into + piece, ring_at(worker, head->out_block, head->out_base, from + piece), length - piece);
}

int conn_move(const struct record *from_record, struct record_head *from, const struct record *to_record,
              struct record_head *to, uint32_t *given_up)
{
    if (conn_has_output(to_record, to) || to->file_fd >= 0 || !from->in_block ||
        conn_input_length(from_record, from) < CONN_MOVE_MIN)
        return ERR_BUSY;
    *given_up = to->out_block;
    to->out_block = from->in_block;
    to->out_base =
        to->made - (from->taken - from->in_base) % ARENA_BLOCK_SIZE; /* may wrap: so does the ring */
    to->made += from_record->rx - from->taken;
    from->in_block = 0;
    from->taken = from_record->rx;
    return 0;
}

int conn_put(struct worker *worker, const struct record *record, struct record_head *head, struct slice bytes)
{
    size_t piece;
    int result;

    if (bytes.length > conn_room(record, head))
        return ERR_LIMIT;
    result = conn_reserve(worker, head);
    if (result)
        return result;
    piece = in_one_piece(head->out_base, head->made, bytes.length);
    memcpy(ring_at(worker, head->out_block, head->out_base, head->made), bytes.at, piece);
    if (piece < bytes.length)
        memcpy(ring_at(worker, head->out_block, head->out_base, head->made + piece), bytes.at + piece,
               bytes.length - piece);
    head->made += bytes.length;
    return 0;
}

void conn_put_file(struct worker *worker, struct record_head *head, int fd, uint64_t offset, uint64_t length)
{
    MUST(head->file_fd < 0);
    worker_file_use(worker, fd);
    head->file_fd = fd;
    head->file_from = head->made;
    head->file_offset = offset;
    head->made += length;
}

void *conn_take_plan(struct worker *worker, struct record_head *head)
{
    MUST(!head->plan_block);
    return take_block(worker, &head->plan_block) ? NULL : arena_block(&worker->arena, head->plan_block - 1);
}

const void *conn_plan(struct worker *worker, const struct record_head *head)
{
    MUST(head->plan_block);
    return arena_block(&worker->arena, head->plan_block - 1);
}

void conn_give_plan(struct worker *worker, uint32_t plan_block)
{
    worker_give_block(worker, plan_block);
}

void conn_undo(struct worker *worker, const struct record_head *head, const struct record_head *kept)
{
    if (head->out_block && head->out_block != kept->out_block)
        worker_give_block(worker, head->out_block);
    if (head->plan_block && head->plan_block != kept->plan_block)
        worker_give_block(worker, head->plan_block);
    if (head->file_fd >= 0 && head->file_fd != kept->file_fd)
        worker_file_drop(worker, head->file_fd);
    if (head->spool && head->spool != kept->spool)
        worker_file_drop(worker, (int)head->spool - 1);
}

int conn_put_part(struct worker *worker, struct record *record, struct record_head *head, struct slice text,
                  uint64_t offset, uint64_t length)
{
    const int fd = head->file_fd;
    int result;

    MUST(fd >= 0 && !conn_has_output(record, head));
    head->file_fd = -1;
    result = conn_put(worker, record, head, text);
    head->file_fd = fd;
    if (result)
        return result;
    head->file_from = head->made;
    head->file_offset = offset;
    head->made += length;
    return 0;
}

static ssize_t flush_ring(struct worker *worker, struct record *record, const struct record_head *head,
                          uint64_t end)
{
    size_t piece = in_one_piece(head->out_base, record->tx, end - record->tx);

    return ledger_send(worker->intent, record, (int)arena_number(&worker->arena, record),
                       ring_at(worker, head->out_block, head->out_base, record->tx), piece,
                       record->tx + piece < head->made || worker_side(worker, record)->more_follows);
}

static size_t file_piece(uint64_t left)
{
    if (left <= SHORT_FILE)
        return left < SHORT_PIECE ? left : SHORT_PIECE;
    return left < SEND_SHARE ? left : SEND_SHARE;
}

/* -EINPROGRESS: a pool thread reads what is to be sent; worker_again will be called. */
static ssize_t flush_file(struct worker *worker, struct record *record, const struct record_head *head)
{
    const uint64_t offset = head->file_offset + (record->tx - head->file_from);
    const uint64_t left = head->made - record->tx, length = left < SEND_SHARE ? left : SEND_SHARE;
    ssize_t count;

    if (warm_wait(worker, record, head->file_fd, offset, length))
        return -EINPROGRESS;
    count = ledger_sendfile(worker->intent, record, (int)arena_number(&worker->arena, record), head->file_fd,
                            offset, file_piece(left));
    return count ? count : -ENODATA;
}

int conn_flush(struct worker *worker, struct record *record)
{
    const struct record_head *head = record_head(record);
    struct conn_side *side = worker_side(worker, record);
    uint64_t share_end = record->tx + SEND_SHARE;

    if (record->tx == head->made)
        return 0;
    while (record->tx < head->made) {
        uint64_t ring_end = head->file_fd >= 0 ? head->file_from : head->made;
        ssize_t count = record->tx < ring_end ? flush_ring(worker, record, head, ring_end)
                                              : flush_file(worker, record, head);

        if (count == -EAGAIN) {
            side->writable = 0;
            return ERR_AGAIN;
        }
        if (count == -ENODATA)
            return ERR_IO;
        if (count == -EINPROGRESS)
            return ERR_BUSY;
        if (count < 0 && count != -EINTR)
            return error_of(count);
        if (record->tx >= share_end && record->tx < head->made) {
            worker_again(worker, record);
            return ERR_BUSY;
        }
    }
    side->is_corked = side->more_follows;
    return 0;
}

void conn_let_go(struct worker *worker, struct record *record)
{
    struct conn_side *side = worker_side(worker, record);
    const int on = 1;

    if (!side->is_corked)
        return;
    side->is_corked = 0;
    if (record->kind != RECORD_UNIX) /* whose sockets keep nothing back */
        (void)setsockopt((int)arena_number(&worker->arena, record), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

int conn_drains(struct worker *worker, struct record *record)
{
    struct conn_side *side = worker_side(worker, record);
    const uint64_t before = side->sent_seen;
    int waiting = 0;

    if (side->is_warming)
        return 1; /* it is our turn, not theirs */
    if (ioctl((int)arena_number(&worker->arena, record), SIOCOUTQ, &waiting))
        return 0;
    /* A Unix socket counts the memory that holds the bytes, which is more. */
    side->sent_seen = record->tx > (uint64_t)waiting ? record->tx - (uint64_t)waiting : 0;
    return side->sent_seen != before;
}

void conn_settle(struct worker *worker, struct record *record)
{
    const struct record_head *now = record_head(record);
    int in_done = now->in_block && !conn_input_length(record, now);
    int out_done = (now->out_block || now->file_fd >= 0) && !conn_has_output(record, now) && !now->plan_block;
    struct record_head *head, before = *now;

    if (!in_done && !out_done)
        return;
    head = record_begin(record);
    if (in_done)
        head->in_block = 0;
    if (out_done) {
        head->out_block = 0;
        head->file_fd = -1;
    }
    record_commit(record);
    if (in_done)
        worker_give_block(worker, before.in_block);
    if (out_done && before.out_block)
        worker_give_block(worker, before.out_block);
    if (out_done && before.file_fd >= 0)
        worker_file_drop(worker, before.file_fd);
}

/* --- the end --- */

static void send_fin(struct record *record, uint32_t number, uint8_t how)
{
    /* Committed first: once the FIN may be queued, the kernel's count of sent bytes may include it. */
    record_begin(record)->shut = how;
    record_commit(record);
    (void)shutdown((int)number, SHUT_WR);
}

void conn_shut(struct record *record, uint32_t number)
{
    send_fin(record, number, RECORD_SHUT);
}

void conn_half_close(struct record *record, uint32_t number)
{
    MUST(!conn_has_output(record, record_head(record)));
    send_fin(record, number, RECORD_HALF_CLOSED);
}

int conn_discard(struct worker *worker, struct record *record)
{
    static char bytes[65536];
    int fd = (int)arena_number(&worker->arena, record);
    ssize_t count;

    for (int i = 0; i < 16; i++) {
        count = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
        if (count < 0 && (errno == EAGAIN || errno == EINTR))
            return 0;
        if (count <= 0)
            return ERR_CLOSED;
    }
    worker_again(worker, record);
    return 0;
}

void conn_reset(struct worker *worker, struct record *record)
{
    const struct linger at_once = {.l_onoff = 1};

    (void)setsockopt((int)arena_number(&worker->arena, record), SOL_SOCKET, SO_LINGER, &at_once,
                     sizeof at_once);
    conn_close(worker, record);
}

void conn_close(struct worker *worker, struct record *record)
{
    const uint32_t spool = record_head(record)->spool;
    int file = record_head(record)->file_fd;

    worker_close(worker, record);
    if (file >= 0)
        worker_file_drop(worker, file);
    if (spool)
        worker_file_drop(worker, (int)spool - 1);
}
