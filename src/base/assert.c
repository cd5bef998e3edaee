#include "base/assert.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Keeps what fits: a signal handler may be the caller, so neither stdio nor malloc. */
static size_t append(char *line, size_t length, size_t capacity, const char *text)
{
    size_t count = strlen(text);

    if (count > capacity - length)
        count = capacity - length;
    memcpy(line + length, text, count);
    return length + count;
}

static size_t append_number(char *line, size_t length, size_t capacity, unsigned number)
{
    char digits[12];
    size_t at = sizeof(digits) - 1;

    digits[at] = '\0';
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    return append(line, length, capacity, digits + at);
}

_Noreturn void assert_failed(const char *expression, const char *file, int line)
{
    char message[512];
    const size_t capacity = sizeof(message) - 1; /* the line break always fits */
    size_t length = append(message, 0, capacity, file);

    length = append(message, length, capacity, ":");
    length = append_number(message, length, capacity, line < 0 ? 0 : (unsigned)line);
    length = append(message, length, capacity, ": this must hold and does not: ");
    length = append(message, length, capacity, expression);
    message[length++] = '\n';
    if (write(STDERR_FILENO, message, length) < 0) {
        /* Nobody listens: the abort still tells the keeper. */
    }
    abort();
}
