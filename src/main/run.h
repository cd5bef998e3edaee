/* `holdfast run` and its shorthands: becomes the anchor, with this program as its image. */
#ifndef HOLDFAST_MAIN_RUN_H
#define HOLDFAST_MAIN_RUN_H

#include <stddef.h>

struct run_options {
    const char *config_path; /* or NULL: config_text */
    const char *config_text; /* a configuration made by the command line */
    const char *config_name; /* stands for the file in messages about config_text */
    int daemon;              /* double fork; the first process leaves when the server is ready */
    const char *pid_file;    /* or NULL */
};

/* Returns an exit code only if it fails, or, with `daemon`, in the process that was waiting. */
int run_server(const struct run_options *options);

#endif
