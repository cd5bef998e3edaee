#include "core/freeze.h"

#include "base/assert.h"
#include "core/handover_page.h"

#include <string.h>

static const struct conn_class *class_of(const struct worker *worker, const struct record *record)
{
    return worker->service->classes[record->class_tag];
}

/* --- rings --- */

static char *ring_at(struct worker *worker, uint32_t block, uint64_t base, uint64_t offset)
{
    return arena_block(&worker->arena, block - 1) + (offset - base) % ARENA_BLOCK_SIZE;
}

static void copy_ring(struct worker *worker, uint32_t block, uint64_t base, uint64_t from, size_t length,
                      char *into)
{
    const size_t to_end = ARENA_BLOCK_SIZE - (size_t)((from - base) % ARENA_BLOCK_SIZE),
                 piece = length < to_end ? length : to_end;

    memcpy(into, ring_at(worker, block, base, from), piece);
    memcpy(into + piece, ring_at(worker, block, base, from + piece), length - piece);
}

_Static_assert(sizeof(struct record_head) == 184 && sizeof(struct record) == 448,
               "what is new in it belongs into the passport, too");

/* --- freezing --- */

/* The kernel puts its own copy of the descriptor into the message: how often a number stands there does not matter. */
static uint32_t add_descriptor(struct freeze_descriptors *descriptors, int fd)
{
    int *numbers = (int *)(void *)(descriptors->control + CMSG_LEN(0));

    if (descriptors->count < HANDOVER_DESCRIPTORS_MAX)
        numbers[descriptors->count] = fd;
    return descriptors->count++;
}

static void put(struct passport_writer *writer, enum passport_core_tag tag, uint64_t value)
{
    passport_put_number(writer, tag, PASSPORT_REQUIRED, value);
}

static void put_identity(struct worker *worker, const struct record *record, struct passport_writer *writer)
{
    const struct conn_class *class = class_of(worker, record);
    const struct slice address = {(const char *)record->client_address, sizeof record->client_address};

    passport_put(writer, PASSPORT_CLASS, PASSPORT_REQUIRED, slice_of(class->name));
    put(writer, PASSPORT_CLASS_VERSION, class->mover->version);
    put(writer, PASSPORT_KIND, record->kind);
    if (record->listener != RECORD_NO_LISTENER)
        passport_put(writer, PASSPORT_LISTENER, PASSPORT_REQUIRED,
                     slice_of(worker->settings->listeners[record->listener].text));
    if (record_has_address(record))
        passport_put(writer, PASSPORT_CLIENT_ADDRESS, PASSPORT_REQUIRED, address);
    put(writer, PASSPORT_CLIENT_PORT, record->client_port);
    put(writer, PASSPORT_OPENED_NS, record->opened_ns);
    if (record->deadline_ns) {
        put(writer, PASSPORT_DEADLINE_NS, record->deadline_ns & ~(uint64_t)RECORD_PURPOSE_MASK);
        put(writer, PASSPORT_DEADLINE_PURPOSE, record_purpose(record));
    }
}

static void put_input(struct worker *worker, const struct record *record, const struct record_head *head,
                      struct passport_writer *writer)
{
    const size_t length = head->in_block ? (size_t)(record->rx - head->taken) : 0;
    char *into;

    put(writer, PASSPORT_RX, record->rx);
    put(writer, PASSPORT_TAKEN, head->taken);
    put(writer, PASSPORT_END_OF_INPUT, head->end_of_input);
    if (!length)
        return;
    into = passport_put_space(writer, PASSPORT_INPUT, PASSPORT_REQUIRED, length);
    if (into)
        copy_ring(worker, head->in_block, head->in_base, head->taken, length, into);
}

/* What the ring has not any more nobody can want. */
static uint64_t kept_from(const struct worker *worker, const struct record *record, uint64_t ring_end)
{
    const struct conn_mover *mover = class_of(worker, record)->mover;
    const uint64_t from = mover->keep_from ? mover->keep_from(record) : record->tx;

    return from < record->tx && ring_end - from <= ARENA_BLOCK_SIZE ? from : record->tx;
}

static void put_output(struct worker *worker, const struct record *record, const struct record_head *head,
                       struct passport_writer *writer)
{
    const uint64_t ring_end = head->file_fd >= 0 ? head->file_from : head->made;
    const uint64_t from = kept_from(worker, record, ring_end);
    char *into;

