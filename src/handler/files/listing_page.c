/* How the list of a folder looks: a page without scripts, whose columns are links to other orders; and JSON. */
#include "handler/files/listing.h"

#include "http/escape.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROW_SIZE 8192u   /* holds every row: a name has 255 bytes at most */
#define HEAD_SIZE 40960u /* holds everything before the rows: a path of 4096 bytes, escaped */
#define TAIL_SIZE 512u
#define TRAIL_MAX 32u /* folders in a path that are links */

struct page {
    char *at; /* owned */
    size_t length, capacity, limit;
};

/* 0; ERR_LIMIT; ERR_NO_MEMORY. */
static int page_add(struct page *page, const struct text *text)
{
    if (text->overflow || page->length + text->length > page->limit)
        return ERR_LIMIT;
    if (page->length + text->length > page->capacity) {
        const size_t capacity = page->capacity * 2 + text->length + 4096;
        char *at = realloc(page->at, capacity);

        if (!at)
            return ERR_NO_MEMORY;
        page->at = at;
        page->capacity = capacity;
    }
    memcpy(page->at + page->length, text->at, text->length);
    page->length += text->length;
    return 0;
}

/* RFC 3339 for programs, without seconds for people; UTC. */
static void add_time(struct text *text, int64_t modified_s, int is_for_people)
{
    const time_t seconds = (time_t)modified_s;
    struct tm tm;

    if (!gmtime_r(&seconds, &tm))
        return;
    text_add_f(text, "%04d-%02d-%02d%c%02d:%02d", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
               is_for_people ? ' ' : 'T', tm.tm_hour, tm.tm_min);
    if (!is_for_people)
        text_add_f(text, ":%02dZ", tm.tm_sec);
}

/* "999 B", "1.5 KiB": three digits at most before the unit. */
static void add_size(struct text *text, uint64_t bytes)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    uint64_t tenths = bytes;
    unsigned unit = 0;

    if (bytes < 1000) {
        text_add_f(text, "%llu B", (unsigned long long)bytes);
        return;
    }
    /* In tenths of the unit, rounded; large numbers lose their last digits before they are multiplied. */
    while (tenths >= 1000 * 1024) {
        tenths /= 1024;
        unit++;
    }
    tenths = (tenths * 10 + 512) / 1024;
    if (tenths < 100)
        text_add_f(text, "%llu.%llu %s", (unsigned long long)tenths / 10, (unsigned long long)tenths % 10,
                   units[unit]);
    else
        text_add_f(text, "%llu %s", (unsigned long long)(tenths + 5) / 10, units[unit]);
}

/* --- the page --- */

static const char style_sheet[] =
    ":root{color-scheme:light "
    "dark;--ink:#1b2a2f;--soft:#5c7078;--line:#dfe7e8;--back:#fbfcfb;--card:#fff;--tint:#0b7a75;"
    "--hover:#eef6f4}"
    "@media(prefers-color-scheme:dark){:root{--ink:#e3ecec;--soft:#93a7ac;--line:#263539;--back:#10191b;--"
    "card:#162225;"
    "--tint:#4fd1c5;--hover:#1d2d30}}"
    "*{box-sizing:border-box}body{margin:0;background:var(--back);color:var(--ink);"
    "font:16px/1.5 system-ui,-apple-system,\"Segoe UI\",Roboto,sans-serif}"
    "main{max-width:60rem;margin:0 auto;padding:2.5rem 1rem}"
    "h1{font-size:1.35rem;font-weight:600;margin:0 0 1.25rem;overflow-wrap:anywhere}"
    "h1 a{color:var(--tint);text-decoration:none}h1 a:hover{text-decoration:underline}h1 i{color:var(--soft);"
    "font-style:normal;padding:0 .3em}"
    "table{width:100%;border-collapse:separate;border-spacing:0;background:var(--card);border:1px solid "
    "var(--line);"
    "border-radius:12px;overflow:hidden}"
    "th{text-align:left;font-size:.8rem;font-weight:600;border-bottom:1px solid var(--line)}"
    "th a{display:block;padding:.65rem 1rem;color:var(--soft);text-decoration:none}th "
    "a:hover{color:var(--tint)}"
    "td{padding:0;border-bottom:1px solid var(--line)}tr:last-child td{border-bottom:0}"
    "tbody tr:hover{background:var(--hover)}"
    "td a{display:block;padding:.5rem 1rem;color:var(--ink);text-decoration:none;overflow-wrap:anywhere}"
    "td a:hover{color:var(--tint)}td "
    "a::before{content:\"\";display:inline-block;width:.7em;height:.85em;margin-right:.75em;"
    "border:1.5px solid var(--soft);border-radius:2px;vertical-align:-.08em}"
    ".d a{font-weight:600}.d a::before{width:1em;height:.7em;margin-right:.45em;background:var(--tint);"
    "border-color:var(--tint)}"
    ".n{padding:.5rem "
    "1rem;color:var(--soft);font-size:.9rem;white-space:nowrap;font-variant-numeric:tabular-nums}"
    ".s{text-align:right}th.s a{text-align:right}"
    "p{color:var(--soft);font-size:.85rem;margin:1rem .25rem}"
    "@media(max-width:36rem){.t{display:none}main{padding:1.25rem .75rem}}";

