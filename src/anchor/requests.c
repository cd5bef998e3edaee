/* What masters ask for: one table of requests, one function each. The format stands in anchor/wire.h. */
#include "anchor/requests.h"

#include "anchor/masters.h"
#include "base/fd.h"
#include "base/log.h"

#include <errno.h>
#include <unistd.h>

struct request {
    struct anchor *anchor;
    struct master *from;
    const uint8_t *payload;
    uint32_t length;
    int fd;                       /* came with it; -1: none. Closed afterwards unless taken */
    char name[WIRE_NAME_MAX + 1]; /* of requests whose payload ends with a name or prefix */
    uint8_t answer[WIRE_PAYLOAD_MAX];
    uint32_t answer_length;
    int answer_fd;   /* borrowed; -1: none */
    const char *why; /* text for ERROR; NULL: the general text of the error */
};

/* 0 or an error, with request->why. */
typedef int (*request_fn)(struct request *request);

static int request_fail(struct request *request, int error, const char *why)
{
    request->why = why;
    return error;
}

static int request_in_command(const struct request *request)
{
    return request->from == &request->anchor->masters[request->anchor->command];
}

/* Copies the payload from byte `from` on into request->name, if it is a name. */
static int request_take_name(struct request *request, uint32_t from)
{
    if (!wire_name_valid(request->payload + from, request->length - from))
        return request_fail(request, ERR_INVALID, "a name is 1 to 63 printable bytes without spaces");
    memcpy(request->name, request->payload + from, request->length - from);
    request->name[request->length - from] = 0;
    return 0;
}

static void request_answer_u32(struct request *request, uint32_t value)
{
    wire_put_u32(request->answer + request->answer_length, value);
    request->answer_length += 4;
}

static void request_answer_u64(struct request *request, uint64_t value)
{
    wire_put_u64(request->answer + request->answer_length, value);
    request->answer_length += 8;
}

static void request_answer_bytes(struct request *request, const void *bytes, size_t length)
{
    memcpy(request->answer + request->answer_length, bytes, length);
    request->answer_length += (uint32_t)length;
}

static int request_hello(struct request *request)
{
    struct anchor *anchor = request->anchor;
    const char *texts[3] = {request->from->image, anchor->good, anchor->trying};
    uint16_t flags = 0;
    if (wire_get_u16(request->payload) > WIRE_VERSION || wire_get_u16(request->payload + 2) < WIRE_VERSION)
        return request_fail(request, ERR_VERSION, "this anchor speaks version 1 only");
    if (request_in_command(request))
        flags |= WIRE_HELLO_IN_COMMAND;
    if (anchor->restart.ready_ever)
        flags |= WIRE_HELLO_READY_BEFORE;

    wire_put_u16(request->answer, WIRE_VERSION);
    wire_put_u16(request->answer + 2, flags);
    request->answer_length = 4;
    request_answer_u32(request, (uint32_t)getpid());
    request_answer_u32(request, (uint32_t)request->from->pid);
    request_answer_u32(request, (uint32_t)anchor->masters[request->from == anchor->masters ? 1 : 0].pid);
    request_answer_u64(request, anchor->epoch);
    request_answer_u64(request, anchor->started);
    for (int i = 0; i < 3; i++)
        request->answer[request->answer_length++] = (uint8_t)strlen(texts[i]);
    for (int i = 0; i < 3; i++)
        request_answer_bytes(request, texts[i], strlen(texts[i]));
    request->from->greeted = 1;
    request->from->tell_command = 0;
    return 0;
}

/* Without command, a master may touch only what it deposited itself. */
static int request_may_change(struct request *request, const struct named *named)
{
    if (!request_in_command(request) && named->depositor != request->from->serial)
        return request_fail(request, ERR_PERMISSION,
                            "the name is not this master's, which is not in command");
    return 0;
}

static int request_put(struct request *request)
{
    struct names *names = &request->anchor->names;
    int error = request_take_name(request, 0);
    if (error)
        return error;
    struct named *named = names_find(names, request->name);
    if (named) {
        error = request_may_change(request, named);
        if (error)
            return error;
    }
    error = names_put(names, request->name, &request->fd, request->from->serial);
    return error ? request_fail(request, error, "the anchor's table of names is full") : 0;
}

static int request_get(struct request *request)
{
    int error = request_take_name(request, 0);
    if (error)
        return error;
    struct named *named = names_find(&request->anchor->names, request->name);
    if (!named)
        return request_fail(request, ERR_NOT_FOUND, "nothing is held under this name");
    request->answer_fd = named->fd;
    return 0;
}