    put(writer, PASSPORT_TX, record->tx);
    put(writer, PASSPORT_MADE, head->made);
    if (!head->out_block || from >= ring_end)
        return;
    MUST(ring_end - from <= ARENA_BLOCK_SIZE);
    put(writer, PASSPORT_OUTPUT_FROM, from);
    into = passport_put_space(writer, PASSPORT_OUTPUT, PASSPORT_REQUIRED, (size_t)(ring_end - from));
    if (into)
        copy_ring(worker, head->out_block, head->out_base, from, (size_t)(ring_end - from), into);
}

static void put_files(struct worker *worker, const struct record_head *head, struct passport_writer *writer,
                      struct freeze_descriptors *descriptors)
{
    const char *plan;
    size_t length = ARENA_BLOCK_SIZE;

    if (head->file_fd >= 0) {
        put(writer, PASSPORT_FILE, add_descriptor(descriptors, head->file_fd));
        put(writer, PASSPORT_FILE_FROM, head->file_from);
        put(writer, PASSPORT_FILE_OFFSET, head->file_offset);
    }
    if (head->spool)
        put(writer, PASSPORT_SPOOL, add_descriptor(descriptors, (int)head->spool - 1));
    if (!head->plan_block)
        return;
    plan = arena_block(&worker->arena, head->plan_block - 1);
    while (length && !plan[length - 1]) /* the rest is zero */
        length--;
    passport_put(writer, PASSPORT_PLAN, PASSPORT_REQUIRED, (struct slice){plan, length});
}

int freeze_record(struct worker *worker, const struct record *record, int with,
                  struct passport_writer *writer, struct freeze_descriptors *descriptors)
{
    const struct record_head *head = record_head(record);
    const uint32_t descriptors_before = descriptors->count;

    passport_begin(writer);
    put_identity(worker, record, writer);
    put(writer, PASSPORT_DESCRIPTOR, add_descriptor(descriptors, (int)arena_number(&worker->arena, record)));
    if (with >= 0)
        put(writer, PASSPORT_WITH, (uint64_t)with);
    put(writer, PASSPORT_SHUT, head->shut);
    put(writer, PASSPORT_CRASHES, head->crashes);
    put_input(worker, record, head, writer);
    put_output(worker, record, head, writer);
    put_files(worker, head, writer, descriptors);
    class_of(worker, record)->mover->freeze(worker, record, writer);
    if (!writer->overflow && descriptors->count <= HANDOVER_DESCRIPTORS_MAX &&
        writer->count < PASSPORTS_MAX) {
        passport_end(writer);
        return 0;
    }
    passport_undo(writer);
    descriptors->count = descriptors_before;
    return ERR_NO_SPACE;
}

/* --- thawing --- */

static const struct passport_known core_knows = {
#define PASSPORT_CORE_BIT(name, number) | 1ULL << number
    .core = 0 PASSPORT_CORE_TABLE(PASSPORT_CORE_BIT),
#undef PASSPORT_CORE_BIT
};

/* One passport's numbers. */
struct numbers {
    uint64_t class_version, kind, descriptor, port, opened_ns, rx, tx, deadline_ns, purpose, taken, made,
        output_from, file, file_from, file_offset, spool, shut, end_of_input, crashes, with;
};
#define MISSING UINT64_MAX

static int read_numbers(const struct passport *passport, struct numbers *numbers)
{
    const struct {
        enum passport_core_tag tag;
        uint64_t missing;
        uint64_t *value;
    } all[] = {
        {PASSPORT_CLASS_VERSION, MISSING, &numbers->class_version},
        {PASSPORT_KIND, MISSING, &numbers->kind},
        {PASSPORT_DESCRIPTOR, MISSING, &numbers->descriptor},
        {PASSPORT_CLIENT_PORT, 0, &numbers->port},
        {PASSPORT_OPENED_NS, 0, &numbers->opened_ns},
        {PASSPORT_RX, MISSING, &numbers->rx},
        {PASSPORT_TX, MISSING, &numbers->tx},
        {PASSPORT_DEADLINE_NS, 0, &numbers->deadline_ns},
        {PASSPORT_DEADLINE_PURPOSE, 0, &numbers->purpose},
        {PASSPORT_TAKEN, MISSING, &numbers->taken},
        {PASSPORT_MADE, MISSING, &numbers->made},
        {PASSPORT_OUTPUT_FROM, MISSING, &numbers->output_from},
        {PASSPORT_FILE, MISSING, &numbers->file},
        {PASSPORT_FILE_FROM, MISSING, &numbers->file_from},
        {PASSPORT_FILE_OFFSET, 0, &numbers->file_offset},
        {PASSPORT_SPOOL, MISSING, &numbers->spool},
        {PASSPORT_SHUT, 0, &numbers->shut},
        {PASSPORT_END_OF_INPUT, 0, &numbers->end_of_input},
        {PASSPORT_CRASHES, 0, &numbers->crashes},
        {PASSPORT_WITH, MISSING, &numbers->with},
    };

    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (passport_get_number(passport, all[i].tag, all[i].missing, all[i].value))
            return ERR_PROTOCOL;
    return 0;
}

