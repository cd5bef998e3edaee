/* The control protocol: a Unix stream socket, one JSON object a line each way (docs/control.md).
 *
 *   request    {"command": "status"}
 *   answers    {"progress": "…"} any number of times, then one of
 *              {"ok": true, "result": {…}}
 *              {"ok": false, "error": "what failed", "next": "what to do"}
 *
 * Only root and the user who started the server are heard (SO_PEERCRED). */
#ifndef HOLDFAST_CORE_CONTROL_WIRE_H
#define HOLDFAST_CORE_CONTROL_WIRE_H

#define CONTROL_REQUEST_MAX 4096  /* bytes of a line, with its line feed */
#define CONTROL_ANSWER_MAX 262144 /* likewise */

/* Exit codes of control commands. */
#define CONTROL_EXIT_DONE 0
#define CONTROL_EXIT_REFUSED 1 /* refused or failed, the old state is intact */
#define CONTROL_EXIT_USAGE 2
#define CONTROL_EXIT_NO_SERVER 3

#endif
