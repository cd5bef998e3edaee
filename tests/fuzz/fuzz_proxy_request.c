/* A request on its way through the proxy: the first byte says what the route and the pool say, the rest is the client's head.
 * Checked of what is sent on: our own parser accepts it; method, target, host and framing are the client's; there is no field
 * of the client's connection, none that the client did not send and we do not write, and none of ours twice; who is not
 * believed says nothing of clients, in any spelling. */
#include "handler/proxy/request_text.h"

#include "base/assert.h"
#include "own.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define LIMIT 4096
#define OURS_MAX 16 /* fields that we add */

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

enum option { BELIEVES = 1, EDITED = 2, OWN_HOST = 4, KEPT = 8, GOES_ON = 16, IPV6 = 32, NO_QUERY = 64 };

static const struct slice no_slice = {"", 0};

/* --- fields --- */

/* As an application may see it: case folded, and '_' as '-'. */
static int is_called(struct slice name, const char *other)
{
    if (name.length != strlen(other))
        return 0;
    for (size_t i = 0; i < name.length; i++)
        if (tolower((unsigned char)(name.at[i] == '_' ? '-' : name.at[i])) !=
            tolower((unsigned char)other[i]))
            return 0;
    return 1;
}

static unsigned count_of(const struct h1_head *head, const char *name)
{
    unsigned count = 0;

    for (uint32_t i = 0; i < head->field_count; i++)
        count += (unsigned)is_called(head->fields[i].name, name);
    return count;
}

static struct slice value_of(const struct h1_head *head, const char *name)
{
    return h1_field_value(head, slice_of(name));
}

static int is_sent_by(const struct h1_head *client, const struct h1_field *field)
{
    for (uint32_t i = 0; i < client->field_count; i++)
        if (slice_equals(client->fields[i].name, field->name) &&
            slice_equals(client->fields[i].value, field->value))
            return 1;
    return 0;
}

/* What the proxy writes itself, each at most once. */
static const char *const written[] = {"Host",
                                      "Content-Length",
                                      "Transfer-Encoding",
                                      "Expect",
                                      "Via",
                                      "traceparent",
                                      "X-Request-Id",
                                      "Max-Forwards",
                                      "X-Forwarded-For",
                                      "X-Forwarded-Proto",
                                      "X-Forwarded-Host",
                                      "Forwarded",
                                      "Connection",
                                      "TE",
                                      "Upgrade"};
static const char *const never[] = {"X-Forwarded-Port", "X-Real-IP"};
static const char *const of_the_connection[] = {"Keep-Alive", "Proxy-Connection"};

static int is_written(struct slice name)
{
    for (size_t i = 0; i < sizeof written / sizeof *written; i++)
        if (is_called(name, written[i]))
            return 1;
    return is_called(name, "tracestate");
}

static void check_fields(const struct h1_head *client, const struct h1_head *sent)
{
    for (size_t i = 0; i < sizeof written / sizeof *written; i++)
        MUST(count_of(sent, written[i]) <= 1);
    for (size_t i = 0; i < sizeof never / sizeof *never; i++)
        MUST(count_of(sent, never[i]) == 0);
    for (size_t i = 0; i < sizeof of_the_connection / sizeof *of_the_connection; i++)
        MUST(!h1_field_find(sent, slice_of(of_the_connection[i])));
    for (uint32_t i = 0; i < sent->field_count; i++)
        MUST(is_written(sent->fields[i].name) ||
             (is_sent_by(client, &sent->fields[i]) &&
              !h1_hop_by_hop(client->fields, client->field_count, sent->fields[i].name)));
    /* What is nobody's business between has passed. */
    for (uint32_t i = 0; i < client->field_count; i++)
        if (is_called(client->fields[i].name, "Cookie") || is_called(client->fields[i].name, "Authorization"))
            MUST(is_sent_by(sent, &client->fields[i]));
}

/* --- what it means --- */

static void check_framing(const struct request_text *text, const struct h1_head *sent)
{
    const struct h1_head *client = text->request;
    const struct slice connection = value_of(sent, "Connection");
    struct slice rest = connection, option;

    MUST(sent->chunked == client->chunked && sent->content_length == client->content_length);
    MUST(sent->has_body == client->has_body && sent->expect_continue == client->expect_continue);
    MUST(sent->wants_upgrade == request_text_upgrades(client));
    MUST(count_of(sent, "Upgrade") == (unsigned)sent->wants_upgrade);
    MUST(sent->keep_alive == (text->is_kept || sent->wants_upgrade));
    MUST(!count_of(sent, "TE") || slice_equals(value_of(sent, "TE"), slice_of("trailers")));
    while (h1_list_next(&rest, &option))
        MUST(slice_equals(option, slice_of("close")) || slice_equals(option, slice_of("TE")) ||
             slice_equals(option, slice_of("upgrade")));
}