/* The path in pieces, each a link up; relative, so that it holds wherever the folder is shown. */
static void add_trail(struct text *text, const char *path)
{
    const size_t length = strlen(path);
    unsigned depth = 0;

    for (size_t i = 1; i < length; i++)
        depth += path[i] == '/';
    if (depth > TRAIL_MAX) {
        escape_add_html(text, slice_of(path));
        return;
    }
    text_add_c(text, "<a href=\"");
    for (unsigned i = 0; i < depth; i++)
        text_add_c(text, "../");
    text_add_c(text, depth ? "\">/</a>" : "./\">/</a>");
    for (size_t at = 1; at < length && depth > 0; depth--) {
        const char *end = memchr(path + at, '/', length - at);
        const size_t piece = end ? (size_t)(end - path) - at : length - at;

        text_add_c(text, "<i></i><a href=\"");
        for (unsigned i = 1; i < depth; i++)
            text_add_c(text, "../");
        text_add_c(text, depth > 1 ? "\">" : "./\">");
        escape_add_html(text, (struct slice){path + at, piece});
        text_add_c(text, "</a><i>/</i>");
        at += piece + 1;
    }
}

static void add_column(struct text *text, const struct listing_style *style, enum listing_order order,
                       const char *name, const char *title, const char *class)
{
    const int is_current = style->order == order;
    const int descends = is_current ? !style->is_descending : 0;

    text_add_f(text, "<th class=\"%s\"%s><a href=\"?sort=%s&amp;order=%s\">%s%s</a></th>", class,
               is_current ? (style->is_descending ? " aria-sort=\"descending\"" : " aria-sort=\"ascending\"")
                          : "",
               name, descends ? "desc" : "asc", title,
               is_current ? (style->is_descending ? " \xe2\x86\x93" : " \xe2\x86\x91") : "");
}

static void write_page_head(const struct listing *listing, const struct listing_style *style,
                            struct text *text)
{
    text_add_c(text, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                     "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>");
    escape_add_html(text, slice_of(listing->path));
    text_add_c(text, "</title>\n<style>");
    text_add_c(text, style_sheet);
    text_add_c(text, "</style>\n</head>\n<body>\n<main>\n<h1>");
    add_trail(text, listing->path);
    text_add_c(text, "</h1>\n<table>\n<thead><tr>");
    add_column(text, style, LISTING_BY_NAME, "name", "Name", "f");
    add_column(text, style, LISTING_BY_SIZE, "size", "Size", "s");
    add_column(text, style, LISTING_BY_TIME, "modified", "Modified", "t");
    text_add_c(text, "</tr></thead>\n<tbody>\n");
    if (strcmp(listing->path, "/") != 0)
        text_add_c(text,
                   "<tr class=\"d\"><td><a href=\"../\">..</a></td><td></td><td class=\"t\"></td></tr>\n");
}

