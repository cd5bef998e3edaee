/* The scripted conversations that a sweep runs again and again, each short and named, each in a process of
 * its own so that a failure or a hang of the script never disturbs the tracer. */
#ifndef HOLDFAST_TESTS_CRASH_SCENARIO_H
#define HOLDFAST_TESTS_CRASH_SCENARIO_H

#include "tools/target.h"

#include <stddef.h>
#include <sys/types.h>

#define SCENARIO_REASON_SIZE 256

struct scenario_part {
    const char *name;
    int needs_hooks; /* asks for /_test/ */
    int tcp_only;
    int by_name; /* left out of "all": it takes long, or wants settings of its own */
    void (*run)(const struct target *target);
};

extern const struct scenario_part scenario_parts[];
extern const size_t scenario_part_count;
/* NULL if there is none of that name. */
const struct scenario_part *scenario_find(const char *name);

/* A connection that stays open across all points: it must answer after each, on the same socket. */
struct bystander {
    const struct target *target; /* borrowed */
    int fd;                      /* -1: not open */
};

/* Call once before any scenario starts. `echoes`: what is behind the targets echoes (scenario_tunnel.h), so that bystanders
 * are asked likewise. */
void scenario_init(int echoes);
/* Starts the part in a child process, then asks the bystander (may be NULL) for a document. The child's pid. */
pid_t scenario_start(const struct scenario_part *part, const struct target *target,
                     const struct bystander *bystander);
/* What else happens during a tour. */
struct tour_extras {
    pid_t keeper;               /* its worker is killed in the middle; 0: nobody */
    const char *status_command; /* run by the shell, its result is not looked at; NULL: none */
};

/* Starts, in a child process: requests over every target and every open bystander, a large answer begun
 * before and ended after them. For the sweeps of keeper, master and loader. `extras` may be NULL. */
pid_t scenario_start_tour(const struct target *targets, size_t count, const struct bystander *bystanders,
                          const struct tour_extras *extras);
/* What waitpid said about the child: NULL if it went well, else the reason (valid until the next start). */
const char *scenario_verdict(int status);
/* Opens (again) what is not open and asks once. 0, or -1 with the reason in scenario_verdict's place. */
int bystander_open(struct bystander *bystander);

#endif
