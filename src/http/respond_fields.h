/* The changes that a route's `header` statements make to a response's header; and `request_header` to that of a request that
 * is sent on (handler/proxy/request_text.c). */
#ifndef HOLDFAST_HTTP_RESPOND_FIELDS_H
#define HOLDFAST_HTTP_RESPOND_FIELDS_H

#include "http/routes.h"

/* `lines`: header lines, each ending in CRLF. Takes the changes in their order. 0, or ERR_LIMIT when the lines do not fit;
 * what `lines` holds then is not to be used. */
WARN_UNUSED int respond_change_fields(struct text *lines, const struct route_header *first,
                                      const struct route_context *context);

/* The same with values that respond_save_values has written for the same changes. Also ERR_INVALID: they are not. */
WARN_UNUSED int respond_change_fields_saved(struct text *lines, const struct route_header *first,
                                            struct slice values);
/* Adds the values of all changes that depend on the request. 0 or ERR_NO_SPACE. */
WARN_UNUSED int respond_save_values(const struct route_header *first, const struct route_context *context,
                                    struct text *values);

#endif
