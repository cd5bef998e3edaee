/* The lines of access logs. Text in, text out; no clock, no memory of its own.
 *
 * combined, the format that every log reader knows, with five more words behind it:
 *
 *   127.0.0.1 - - [24/Nov/2026:13:45:12 +0000] "GET /a?b HTTP/1.1" 200 512 "REFERER" "USER-AGENT" ID MS RECEIVED END REASON
 *
 *   MS        milliseconds, with three places, from the end of the request's header to the end of the response
 *   RECEIVED  bytes of the request's body
 *   END       how it ended (LOG_END_TABLE)
 *   REASON    why it was an error of ours, a word; or "-"
 *
 * What a request does not have is "-". In quoted texts, quotes, backslashes, control bytes and bytes above 0x7e are
 * written \xHH, so that no request can forge a line.
 *
 * json: one object a line, always with the same members in the same order; what is not there is null:
 *
 *   {"time":"2026-11-24T13:45:12.123Z","id":…,"client":…,"host":…,"method":…,"target":…,"version":"1.1","referer":…,
 *    "user_agent":…,"trace":…,"status":200,"bytes":512,"received":0,"ms":0.123,"end":"complete","reason":null}
 *
 * A line is made in two steps, since the end of a request may come when its head is long forgotten: `log_line_begin` makes
 * the two texts that do not depend on the end, `log_line_end` the line. */
#ifndef HOLDFAST_HTTP_LOG_LINE_H
#define HOLDFAST_HTTP_LOG_LINE_H

#include "base/bytes.h"
#include "http/routes.h"

#include <stdint.h>

#define LOG_LINE_MAX 12288u
#define LOG_FIELD_MAX 1024u      /* bytes, as sent, that are shown of what a client says */
#define LOG_FIELD_SHORT_MAX 128u /* the same, where so many have to be escaped that the line gets too long */

#define LOG_END_TABLE(X)                                                                                     \
    X(COMPLETE, complete, "the response was given to the kernel, whole")                                     \
    X(CLIENT_CLOSED, client_closed, "the client sent its FIN before its request was whole")                  \
    X(CLIENT_RESET, client_reset, "the connection was reset, or failed")                                     \
    X(TIMEOUT, timeout, "the client took nothing of the response for too long")                              \
    X(TUNNEL_IDLE, tunnel_idle, "no byte passed in an upgraded connection for too long")                     \
    X(FILE_FAILED, file_failed, "the file could not be read to its end")                                     \
    X(CRASHED, crashed, "the request crashed a worker after its response had begun")                         \
    X(UPSTREAM_FAILED, upstream_failed, "the upstream server broke off its response")                        \
    X(STOPPED, stopped, "the server stopped, and the time for its drain was over")                           \
    X(DRAINED, drained, "the same, and both sides of a WebSocket were told so between two frames")

enum log_end {
#define LOG_END_ENUM(name, text, meaning) LOG_END_##name,
    LOG_END_TABLE(LOG_END_ENUM)
#undef LOG_END_ENUM
        LOG_ENDS
};
const char *log_end_name(enum log_end end);

/* What is known of a request when its head is complete; empty slices for what it does not have. */
struct log_request {
    uint64_t wall_ms; /* since 1970 */
    struct slice client, host, method, target, referer, user_agent, id, trace;
    int version_minor; /* -1: there was no request line */
};

struct log_result {
    int status; /* 0: nothing was answered */
    uint64_t bytes, received, duration_ns;
    enum log_end end;
    struct slice reason; /* empty: none */
};

/* What stands before and behind status and bytes. */
void log_line_begin(enum route_log_format format, const struct log_request *request, struct text *before,
                    struct text *behind);
/* The whole line, with its line break. */
void log_line_end(enum route_log_format format, struct slice before, struct slice behind, struct slice id,
                  const struct log_result *result, struct text *line);

#endif
