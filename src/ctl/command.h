/* Commands to a running server, over its control socket. Each takes main's count and arguments and returns the exit
 * code of core/control_wire.h: 0 done, 1 refused or failed, 2 wrong usage, 3 no server there. */
#ifndef HOLDFAST_CTL_COMMAND_H
#define HOLDFAST_CTL_COMMAND_H

#include "core/control_wire.h"

#define COMMAND_EXIT_FAILED CONTROL_EXIT_REFUSED
#define COMMAND_EXIT_USAGE CONTROL_EXIT_USAGE

/* Prints what is wrong and the usage; returns COMMAND_EXIT_USAGE. */
int command_usage_error(const char *what, const char *usage);
int ctl_status(int count, char **arguments);
int ctl_stop(int count, char **arguments);
int ctl_drain(int count, char **arguments);
int ctl_resume(int count, char **arguments);
int ctl_connections(int count, char **arguments);

#define CTL_STATUS_USAGE "holdfast status [--json] [--timeout DURATION] [--control PATH]"
#define CTL_STOP_USAGE "holdfast stop [--now] [--json] [--timeout DURATION] [--control PATH]"
#define CTL_DRAIN_USAGE "holdfast drain [--json] [--timeout DURATION] [--control PATH]"
#define CTL_CONNECTIONS_USAGE "holdfast connections [--json] [--timeout DURATION] [--control PATH]"
#define CTL_RESUME_USAGE "holdfast resume [--json] [--timeout DURATION] [--control PATH]"

/* Where the control socket lies when --control is not given; set by main. */
extern void (*ctl_default_control)(char *out);

#endif
