/* The status as a page: one table of workers, one of listeners, no script, nothing from elsewhere. */
#include "handler/status/status.h"

#include "base/clock.h"
#include "core/board.h"
#include "http/counters.h"
#include "http/escape.h"
#include "upstream/status.h"

static const char head[] =
    "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta http-equiv=\"refresh\" "
    "content=\"2\">"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>Holdfast</title><style>"
    ":root{color-scheme:light dark;--ink:#14312f;--soft:#5b7774;--line:#d5e2df;--bed:#f4f8f7;--card:#fff;"
    "--kelp:#1d7a6b;--glow:#d3efe8;--warn:#b4541a}"
    "@media(prefers-color-scheme:dark){:root{--ink:#e2efec;--soft:#93aeaa;--line:#274340;--bed:#0d1d1b;--"
    "card:#142a27;"
    "--kelp:#54c7b2;--glow:#16403a;--warn:#f0a26b}}"
    "body{margin:0;background:var(--bed);color:var(--ink);font:15px/1.5 system-ui,sans-serif}"
    "main{max-width:64rem;margin:0 auto;padding:2rem 1.25rem}h1{font-size:1.5rem;margin:0}"
    "p{color:var(--soft);margin:.2rem 0 1.6rem}h2{font-size:1rem;margin:2rem 0 "
    ".6rem;color:var(--soft);font-weight:600}"
    ".tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:.8rem}"
    ".tile{background:var(--card);border:1px solid var(--line);border-radius:.7rem;padding:.8rem 1rem}"
    ".tile b{display:block;font-size:1.6rem;font-weight:650;font-variant-numeric:tabular-nums}"
    ".tile span{color:var(--soft);font-size:.85rem}"
    ".wide{overflow-x:auto;background:var(--card);border:1px solid var(--line);border-radius:.7rem}"
    "table{border-collapse:collapse;width:100%}th,td{text-align:right;padding:.5rem .9rem;white-space:nowrap;"
    "font-variant-numeric:tabular-nums}th{color:var(--soft);font-weight:600;font-size:.85rem}"
    "tr+tr td{border-top:1px solid var(--line)}.left{text-align:left}"
    ".state{background:var(--glow);color:var(--kelp);border-radius:1rem;padding:.1rem .6rem;font-size:.85rem}"
    ".off{background:none;border:1px solid var(--warn);color:var(--warn)}"
    "</style></head><body><main>\n";

static void add_tile(struct text *out, const char *name, uint64_t value)
{
    text_add_f(out, "<div class=\"tile\"><b>%llu</b><span>%s</span></div>\n", (unsigned long long)value,
               name);
}

static void add_uptime(struct text *out, uint64_t seconds)
{
    if (seconds >= 86400)
        text_add_f(out, "%llu d ", (unsigned long long)(seconds / 86400));
    if (seconds >= 3600)
        text_add_f(out, "%llu h ", (unsigned long long)(seconds / 3600 % 24));
    if (seconds >= 60)
        text_add_f(out, "%llu min ", (unsigned long long)(seconds / 60 % 60));
    text_add_f(out, "%llu s", (unsigned long long)(seconds % 60));
}

static void add_tiles(struct text *out, const struct board *board)
{
    struct board_totals totals;
    uint64_t connections = 0;

    board_sum(board, &totals);
    for (unsigned place = 0; place < BOARD_SLOTS; place++)
        connections += board_used_page(board, place) ? board_used_page(board, place)->connections : 0;
    text_add_c(out, "<div class=\"tiles\">\n");
    add_tile(out, "open connections", connections);
    add_tile(out, "requests", totals.requests);
    add_tile(out, "errors of ours (5xx)", totals.counters[HTTP_RESPONSES_5XX]);
    add_tile(out, "worker deaths", totals.deaths);
    add_tile(out, "revivals", totals.revivals);
    text_add_c(out, "</div>\n");
}