static int request_del(struct request *request)
{
    struct anchor *anchor = request->anchor;
    int error = request_take_name(request, 0);
    if (error)
        return error;
    struct named *named = names_find(&anchor->names, request->name);
    if (!named)
        return request_fail(request, ERR_NOT_FOUND, "nothing is held under this name");
    if (strcmp(request->name, anchor->good) == 0 || strcmp(request->name, anchor->trying) == 0)
        return request_fail(request, ERR_BUSY, "masters are started from this image");
    error = request_may_change(request, named);
    if (error)
        return error;
    names_delete(&anchor->names, named);
    return 0;
}

static int request_list(struct request *request)
{
    struct names *names = &request->anchor->names;
    uint32_t prefix_length = request->length - 4;
    memcpy(request->name, request->payload + 4, prefix_length);
    request->name[prefix_length] = 0;

    request->answer_length = 4;
    unsigned place = names_next(names, wire_get_u32(request->payload), request->name);
    while (place < NAMES_MAX && request->answer_length + 1 + WIRE_NAME_MAX <= WIRE_PAYLOAD_MAX) {
        size_t length = strlen(names->places[place].name);
        request->answer[request->answer_length++] = (uint8_t)length;
        request_answer_bytes(request, names->places[place].name, length);
        place = names_next(names, place + 1, request->name);
    }
    wire_put_u32(request->answer, place < NAMES_MAX ? place : 0);
    return 0;
}

static int request_start(struct request *request)
{
    struct anchor *anchor = request->anchor;
    struct master *master = &anchor->masters[anchor->command == 0 ? 1 : 0];
    const char *image = request->name;
    if (request->length) {
        int error = request_take_name(request, 0);
        if (error)
            return error;
    } else {
        image = anchor->trying[0] ? anchor->trying : anchor->good;
    }
    if (master->pid)
        return request_fail(request, ERR_BUSY, "two masters are running already");
    int error = masters_start(anchor, master, image);
    if (error)
        return request_fail(request, error,
                            error == ERR_NOT_FOUND ? "no image is held under this name" : NULL);
    request_answer_u32(request, (uint32_t)master->pid);
    return 0;
}

static int request_command(struct request *request)
{
    struct anchor *anchor = request->anchor;
    struct master *next = masters_find(anchor, (pid_t)wire_get_u32(request->payload));
    if (!next)
        return request_fail(request, ERR_NOT_FOUND, "no master has this pid");
    if (next == request->from)
        return request_fail(request, ERR_INVALID, "this master is in command already");
    if (!next->greeted || next->doomed)
        return request_fail(request, ERR_REFUSED, "that master has not said HELLO, or is being killed");
    anchor->command = (unsigned)(next - anchor->masters);
    anchor->epoch++;
    anchor->deaths.told = 0;
    anchor->signals.told = 0;
    next->tell_command = 1;
    request_answer_u64(request, anchor->epoch);
    return 0;
}

static int request_image(struct request *request)
{
    struct anchor *anchor = request->anchor;
    uint8_t op = request->payload[0];
    int error = request_take_name(request, 1);
    if (error)
        return error;
    if (op != WIRE_IMAGE_TRY && op != WIRE_IMAGE_GOOD)
        return request_fail(request, ERR_INVALID, "an image can be tried or be good");
    if (!names_find(&anchor->names, request->name))
        return request_fail(request, ERR_NOT_FOUND, "no image is held under this name");
    memcpy(op == WIRE_IMAGE_GOOD ? anchor->good : anchor->trying, request->name, sizeof request->name);
    if (op == WIRE_IMAGE_GOOD)
        anchor->trying[0] = 0;
    return 0;
}

static int request_notify(struct request *request)
{
    int error = anchor_notify(request->anchor, (const char *)request->payload, request->length);
    if (error == ERR_CLOSED) /* to a master this would mean that the anchor is gone */
        error = ERR_REFUSED;
    return error ? request_fail(request, error, "the service manager's socket did not take it") : 0;
}

static int request_ack(struct request *request)
{
    struct anchor *anchor = request->anchor;
    uint64_t seq = wire_get_u64(request->payload);
    int error = deaths_acknowledge(&anchor->deaths, seq);
    if (error)
        error = signals_acknowledge(&anchor->signals, seq);
    return error ? request_fail(request, error, "no status or signal with this number is open") : 0;
}

static int request_exit(struct request *request)
{
    uint32_t code = wire_get_u32(request->payload);
    if (code > 255)
        return request_fail(request, ERR_INVALID, "an exit code is 0 to 255");
    request->anchor->leaving = 1;
    request->anchor->exit_code = (int)code;
    return 0;
}

static int request_pong(struct request *request)
{
    if (wire_get_u64(request->payload) == request->from->ping)
        request->from->ping_open = 0;
    return 0;
}

static int request_log(struct request *request)
{
    if (dup3(request->fd, STDERR_FILENO, 0) < 0)
        return request_fail(request, err_from_errno(errno), "the log could not be put in place");
    return 0;
}

