/* Puts the head of a response through the codec in every way it can arrive. */
#ifndef HOLDFAST_TESTS_UNIT_PROTO_RESPONSE_DRIVER_H
#define HOLDFAST_TESTS_UNIT_PROTO_RESPONSE_DRIVER_H

#include "proto/h1_response.h"

#define RESPONSE_LIMIT 4096

/* As head_drive() of head_driver.h: slices in *response are valid until the next call. */
int response_drive(struct slice bytes, int is_head_request, struct h1_response *response,
                   enum h1_refusal *refusal);

#endif