/* What holds of every connection, so that nothing that is computed from it later lies outside of its ring. */
static int is_sound(const struct thaw *thaw, const struct numbers *numbers, struct slice input,
                    struct slice output)
{
    const uint64_t ring_end = numbers->file == MISSING ? numbers->made : numbers->file_from;

    if (numbers->kind < RECORD_TCP_ACCEPTED || numbers->kind > RECORD_UNIX || numbers->port > UINT16_MAX ||
        numbers->descriptor >= thaw->descriptors || numbers->shut > RECORD_HALF_CLOSED ||
        numbers->end_of_input > 1 || numbers->crashes > UINT8_MAX || numbers->purpose > RECORD_PURPOSE_MASK)
        return 0;
    if (numbers->rx == MISSING || numbers->tx == MISSING || numbers->taken > numbers->rx ||
        numbers->made < numbers->tx || numbers->made == MISSING)
        return 0;
    /* After our FIN what comes is forgotten, and the input's offsets stand still. */
    if (input.length != numbers->rx - numbers->taken || input.length > ARENA_BLOCK_SIZE ||
        output.length > ARENA_BLOCK_SIZE)
        return 0;
    if (ring_end > numbers->made || (numbers->tx < ring_end && !output.length))
        return 0;
    if (output.length && (numbers->output_from == MISSING || numbers->output_from > numbers->tx ||
                          numbers->output_from + output.length != ring_end))
        return 0;
    if (numbers->file != MISSING && numbers->file >= thaw->descriptors)
        return 0;
    return (numbers->spool == MISSING || numbers->spool < thaw->descriptors) &&
           (numbers->with == MISSING || numbers->with < thaw->count);
}

static int find_class(const struct worker *worker, const struct passport *passport)
{
    struct slice name;

    (void)passport_get(passport, PASSPORT_CLASS, &name);
    for (int tag = 0; tag < CONN_CLASSES_MAX; tag++) {
        const struct conn_class *class = worker->service->classes[tag];

        if (class && class->mover && slice_equals(slice_of(class->name), name))
            return tag;
    }
    return ERR_UNSUPPORTED;
}

static int find_listener(const struct worker *worker, const struct passport *passport, uint16_t *listener)
{
    struct slice text;

    *listener = RECORD_NO_LISTENER;
    if (!passport_get(passport, PASSPORT_LISTENER, &text))
        return 0;
    for (unsigned i = 0; i < worker->settings->listener_count; i++)
        if (slice_equals(slice_of(worker->settings->listeners[i].text), text)) {
            *listener = (uint16_t)i;
            return 0;
        }
    return ERR_NOT_FOUND;
}

static int fill_block(struct worker *worker, uint32_t *block, struct slice bytes)
{
    int64_t number;

    if (!bytes.length)
        return 0;
    number = blocks_take(&worker->blocks);
    if (number < 0)
        return ERR_NO_MEMORY;
    *block = (uint32_t)number + 1;
    memcpy(arena_block(&worker->arena, (uint32_t)number), bytes.at, bytes.length);
    return 0;
}

