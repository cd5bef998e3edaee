/* A request's head made from text, for what decides by its fields. */
#ifndef HOLDFAST_TESTS_UNIT_HTTP_REQUEST_HEAD_H
#define HOLDFAST_TESTS_UNIT_HTTP_REQUEST_HEAD_H

#include "proto/h1.h"

/* `fields`: lines, each ending in CRLF. Fails the test if the head is refused. Valid until the next call. */
const struct h1_head *request_head(const char *method, const char *fields);

#endif