static void check_target(const struct request_text *text, const struct h1_head *sent)
{
    char memory[LIMIT + 1];
    uint32_t length;

    MUST(sent->form == H1_ORIGIN_FORM && slice_equals(sent->method_text, text->request->method_text));
    MUST(!h1_path_decode(sent->path, memory, sizeof memory, &length));
    MUST(slice_equals((struct slice){memory, length}, text->path)); /* routes would see the same */
    MUST(slice_equals(sent->query, text->query));
    MUST(sent->has_query == (text->request->has_query || text->query.length));
}

static void check_host(const struct request_text *text, const struct h1_head *sent)
{
    const struct h1_head *client = text->request;

    if (text->host.length)
        MUST(slice_equals(value_of(sent, "Host"), text->host));
    else if (client->host.length)
        MUST(slice_equals(sent->host, client->host) && sent->host_port == client->host_port);
    else
        MUST(slice_equals(value_of(sent, "Host"), text->server));
}

static void check_client(const struct request_text *text, const struct h1_head *sent)
{
    const struct slice list = value_of(sent, "X-Forwarded-For");

    MUST(list.length >= text->peer.length &&
         slice_equals((struct slice){list.at + list.length - text->peer.length, text->peer.length},
                      text->peer));
    MUST(slice_equals(value_of(sent, "traceparent"), text->trace));
    MUST(slice_equals(value_of(sent, "X-Request-Id"), text->id));
    MUST(text->goes_on || !count_of(sent, "tracestate"));
    if (text->believes)
        return;
    MUST(slice_equals(list, text->peer));
    MUST(slice_equals(value_of(sent, "X-Forwarded-Proto"), text->scheme));
    MUST(!memchr(value_of(sent, "Forwarded").at, ',', value_of(sent, "Forwarded").length));
}

static void check(const struct request_text *text)
{
    static struct h1_head sent;
    static char memory[8 * LIMIT];
    struct text out;
    enum h1_refusal refusal;
    uint32_t scanned = 0, length;

    text_init(&out, memory, sizeof memory);
    MUST(!request_text_make(text, &out));
    MUST(!h1_head_find_end(out.at, (uint32_t)out.length, sizeof memory, &scanned, &length));
    MUST(length == out.length); /* nothing stands behind it */
    if (h1_head_parse(out.at, length, &sent, &refusal)) {
        MUST(refusal == H1_REFUSE_FIELDS_TOO_MANY && text->request->field_count + OURS_MAX > H1_FIELDS_MAX);
        return;
    }
    MUST(sent.version_minor == 1);
    check_target(text, &sent);
    check_host(text, &sent);
    check_framing(text, &sent);
    check_fields(text->request, &sent);
    check_client(text, &sent);
}

static void rewrite(const struct h1_head *request, unsigned options)
{
    static char path[LIMIT + 1];
    struct request_text text = {.request = request,
                                .query = options & NO_QUERY && options & EDITED ? no_slice : request->query,
                                .is_edited = (options & EDITED) != 0,
                                .host = options & OWN_HOST ? slice_of("app.example.com:8080") : no_slice,
                                .server = slice_of("10.0.0.1:3000"),
                                .peer = slice_of(options & IPV6 ? "2001:db8::1" : "192.0.2.1"),
                                .scheme = slice_of("http"),
                                .believes = (options & BELIEVES) != 0,
                                .trace = slice_of("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
                                .goes_on = (options & GOES_ON) != 0,
                                .id = slice_of("0123456789abcdef"),
                                .is_kept = (options & KEPT) != 0};
    uint32_t length;

    if ((request->form != H1_ORIGIN_FORM && request->form != H1_ABSOLUTE_FORM) ||
        h1_path_decode(request->path, path, sizeof path, &length))
        return; /* answered by us */
    text.path = (struct slice){path, length};
    check(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    static struct h1_head request;
    enum h1_refusal refusal;
    uint32_t scanned = 0, length = 0;
    char *bytes;

    if (size < 1 || size > LIMIT)
        return 0;
    bytes = own_copy(input + 1, size - 1);
    if (!h1_head_find_end(bytes, (uint32_t)size - 1, LIMIT, &scanned, &length) &&
        !h1_head_parse(bytes, length, &request, &refusal))
        rewrite(&request, input[0]);
    free(bytes);
    return 0;
}