static int thaw_blocks(struct worker *worker, struct record_head *head, const struct passport *passport)
{
    struct slice input, output, plan;
    int result;

    (void)passport_get(passport, PASSPORT_INPUT, &input);
    (void)passport_get(passport, PASSPORT_OUTPUT, &output);
    result = fill_block(worker, &head->in_block, input);
    if (!result)
        result = fill_block(worker, &head->out_block, output);
    if (!result && passport_get(passport, PASSPORT_PLAN, &plan)) {
        char *at;

        if (plan.length > ARENA_BLOCK_SIZE || !plan.length)
            return ERR_PROTOCOL;
        result = fill_block(worker, &head->plan_block, plan);
        if (result)
            return result;
        at = arena_block(&worker->arena, head->plan_block - 1);
        memset(at + plan.length, 0, ARENA_BLOCK_SIZE - plan.length);
    }
    return result;
}

static int descriptor_at(const struct thaw *thaw, uint64_t index)
{
    const int *numbers = (const int *)(const void *)(thaw->control + CMSG_LEN(0));

    return numbers[index];
}

static void fill_head(const struct thaw *thaw, const struct numbers *numbers, struct record_head *head)
{
    head->taken = numbers->taken;
    head->in_base = numbers->taken;
    head->made = numbers->made;
    head->out_base = numbers->output_from == MISSING ? numbers->made : numbers->output_from;
    head->end_of_input = (uint8_t)numbers->end_of_input;
    head->shut = (uint8_t)numbers->shut;
    head->crashes = (uint8_t)numbers->crashes;
    head->file_fd = numbers->file == MISSING ? -1 : descriptor_at(thaw, numbers->file);
    if (numbers->file != MISSING) {
        head->file_from = numbers->file_from;
        head->file_offset = numbers->file_offset;
    }
    head->spool = numbers->spool == MISSING ? 0 : (uint32_t)descriptor_at(thaw, numbers->spool) + 1;
}

void thaw_undo(struct worker *worker, struct record *record)
{
    const struct conn_mover *mover = class_of(worker, record)->mover;

    if (mover->unthaw)
        mover->unthaw(worker, record_head(record));
    worker_give_blocks(worker, record_head(record));
    record_set_life(record, RECORD_FREE);
}

int thaw_record(struct thaw *thaw, const struct passport *passport)
{
    struct worker *worker = thaw->worker;
    const int tag = find_class(worker, passport);
    const struct conn_mover *mover = tag < 0 ? NULL : worker->service->classes[tag]->mover;
    struct passport_known known = core_knows;
    struct numbers numbers;
    struct slice input, output, address;
    struct record_head *head;
    struct record *record, *with;
    uint16_t listener;
    int result;

    if (!mover || read_numbers(passport, &numbers))
        return mover ? ERR_PROTOCOL : ERR_UNSUPPORTED;
    known.class = mover->understood;
    if (numbers.class_version > mover->version || passport_understand(passport, known))
        return ERR_UNSUPPORTED;
    (void)passport_get(passport, PASSPORT_INPUT, &input);
    (void)passport_get(passport, PASSPORT_OUTPUT, &output);
    if (!is_sound(thaw, &numbers, input, output))
        return ERR_PROTOCOL;
    result = find_listener(worker, passport, &listener);
    if (result)
        return result;
    record = arena_record(&worker->arena, (uint32_t)descriptor_at(thaw, numbers.descriptor));
    if (record->life != RECORD_FREE)
        return ERR_PROTOCOL; /* one descriptor for two */
    worker_fill_record(worker, record, (uint8_t)numbers.kind, (uint8_t)tag, listener);
    record->handover = thaw->link + 1;
    record->opened_ns = numbers.opened_ns;
    if (passport_get(passport, PASSPORT_CLIENT_ADDRESS, &address) &&
        address.length == sizeof record->client_address)
        memcpy(record->client_address, address.at, address.length);
    record->client_port = (uint16_t)numbers.port;
    record->rx = numbers.rx;
    record->tx = numbers.tx;
    record->deadline_ns = record_deadline(numbers.deadline_ns, (unsigned)numbers.purpose);
    head = &record->heads[record->current & 1];
    fill_head(thaw, &numbers, head);
    with = numbers.with == MISSING ? NULL : thaw->records[numbers.with];
    result = thaw_blocks(worker, head, passport);
    if (!result)
        result = mover->thaw(worker, record, head, passport, with);
    if (result) {
        worker_give_blocks(worker, head);
        record_set_life(record, RECORD_FREE);
        return result;
    }
    record_set_life(record, RECORD_THAWING);
    thaw->records[thaw->count++] = record;
    return 0;
}
