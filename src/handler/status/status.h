/* What the server says of itself, where a route asks for it: `status` (JSON, or a page for a browser), `metrics`
 * (Prometheus), `ready` (for whoever spreads the load). Any worker answers for all of them, from the board. */
#ifndef HOLDFAST_HANDLER_STATUS_STATUS_H
#define HOLDFAST_HANDLER_STATUS_STATUS_H

#include "http/exchange.h"

extern const struct handler status_handler;
extern const struct handler metrics_handler;
extern const struct handler ready_handler;

/* The metrics as text (Prometheus, text format 0.0.4), for a board, the shared memory (or NULL) and a time
 * (CLOCK_MONOTONIC). */
void metrics_write(const struct board *board, const void *shared, uint64_t now_ns, struct text *out);
/* The page that shows a status, which is what status_text gives; refreshes itself. */
void page_write(const struct board *board, const struct core_settings *settings, const void *shared,
                uint64_t now_ns, struct text *out);
/* 1 if the Accept fields would rather have HTML than JSON (RFC 9110 section 12.5.1). */
int prefers_page(const struct h1_head *request);

#endif