static void add_worker(struct text *out, const struct arena_page *page)
{
    static const char *const names[] = {"new", "starting", "ready", "draining", "left", "backoff", "failed"};
    const uint32_t state = page->state;

    text_add_f(out,
               "<tr><td class=\"left\">%u.%u</td><td class=\"left\"><span class=\"state%s\">%s</span></td>",
               page->generation, page->slot, state == ARENA_STATE_READY ? "" : " off",
               state < sizeof names / sizeof *names ? names[state] : "unknown");
    text_add_f(out, "<td>%d</td><td>%d</td><td>%llu</td><td>%llu</td><td>%u</td><td>%u</td></tr>\n",
               (int)page->worker_pid, (int)page->keeper_pid, (unsigned long long)page->connections,
               (unsigned long long)page->requests, page->deaths, page->revivals);
}

static void add_workers(struct text *out, const struct board *board)
{
    text_add_c(
        out, "<h2>Workers</h2><div class=\"wide\"><table><tr><th class=\"left\">slot</th><th class=\"left\">"
             "state</th><th>pid</th><th>keeper</th><th>connections</th><th>requests</th><th>deaths</th>"
             "<th>revivals</th></tr>\n");
    for (unsigned place = 0; place < BOARD_SLOTS; place++) {
        const struct arena_page *page = board_used_page(board, place);

        if (page && page->keeper_pid)
            add_worker(out, page);
    }
    text_add_c(out, "</table></div>\n");
}

static void add_listeners(struct text *out, const struct board *board, const struct core_settings *settings)
{
    text_add_c(out, "<h2>Listeners</h2><div class=\"wide\"><table><tr><th class=\"left\">address</th>"
                    "<th>accepted</th></tr>\n");
    for (size_t l = 0; l < settings->listener_count; l++) {
        uint64_t accepted = 0;

        for (unsigned place = 0; place < BOARD_SLOTS; place++)
            if (board_used_page(board, place))
                accepted += board_used_page(board, place)->accepted_by_listener[l];
        text_add_c(out, "<tr><td class=\"left\">");
        escape_add_html(out, slice_of(settings->listeners[l].text));
        text_add_f(out, "</td><td>%llu</td></tr>\n", (unsigned long long)accepted);
    }
    text_add_c(out, "</table></div>\n");
}

/* --- upstream servers --- */

static void add_cell(struct text *out, const char *text)
{
    text_add_c(out, "<td class=\"left\">");
    escape_add_html(out, slice_of(text));
    text_add_c(out, "</td>");
}

static void add_server(void *context, const struct upstream_shown *shown)
{
    struct text *out = context;

    text_add_c(out, "<tr>");
    add_cell(out, shown->pool);
    add_cell(out, shown->server);
    add_cell(out, shown->address);
    text_add_f(out, "<td class=\"left\"><span class=\"state%s\">%s</span></td>",
               *shown->state == 'u' ? "" : " off", shown->state);
    text_add_f(out, "<td>%u</td><td>%llu</td><td>%llu</td><td>%llu</td></tr>\n", shown->active,
               (unsigned long long)shown->requests, (unsigned long long)shown->failures,
               (unsigned long long)shown->ejections);
}

static void count_server(void *context, const struct upstream_shown *shown)
{
    (void)shown;
    (*(unsigned *)context)++;
}

static void add_servers(struct text *out, const struct board *board, const void *shared, uint64_t now_ns)
{
    unsigned count = 0;

    upstream_show_all(shared, board, now_ns, count_server, &count);
    if (!count)
        return;
    text_add_c(out,
               "<h2>Upstream servers</h2><div class=\"wide\"><table><tr><th class=\"left\">pool</th>"
               "<th class=\"left\">server</th><th class=\"left\">address</th><th class=\"left\">state</th>"
               "<th>active</th><th>requests</th><th>failures</th><th>ejections</th></tr>\n");
    upstream_show_all(shared, board, now_ns, add_server, out);
    text_add_c(out, "</table></div>\n");
}

void page_write(const struct board *board, const struct core_settings *settings, const void *shared,
                uint64_t now_ns, struct text *out)
{
    text_add_c(out, head);
    text_add_f(out, "<h1>Holdfast %s</h1><p>generation %u, up ", HOLDFAST_VERSION, board->generation);
    add_uptime(out, (now_ns - board->started_ns) / NS_PER_S);
    text_add_f(out, ", anchor %d, master %d</p>\n", (int)board->anchor_pid, (int)board->master_pid);
    add_tiles(out, board);
    add_workers(out, board);
    add_listeners(out, board, settings);
    add_servers(out, board, shared, now_ns);
    text_add_c(out, "</main></body></html>\n");
}
