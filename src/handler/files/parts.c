/* Answers with a representation: whole, a range of it, or several (multipart/byteranges, http/multipart.h).
 *
 * Several ranges of a file with a descriptor are sent part by part: head of a part in the ring, its bytes from the file,
 * then the next one. What is still to come stands in the plan, a block of the arena; how many parts are made, in
 * handler_state. Those of a file that is kept whole are put together in the ring. */
#include "handler/files/internal.h"
#include "http/multipart.h"

#include <string.h>

#define NOTHING ((struct slice){"", 0})

enum { STATE_PARTS_MADE = 0 };

struct plan {
    struct range_set ranges;
    uint64_t size, serial, salt; /* for multipart_init */
    uint32_t type_length;
    char type[MULTIPART_TYPE_MAX];
};
_Static_assert(sizeof(struct plan) <= ARENA_BLOCK_SIZE, "a plan is a block");

static struct slice slice_of_text(const struct text *text)
{
    return (struct slice){text->at, text->length};
}

static void send_bytes(struct exchange *exchange, const struct cached_file *file, struct slice type,
                       int status, struct text *fields, const struct range *range)
{
    const uint64_t length = range_length(range);

    if (file->content)
        exchange_respond(exchange, status, type, slice_of_text(fields),
                         (struct slice){file->content + range->first, length});
    else
        exchange_respond_file(exchange, status, type, slice_of_text(fields), file->fd, range->first, length);
}

static void send_whole(struct exchange *exchange, const struct cached_file *file, struct slice type,
                       struct text *fields)
{
    if (file->size == 0)
        exchange_respond(exchange, 200, type, slice_of_text(fields), NOTHING);
    else
        send_bytes(exchange, file, type, 200, fields, &(struct range){0, file->size - 1});
}

/* --- several ranges --- */

/* 0; ERR_LIMIT: they are not worth it, or their type is too long. */
static int plan_make(struct plan *plan, struct multipart *multipart, const struct exchange *exchange,
                     const struct cached_file *file, struct slice type, const struct range_set *set)
{
    if (type.length > MULTIPART_TYPE_MAX)
        return ERR_LIMIT;
    *plan = (struct plan){.ranges = *set,
                          .size = file->size,
                          .serial = exchange->state->request,
                          .salt = (uint64_t)file->status.st_mtim.tv_nsec ^ exchange->record->serial << 32,
                          .type_length = (uint32_t)type.length};
    memcpy(plan->type, type.at, type.length);
    if (multipart_init(multipart, &plan->ranges, plan->size, (struct slice){plan->type, plan->type_length},
                       plan->serial, plan->salt))
        return ERR_LIMIT;
    return multipart_length(multipart) > file->size ? ERR_LIMIT : 0;
}

static struct slice own_type(const struct multipart *multipart, char memory[MULTIPART_TYPE_FIELD_SIZE])
{
    struct text text;

    text_init(&text, memory, MULTIPART_TYPE_FIELD_SIZE);
    multipart_add_type(multipart, &text);
    return slice_of_text(&text);
}

/* Parts of what is kept whole, together. 1; 0: they do not fit. */
static int send_together(struct exchange *exchange, const struct cached_file *file, struct text *fields,
                         const struct multipart *multipart)
{
    static char memory[EXCHANGE_BODY_MAX + 1];
    char type[MULTIPART_TYPE_FIELD_SIZE];
    struct text text;

    text_init(&text, memory, sizeof memory);
    for (uint32_t i = 0; i < multipart->ranges->count; i++) {
        const struct range *range = &multipart->ranges->at[i];

        multipart_add_part_head(multipart, i, &text);
        text_add(&text, (struct slice){file->content + range->first, range_length(range)});
    }
    multipart_add_end(multipart, &text);
    if (text.overflow)
        return 0;
    exchange_respond(exchange, 206, own_type(multipart, type), slice_of_text(fields), slice_of_text(&text));
    return 1;
}

static void send_apart(struct exchange *exchange, const struct cached_file *file, struct text *fields,
                       const struct plan *plan, const struct multipart *multipart)
{
    char type[MULTIPART_TYPE_FIELD_SIZE], head[MULTIPART_PART_HEAD_SIZE];
    struct text text;

    text_init(&text, head, sizeof head);
    multipart_add_part_head(multipart, 0, &text);
    exchange_respond_parts(
        exchange, 206, own_type(multipart, type), slice_of_text(fields), multipart_length(multipart),
        slice_of_text(&text),
        &(struct exchange_part){file->fd, plan->ranges.at[0].first, range_length(&plan->ranges.at[0])},
        (struct slice){(const char *)plan, sizeof *plan});
    exchange->state->handler_state[STATE_PARTS_MADE] = 1;
}

void parts_more(struct exchange *exchange)
{
    const struct plan *plan = conn_plan(exchange->worker, exchange->head);
    const uint32_t part = (uint32_t)exchange->state->handler_state[STATE_PARTS_MADE];
    const int is_end = part >= plan->ranges.count;
    const struct range *range = &plan->ranges.at[is_end ? 0 : part];
    char head[MULTIPART_PART_HEAD_SIZE];
    struct multipart multipart;
    struct text text;

    MUST(!multipart_init(&multipart, &plan->ranges, plan->size, (struct slice){plan->type, plan->type_length},
                         plan->serial, plan->salt));
    text_init(&text, head, sizeof head);
    if (is_end)
        multipart_add_end(&multipart, &text);
    else
        multipart_add_part_head(&multipart, part, &text);
    if (conn_put_part(exchange->worker, exchange->record, exchange->head, slice_of_text(&text), range->first,
                      is_end ? 0 : range_length(range))) {
        exchange->failed = 1;
        return;
    }
    exchange->state->handler_state[STATE_PARTS_MADE] = part + 1;
    if (is_end)
        exchange->head->plan_block = 0;
}

/* 1; 0: answer with the whole, which RFC 9110 section 14.2 permits. */
static int send_several(struct exchange *exchange, const struct cached_file *file, struct slice type,
                        struct text *fields, const struct range_set *set)
{
    struct multipart multipart;
    struct plan plan;

    if (plan_make(&plan, &multipart, exchange, file, type, set))
        return 0;
    if (file->content)
        return send_together(exchange, file, fields, &multipart);
    send_apart(exchange, file, fields, &plan, &multipart);
    return 1;
}

void parts_answer(struct exchange *exchange, const struct cached_file *file, struct slice type,
                  struct text *fields, struct slice wanted, int is_coded)
{
    struct range_set set;
    const enum range_answer answer = wanted.length ? range_select(wanted, file->size, &set) : RANGE_WHOLE;

    if (answer == RANGE_UNSATISFIED) {
        fields->length = 0;
        range_add_unsatisfied(fields, file->size);
        exchange_respond_error_with(exchange, 416, SLICE_LITERAL("range_not_satisfiable"),
                                    slice_of_text(fields));
    } else if (answer == RANGE_PARTIAL && set.count == 1) {
        range_add_content_range(fields, &set.at[0], file->size);
        send_bytes(exchange, file, type, 206, fields, &set.at[0]);
    } else if (answer != RANGE_PARTIAL || is_coded || !send_several(exchange, file, type, fields, &set)) {
        send_whole(exchange, file, type, fields);
    }
}
