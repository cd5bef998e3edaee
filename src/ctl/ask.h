/* Asking a running server over its control socket (docs/control.md). Private to src/ctl. */
#ifndef HOLDFAST_CTL_ASK_H
#define HOLDFAST_CTL_ASK_H

#include "base/err.h"

#include <jansson.h>
#include <stdint.h>
#include <sys/un.h>

struct ask_options {
    char control[sizeof(((struct sockaddr_un *)0)->sun_path)];
    int json, now;
    uint64_t timeout_ms; /* 0: as long as it takes */
};

/* Reads what follows the command's name. 0, or COMMAND_EXIT_USAGE, and it is said. */
WARN_UNUSED int ask_read_options(int count, char **arguments, struct ask_options *options, const char *usage);
/* The answer, a new reference; or NULL with *exit_code set and the reason printed. A master that dies under the
 * question is followed by one that is asked again. */
json_t *ask(const struct ask_options *options, const char *command, int *exit_code);
/* Its result, borrowed; NULL if the server refused, which is printed. */
json_t *ask_result(json_t *answer);

json_int_t ask_number(json_t *object, const char *name);
/* Borrowed; "" where there is none. */
const char *ask_text(json_t *object, const char *name);
/* One line on standard output. Returns an exit code. */
int ask_print(json_t *object);
/* Of all workers of a status. */
uint64_t ask_connections(json_t *status);

#endif
