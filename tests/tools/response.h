/* Reads the head of an HTTP/1.1 response, strictly: what a load accepts must be right, not merely usable.
 * RFC 9112 sections 4 and 5. Only responses framed by Content-Length are known here. */
#ifndef HOLDFAST_TESTS_TOOLS_RESPONSE_H
#define HOLDFAST_TESTS_TOOLS_RESPONSE_H

#include <stddef.h>
#include <stdint.h>

#define RESPONSE_HEAD_MAX 2048

struct response {
    int status;
    int has_length;
    int closes; /* "Connection: close" stood there */
    uint64_t content_length;
    size_t head_length;
    char head[RESPONSE_HEAD_MAX];
};

enum response_verdict { RESPONSE_MORE, RESPONSE_COMPLETE, RESPONSE_BAD };

void response_start(struct response *response);
/* Takes bytes up to the end of the head; *used gets how many, what follows is body. On RESPONSE_BAD *reason
 * gets a literal. A head without Content-Length is bad: every answer the loads ask for has one. */
enum response_verdict response_feed(struct response *response, const char *bytes, size_t length, size_t *used,
                                    const char **reason);

#endif
