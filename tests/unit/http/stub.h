/* A handler for tests, by the request's path:
 *
 *   /echo/…    200, the path
 *   /big       200, EXCHANGE_BODY_MAX bytes 'b'
 *   /file      200, STUB_FILE_SIZE bytes of stub_pattern from a file
 *   /hash      takes the body; 200 "LENGTH HASH" of it
 *   /early     answers while the body is being read: 200 "early" at its first run of bytes
 *   /wait      waits in HANDLE, also after a body; 200 "waited" by stub_finish
 *   /crash     crashes in begin, /crash-body in body, /crash-end in end: as long as stub_crashes is set, control goes
 *              back to stub_crash, as if the process had died there */
#ifndef HOLDFAST_TESTS_UNIT_HTTP_STUB_H
#define HOLDFAST_TESTS_UNIT_HTTP_STUB_H

#include "http/exchange.h"
#include "talk.h"

#include <setjmp.h>

#define STUB_FILE_SIZE 3000017u

extern const struct handler stub_handler;
extern jmp_buf stub_crash;
extern int stub_crashes;
extern unsigned stub_begun, stub_ended, stub_resumed;

/* The client of the test, and cmocka's set-up for it: on a Unix socket, or on TCP. */
extern struct talk talk;
int stub_setup(void **state);
int stub_setup_tcp(void **state);
int stub_teardown(void **state);

/* Forgets counts, and makes the file anew: its descriptor lies out of the way. */
void stub_reset(void);
void stub_close(void);
char stub_pattern(uint64_t offset);
/* The line that /hash answers for these bytes. */
void stub_hash_line(const char *bytes, size_t length, char out[64]);
/* The work that /wait waits for is done. 0 if nobody waits any more. */
int stub_finish(void);

#endif
