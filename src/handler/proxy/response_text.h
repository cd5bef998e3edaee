/* What of a server's head goes to the client, as text. Pure: no worker, no record, no clock. Fields of the server's connection
 * and of its framing stay behind; tests/fuzz/fuzz_proxy_response.c holds that what is made means the same. */
#ifndef HOLDFAST_HANDLER_PROXY_RESPONSE_TEXT_H
#define HOLDFAST_HANDLER_PROXY_RESPONSE_TEXT_H

#include "http/respond_head.h"
#include "proto/h1_response.h"

/* A whole head of status 1xx, but for 101. 0; ERR_NO_SPACE: it does not fit. */
WARN_UNUSED int response_text_interim(const struct h1_response *response, struct text *out);
/* The head of a final response; its lines are added to `lines`, which must live as long as *head. `edit_values` is the caller's
 * to set. 0; ERR_NO_SPACE. */
WARN_UNUSED int response_text_final(const struct h1_response *response, int is_1_0, struct text *lines,
                                    struct exchange_head_of *head);
/* The same of 101 (RFC 9110 section 7.8). Also ERR_INVALID: it says to no other protocol. */
WARN_UNUSED int response_text_upgrade(const struct h1_response *response, struct text *lines,
                                      struct exchange_head_of *head);

#endif