static void write_page_row(const struct listing_entry *entry, struct text *text)
{
    const struct slice name = slice_of(entry->name);

    text_add_c(text, entry->is_folder ? "<tr class=\"d\"><td><a href=\"./" : "<tr><td><a href=\"./");
    escape_add_segment(text, name);
    text_add_c(text, entry->is_folder ? "/\">" : "\">");
    escape_add_html(text, name);
    text_add_c(text, entry->is_folder ? "/</a></td><td class=\"n s\">" : "</a></td><td class=\"n s\"");
    if (!entry->is_folder) {
        text_add_f(text, " title=\"%llu bytes\">", (unsigned long long)entry->size);
        add_size(text, entry->size);
    }
    text_add_c(text, "</td><td class=\"n t\"><time datetime=\"");
    add_time(text, entry->modified_s, 0);
    text_add_c(text, "\">");
    add_time(text, entry->modified_s, 1);
    text_add_c(text, "</time></td></tr>\n");
}

static void write_page_tail(const struct listing *listing, struct text *text)
{
    text_add_c(text, "</tbody>\n</table>\n<p>");
    text_add_u64(text, listing->count);
    text_add_c(text, listing->count == 1 ? " entry" : " entries");
    if (listing->is_truncated)
        text_add_c(text, "; <strong>there are more</strong>, which this list has no room for");
    text_add_c(text, ". Times are UTC.</p>\n</main>\n</body>\n</html>\n");
}

/* --- JSON --- */

static void write_json_head(const struct listing *listing, struct text *text)
{
    text_add_c(text, "{\"path\": \"");
    text_add_json(text, slice_of(listing->path));
    text_add_c(text, "\", \"entries\": [");
}

static void write_json_row(const struct listing_entry *entry, int is_first, struct text *text)
{
    text_add_c(text, is_first ? "\n{\"name\": \"" : ",\n{\"name\": \"");
    text_add_json(text, slice_of(entry->name));
    text_add_f(text, "\", \"type\": \"%s\", \"modified\": \"", entry->is_folder ? "folder" : "file");
    add_time(text, entry->modified_s, 0);
    text_add_c(text, "\"");
    if (!entry->is_folder)
        text_add_f(text, ", \"size\": %llu", (unsigned long long)entry->size);
    text_add_c(text, "}");
}

static void write_json_tail(const struct listing *listing, struct text *text)
{
    text_add_f(text, "\n], \"truncated\": %s}\n", listing->is_truncated ? "true" : "false");
}

/* --- both --- */

static int write_rows(struct listing *listing, const struct listing_style *style, struct page *page)
{
    char memory[ROW_SIZE];
    struct text text;

    page->limit -= TAIL_SIZE;
    for (size_t i = 0; i < listing->count; i++) {
        int result;

        text_init(&text, memory, sizeof memory);
        if (style->is_json)
            write_json_row(&listing->entries[i], i == 0, &text);
        else
            write_page_row(&listing->entries[i], &text);
        result = page_add(page, &text);
        if (result == ERR_LIMIT) {
            for (size_t left = i; left < listing->count; left++)
                free(listing->entries[left].name);
            listing->count = i;
            listing->is_truncated = 1;
        } else if (result) {
            return result;
        }
    }
    page->limit += TAIL_SIZE;
    return 0;
}

int listing_write(struct listing *listing, const struct listing_style *style, size_t limit, char **out,
                  size_t *length)
{
    struct page page = {.limit = limit};
    char memory[HEAD_SIZE];
    struct text text;
    int result;

    if (limit < TAIL_SIZE)
        return ERR_LIMIT;
    text_init(&text, memory, sizeof memory);
    if (style->is_json)
        write_json_head(listing, &text);
    else
        write_page_head(listing, style, &text);
    result = page_add(&page, &text);
    if (!result)
        result = write_rows(listing, style, &page);
    text_init(&text, memory, sizeof memory);
    if (style->is_json)
        write_json_tail(listing, &text);
    else
        write_page_tail(listing, &text);
    if (!result)
        result = page_add(&page, &text);
    if (result) {
        free(page.at);
        return result;
    }
    *out = page.at;
    *length = page.length;
    return 0;
}
