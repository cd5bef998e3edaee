/* Media types that a client would like (RFC 9110 section 12.5.1). */
#ifndef HOLDFAST_HTTP_ACCEPT_H
#define HOLDFAST_HTTP_ACCEPT_H

#include "base/bytes.h"
#include "proto/h1.h"

/* The weight that all Accept fields of the request give to a media type ("text/html", lower case), in thousandths: that of
 * the most specific range that fits; 1000 without the field; what is malformed does not count. */
int accept_weight(const struct h1_head *request, struct slice type);
/* 1 if `other` is wanted more than `usual`. */
int accept_prefers(const struct h1_head *request, struct slice other, struct slice usual);

#endif