enum { ANYBODY = 0, IN_COMMAND = 1, BEFORE_HELLO = 2, WITH_FD = 4, NO_ANSWER = 8 };

struct request_kind {
    request_fn handle;
    uint32_t shortest, longest; /* of the payload */
    unsigned rules;
};

static const struct request_kind request_kinds[] = {
    [WIRE_HELLO] = {request_hello, WIRE_HELLO_SIZE, WIRE_HELLO_SIZE, BEFORE_HELLO},
    [WIRE_PUT] = {request_put, 1, WIRE_NAME_MAX, WITH_FD},
    [WIRE_GET] = {request_get, 1, WIRE_NAME_MAX, ANYBODY},
    [WIRE_DEL] = {request_del, 1, WIRE_NAME_MAX, ANYBODY},
    [WIRE_LIST] = {request_list, 4, 4 + WIRE_NAME_MAX, ANYBODY},
    [WIRE_START] = {request_start, 0, WIRE_NAME_MAX, IN_COMMAND},
    [WIRE_COMMAND] = {request_command, 4, 4, IN_COMMAND},
    [WIRE_IMAGE] = {request_image, 2, 1 + WIRE_NAME_MAX, IN_COMMAND},
    [WIRE_NOTIFY] = {request_notify, 1, WIRE_PAYLOAD_MAX, IN_COMMAND},
    [WIRE_ACK] = {request_ack, 8, 8, IN_COMMAND},
    [WIRE_EXIT] = {request_exit, 4, 4, IN_COMMAND},
    [WIRE_PONG] = {request_pong, 8, 8, NO_ANSWER},
    [WIRE_LOG] = {request_log, 0, 0, IN_COMMAND | WITH_FD},
};

/* The rules that hold for every request, then its own function. */
static int request_run(struct request *request, const struct request_kind *kind, int fd_lost)
{
    if (!kind || !kind->handle)
        return request_fail(request, ERR_UNSUPPORTED, "this anchor does not know the request");
    if (!(kind->rules & BEFORE_HELLO) && !request->from->greeted)
        return request_fail(request, ERR_PROTOCOL, "HELLO comes first");
    if (request->length < kind->shortest || request->length > kind->longest)
        return request_fail(request, ERR_SYNTAX, "the payload is too short or too long for its request");
    if ((kind->rules & IN_COMMAND) && !request_in_command(request))
        return request_fail(request, ERR_PERMISSION, "only the master in command may ask for this");
    if (fd_lost)
        return request_fail(request, ERR_NO_DESCRIPTORS, "the anchor could not take the descriptor");
    if ((request->fd >= 0) != ((kind->rules & WITH_FD) != 0))
        return request_fail(request, ERR_PROTOCOL, "a descriptor is missing, or there is one too many");
    return kind->handle(request);
}

static int request_answer_error(const struct request *request, uint64_t serial, int error)
{
    uint8_t payload[256];
    const char *why = request->why ? request->why : err_text(error);
    size_t length = strlen(why);
    if (length > sizeof payload - 4)
        length = sizeof payload - 4;
    wire_put_u32(payload, (uint32_t)error);
    memcpy(payload + 4, why, length);
    return masters_send(request->from, WIRE_ERROR, serial, payload, (uint32_t)(4 + length), -1);
}

int requests_handle(struct anchor *anchor, struct master *from, const uint8_t *bytes, struct packet *packet)
{
    static struct request request;
    struct wire_header header;
    if (!wire_header_get(bytes, packet->length, &header)) {
        fd_close(&packet->fd);
        return ERR_PROTOCOL;
    }
    request.anchor = anchor;
    request.from = from;
    request.payload = bytes + WIRE_HEADER_SIZE;
    request.length = header.length;
    request.fd = packet->fd;
    request.answer_length = 0;
    request.answer_fd = -1;
    request.why = NULL;
    packet->fd = -1;

    const struct request_kind *kind = NULL;
    if (header.type < sizeof request_kinds / sizeof request_kinds[0])
        kind = &request_kinds[header.type];
    int error = request_run(&request, kind, packet->fd_lost);
    fd_close(&request.fd);
    if (!error && kind && (kind->rules & NO_ANSWER))
        return 0;
    int sent = 0;
    if (!error)
        sent = masters_send(from, WIRE_OK, header.serial, request.answer, request.answer_length,
                            request.answer_fd);
    if (!error && sent == ERR_NO_DESCRIPTORS) {
        error = sent; /* too many in flight: the kernel refuses one more descriptor, not one more message */
        sent = 0;
    }
    if (error)
        sent = request_answer_error(&request, header.serial, error);
    if (sent && sent != ERR_CLOSED)
        log_event(LOG_WARN, LOG_EV_PROTOCOL_ERROR,
                  "master=%d type=%u error=%s reason=\"an answer could not be sent\"", (int)from->pid,
                  header.type, err_name(sent));
    return 0;
}
