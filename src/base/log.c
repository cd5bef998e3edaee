#include "base/log.h"

#include "base/bytes.h"
#include "base/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#define LINE_LIMIT 1024 /* bytes of a line, its line break included */

static struct {
    int fd;
    enum log_level lowest;
    const char *role; /* borrowed for ever */
    uint64_t lost;    /* lines that found no room, since the last that did */
} the_log = {.fd = STDERR_FILENO, .lowest = LOG_INFO, .role = "holdfast"};

void log_init(int fd, const char *role)
{
    the_log.fd = fd;
    the_log.role = role;
}

void log_set_level(enum log_level lowest)
{
    the_log.lowest = lowest;
}

int log_fd(void)
{
    return the_log.fd;
}

const char *log_event_name(enum log_event event)
{
    static const char *const names[] = {
#define LOG_EVENT_NAME(name, text, meaning) [LOG_EV_##name] = #text,
        LOG_EVENT_TABLE(LOG_EVENT_NAME)
#undef LOG_EVENT_NAME
    };

    if ((size_t)event >= sizeof(names) / sizeof(names[0]))
        return "unknown";
    return names[event];
}

static const char *level_name(enum log_level level)
{
    static const char *const names[] = {
        [LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARN] = "warn", [LOG_ERROR] = "error"};

    return (size_t)level < sizeof(names) / sizeof(names[0]) ? names[level] : "error";
}

/* Bytes above 0x7f stay: names may be UTF-8, and no terminal obeys a lone continuation byte. C1 controls in
 * UTF-8 (0xc2 0x80 to 0x9f) some do obey: their second byte is replaced too. */
static void replace_controls(char *line, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)line[i];
        int is_c1 = i > 0 && (unsigned char)line[i - 1] == 0xc2 && c >= 0x80 && c <= 0x9f;
        if (c < 0x20 || c == 0x7f || is_c1)
            line[i] = '?';
    }
}

/* A log that nobody reads must not stop the server. A pipe that can be written to has room for PIPE_BUF bytes, so a line
 * goes in whole or is not tried (pipe(7)). */
static int has_room(void)
{
    struct pollfd wait = {.fd = the_log.fd, .events = POLLOUT};

    return poll(&wait, 1, 0) == 1 && wait.revents & POLLOUT && !(wait.revents & (POLLERR | POLLNVAL));
}

static void write_line(const char *line, size_t length)
{
    if (!has_room() || write(the_log.fd, line, length) != (ssize_t)length)
        the_log.lost++; /* there is nobody to tell before there is room again */
}

static void tell_lost(const char *now)
{
    char line[128];
    uint64_t lost = the_log.lost;

    if (!lost || !has_room())
        return;
    the_log.lost = 0;
    write_line(line, (size_t)snprintf(line, sizeof line, "%s warn %s pid=%d event=%s lines=%llu\n", now,
                                      the_log.role, (int)getpid(), log_event_name(LOG_EV_LOG_LINES_LOST),
                                      (unsigned long long)lost));
}

void log_event(enum log_level level, enum log_event event, const char *format, ...)
{
    char line[LINE_LIMIT + 1];
    char now[CLOCK_ISO_SIZE];
    va_list arguments;
    int kept = errno; /* so that a caller may log first and look at errno afterwards */

    if (level < the_log.lowest)
        return;
    clock_iso(clock_wall_ns(), now);
    struct text text;
    text_init(&text, line, LINE_LIMIT);
    text_add_f(&text, "%s %s %s pid=%d event=%s ", now, level_name(level), the_log.role, (int)getpid(),
               log_event_name(event));
    size_t length = text.length;
    va_start(arguments, format);
    int wanted = vsnprintf(line + length, LINE_LIMIT - length, format, arguments);
    va_end(arguments);
    if (wanted > 0)
        length += (size_t)wanted < LINE_LIMIT - length ? (size_t)wanted : LINE_LIMIT - length - 1;
    if (length > 0 && line[length - 1] == ' ')
        length--; /* an event without values */
    replace_controls(line, length);
    line[length++] = '\n';
    tell_lost(now);
    write_line(line, length);
    errno = kept;
}
