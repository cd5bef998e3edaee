/* The name of a request in logs and across services: X-Request-Id, taken over from whoever stands before us,
 * or made. The field has no specification; what is accepted is what is harmless in a log line, a header and
 * JSON as it is. */
#ifndef HOLDFAST_HTTP_REQUEST_ID_H
#define HOLDFAST_HTTP_REQUEST_ID_H

#include "base/bytes.h"
#include "proto/h1.h"

#include <stdint.h>

#define REQUEST_ID_MAX 128        /* bytes of one that is taken over */
#define REQUEST_ID_MADE_LENGTH 32 /* bytes of one that is made: hex digits */
#define REQUEST_ID_SIZE (REQUEST_ID_MAX + 1)

/* 1 to REQUEST_ID_MAX bytes, each a letter, a digit or one of - . _ ~ : + / = @ */
int request_id_is_acceptable(struct slice id);
/* Writes 128 bits as hex digits and a NUL. */
void request_id_make(uint64_t high, uint64_t low, char out[REQUEST_ID_SIZE]);
/* The request's X-Request-Id if it has exactly one and that is acceptable, else one made of the bits;
 * NUL-terminated. Returns 1 if it was taken over. Whether the peer may name requests at all is the caller's
 * to decide. */
int request_id_choose(const struct h1_head *request, uint64_t high, uint64_t low, char out[REQUEST_ID_SIZE]);

#endif
