/* `holdfast explain URL`: which site, route and answer a request gets under a configuration, and why no earlier route
 * took it. Works from the configuration alone; no server is needed. */
#ifndef HOLDFAST_MAIN_EXPLAIN_H
#define HOLDFAST_MAIN_EXPLAIN_H

#define EXPLAIN_USAGE                                                                                        \
    "holdfast explain URL [-c FILE] [--method METHOD] [--header 'NAME: VALUE']... [--client ADDRESS] "       \
    "[--listener ADDRESS] [--json]"

/* The command; `default_config` is read without -c. Returns its exit code: 0 when something answers. */
int command_explain(int count, char **arguments, const char *default_config);

#endif
