/* The changes that a route's `header` statements make to a response's header. */
#ifndef HOLDFAST_HTTP_RESPOND_FIELDS_H
#define HOLDFAST_HTTP_RESPOND_FIELDS_H

#include "http/routes.h"

/* `lines`: header lines, each ending in CRLF. Takes the changes in their order. 0, or ERR_LIMIT when the lines do not fit;
 * what `lines` holds then is not to be used. */
WARN_UNUSED int respond_change_fields(struct text *lines, const struct route_header *first,
                                      const struct route_context *context);

#endif
