/* The role "loader": a short-lived process that reads the configuration with the rights of who started the
 * server, judges it, and hands over a sealed snapshot (conf/tree.h) with all that later processes may not or
 * should not look up themselves.
 *
 * Every mistake goes to standard error at once, in the form of conf/diagnostic.h, then one line with their
 * number. The results are exit codes: 0, or 1. */
#ifndef HOLDFAST_MAIN_LOADER_H
#define HOLDFAST_MAIN_LOADER_H

#include "base/bytes.h"
#include "core/settings.h"
#include "http/config.h"

/* Loads a file and sends the snapshot over `result_fd`, a connected SOCK_SEQPACKET Unix socket: one
 * core_snapshot_message with the descriptor (core/settings.h). Nothing is sent if something is wrong. */
int loader_run(const char *config_path, int result_fd);
/* The same with a configuration that the command line made; its paths start from the current folder. `name`
 * stands for the file in messages. */
int loader_run_text(const char *name, struct slice text, int result_fd);
/* Judges a file and says "FILE: ok" on standard output, for `holdfast check`; with `json` an object instead, also of
 * what is wrong. Starts nothing. */
int loader_check(const char *config_path, int json);

/* Judges a file, for commands that look at it without a server; what is wrong goes to standard error. 0 and both filled
 * (settings_fini_http is the caller's), or an error. */
WARN_UNUSED int loader_read(const char *config_path, struct core_settings *core, struct http_config *http);

#endif
