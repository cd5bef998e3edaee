#include "base/log.h"

#include "base/bytes.h"
#include "base/clock.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#define LINE_LIMIT 1024 /* bytes of a line, its line break included */

static struct {
    int fd;
    enum log_level lowest;
    const char *role; /* borrowed for ever */
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
    if (write(the_log.fd, line, length) < 0) {
        /* A log that cannot be written must not stop the server; there is nobody else to tell. */
    }
    errno = kept;
}
