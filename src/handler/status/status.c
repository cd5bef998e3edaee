#include "handler/status/status.h"

#include "core/status.h"

#include <stdlib.h>

#define TEXT_SIZE                                                                                            \
    4194304u /* of metrics with all workers and servers that there can be; touched as far as it is used */
#define NO_STORE SLICE_LITERAL("Cache-Control: no-store\r\nVary: Accept\r\n")

/* 1 if the request was answered: it asks for something else than to look. */
static int refuses_method(struct exchange *exchange)
{
    const enum h1_method method = exchange->request->method;

    if (method == H1_GET || method == H1_HEAD)
        return 0;
    exchange_respond(exchange, method == H1_OPTIONS ? 204 : 405, (struct slice){"", 0},
                     SLICE_LITERAL("Allow: GET, HEAD, OPTIONS\r\n"), (struct slice){"", 0});
    return 1;
}

static const struct board *board_of(struct exchange *exchange)
{
    if (!exchange->worker->board)
        exchange_respond_error(exchange, 503, SLICE_LITERAL("no_board"));
    return exchange->worker->board;
}

/* --- status --- */

static struct slice without_blanks(struct slice text)
{
    while (text.length && text.at[0] == ' ')
        text = (struct slice){text.at + 1, text.length - 1};
    while (text.length && text.at[text.length - 1] == ' ')
        text.length--;
    return text;
}

/* Of one element of Accept, "text/html;q=0.8": its weight in thousandths if it is about that type, or -1. */
static int weight_of(struct slice element, struct slice type)
{
    size_t end = 0;
    int weight = 1000;

    while (end < element.length && element.at[end] != ';')
        end++;
    if (!slice_equals_nocase(without_blanks((struct slice){element.at, end}), type))
        return -1;
    for (size_t at = end; at + 2 < element.length; at++) {
        if ((element.at[at] != 'q' && element.at[at] != 'Q') || element.at[at + 1] != '=')
            continue;
        weight = element.at[at + 2] == '1' ? 1000 : 0;
        for (size_t digit = at + 4, unit = 100; digit < element.length && unit; digit++, unit /= 10)
            if (element.at[digit] >= '0' && element.at[digit] <= '9')
                weight += (int)unit * (element.at[digit] - '0');
        return weight > 1000 ? 1000 : weight;
    }
    return weight;
}

static int best_weight(const struct h1_head *request, struct slice type)
{
    int best = -1;

    for (uint32_t i = 0; i < request->field_count; i++) {
        struct slice rest = request->fields[i].value, element;

        if (!slice_equals_nocase(request->fields[i].name, SLICE_LITERAL("Accept")))
            continue;
        while (h1_list_next(&rest, &element)) {
            int weight = weight_of(element, type);

            best = weight > best ? weight : best;
        }
    }
    return best;
}

int prefers_page(const struct h1_head *request)
{
    const int html = best_weight(request, SLICE_LITERAL("text/html"));

    return html > 0 && html >= best_weight(request, SLICE_LITERAL("application/json"));
}

static void status_begin(struct exchange *exchange)
{
    const struct board *board = refuses_method(exchange) ? NULL : board_of(exchange);
    static char memory[TEXT_SIZE];
    struct text text;
    char *json;

    if (!board)
        return;
    text_init(&text, memory, sizeof memory);
    if (prefers_page(exchange->request)) {
        page_write(board, exchange->worker->settings, exchange->worker->shared, clock_monotonic_ns(), &text);
        exchange_respond_large(exchange, 200, SLICE_LITERAL("text/html; charset=utf-8"), NO_STORE,
                               (struct slice){text.at, text.length});
        return;
    }
    json = status_text(&(struct status_source){board, exchange->worker->settings, exchange->worker->service,
                                               exchange->worker->shared});
    if (!json) {
        exchange_respond_error(exchange, 503, SLICE_LITERAL("no_memory"));
        return;
    }
    text_add_c(&text, json);
    text_add_c(&text, "\n");
    free(json);
    exchange_respond_large(exchange, 200, SLICE_LITERAL("application/json"), NO_STORE,
                           (struct slice){text.at, text.length});
}

/* --- metrics --- */

static void metrics_begin(struct exchange *exchange)
{
    const struct board *board = refuses_method(exchange) ? NULL : board_of(exchange);
    static char memory[TEXT_SIZE];
    struct text text;

    if (!board)
        return;
    text_init(&text, memory, sizeof memory);
    metrics_write(board, exchange->worker->shared, clock_monotonic_ns(), &text);
    exchange_respond_large(exchange, 200, SLICE_LITERAL("text/plain; version=0.0.4; charset=utf-8"),
                           SLICE_LITERAL("Cache-Control: no-store\r\n"),
                           (struct slice){text.at, text.length});
}

/* --- ready --- */

/* Denied from the first moment of a drain or stop: whoever spreads the load sends others elsewhere, while all that come
 * are still answered. */
static void ready_begin(struct exchange *exchange)
{
    const struct arena_page *page = exchange->worker->arena.page;

    if (refuses_method(exchange))
        return;
    if (page->is_withdrawn || page->order != ARENA_ORDER_RUN)
        exchange_respond_error(exchange, 503, SLICE_LITERAL("draining"));
    else
        exchange_respond(exchange, 200, SLICE_LITERAL("text/plain; charset=utf-8"),
                         SLICE_LITERAL("Cache-Control: no-store\r\n"), SLICE_LITERAL("ready\n"));
}

/* They take no body: a request that has one is answered at once, and its connection ends. */
const struct handler status_handler = {.name = "status", .begin = status_begin};
const struct handler metrics_handler = {.name = "metrics", .begin = metrics_begin};
const struct handler ready_handler = {.name = "ready", .begin = ready_begin};
