/* Puts a request head through the codec in every way it can arrive. */
#ifndef HOLDFAST_TESTS_UNIT_PROTO_HEAD_DRIVER_H
#define HOLDFAST_TESTS_UNIT_PROTO_HEAD_DRIVER_H

#include "proto/h1.h"

#define HEAD_LIMIT 65536

/* Looks for the end and parses. Asserts that it makes no difference where the bytes are split, that no head
 * that is cut short is accepted, and that not one byte behind the end is read. Returns what the codec
 * answered: 0, or an error and the refusal. Slices in *head are valid until the next call. */
int head_drive(struct slice bytes, struct h1_head *head, enum h1_refusal *refusal);

#endif
