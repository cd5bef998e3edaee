/* The text of log lines: both formats, with whatever a request may say. */
#include "http/log_line.h"

#include "unit.h"

#include <string.h>

static char line_memory[4 * LOG_LINE_MAX], before_memory[LOG_LINE_MAX], behind_memory[LOG_LINE_MAX];

static struct log_request plain(void)
{
    return (struct log_request){.wall_ms = 1764000000123,
                                .client = SLICE_LITERAL("10.0.0.1"),
                                .host = SLICE_LITERAL("a.example"),
                                .method = SLICE_LITERAL("GET"),
                                .target = SLICE_LITERAL("/x?y"),
                                .user_agent = SLICE_LITERAL("me"),
                                .id = SLICE_LITERAL("id-1"),
                                .trace = SLICE_LITERAL("00ff"),
                                .version_minor = 1};
}

static const char *line_of(enum route_log_format format, const struct log_request *request,
                           const struct log_result *result)
{
    struct text before, behind, line;

    text_init(&before, before_memory, sizeof before_memory);
    text_init(&behind, behind_memory, sizeof behind_memory);
    text_init(&line, line_memory, sizeof line_memory);
    log_line_begin(format, request, &before, &behind);
    log_line_end(format, (struct slice){before.at, before.length}, (struct slice){behind.at, behind.length},
                 request->id, result, &line);
    assert_false(before.overflow || behind.overflow || line.overflow);
    return line.at;
}

static void a_combined_line_is_as_described(void **state)
{
    const struct log_request request = plain();
    const struct log_result result = {.status = 200, .bytes = 512, .received = 7, .duration_ns = 1234567};
    (void)state;

    assert_string_equal(
        line_of(ROUTE_LOG_COMBINED, &request, &result),
        "10.0.0.1 - - [24/Nov/2025:16:00:00 +0000] \"GET /x?y HTTP/1.1\" 200 512 \"-\" \"me\" id-1 "
        "1.235 7 complete -\n");
}

static void a_json_line_is_as_described(void **state)
{
    const struct log_request request = plain();
    const struct log_result result = {
        .status = 404, .duration_ns = 999, .end = LOG_END_CLIENT_RESET, .reason = SLICE_LITERAL("why")};
    (void)state;

    assert_string_equal(
        line_of(ROUTE_LOG_JSON, &request, &result),
        "{\"time\":\"2025-11-24T16:00:00.123Z\",\"id\":\"id-1\",\"client\":\"10.0.0.1\",\"host\":"
        "\"a.example\",\"method\":\"GET\",\"target\":\"/x?y\",\"version\":\"1.1\",\"referer\":null,"
        "\"user_agent\":\"me\",\"trace\":\"00ff\",\"status\":404,\"bytes\":0,\"received\":0,\"ms\":0.001,"
        "\"end\":\"client_reset\",\"reason\":\"why\"}\n");
}

static void what_was_no_request_is_a_line_all_the_same(void **state)
{
    const struct log_request request = {.version_minor = -1, .id = SLICE_LITERAL("i")};
    const struct log_result result = {.status = 400};
    (void)state;

    assert_string_equal(
        line_of(ROUTE_LOG_COMBINED, &request, &result),
        "unix: - - [01/Jan/1970:00:00:00 +0000] \"-\" 400 0 \"-\" \"-\" i 0.000 0 complete -\n");
    assert_non_null(strstr(line_of(ROUTE_LOG_JSON, &request, &result),
                           "\"method\":null,\"target\":null,\"version\":null"));
}

/* Every byte, in every text: one line, ASCII, and as many quotes as always. */
static void no_byte_of_a_client_ends_a_line_or_a_text(void **state)
{
    char all[256];
    struct log_request request = plain();
    const struct log_result result = {.status = 200};
    const char *line;
    unsigned quotes = 0;
    (void)state;

    for (int i = 0; i < 256; i++)
        all[i] = (char)i;
    request.target = request.referer = request.user_agent = (struct slice){all, sizeof all};
    line = line_of(ROUTE_LOG_COMBINED, &request, &result);
    assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
    for (const char *c = line; *c; c++) {
        assert_true((unsigned char)*c < 0x7f);
        quotes += *c == '"';
    }
    assert_int_equal(quotes, 6);
    line = line_of(ROUTE_LOG_JSON, &request, &result);
    assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
}

static void long_texts_are_cut(void **state)
{
    static char longer[LOG_FIELD_MAX + 100];
    struct log_request request = plain();
    const struct log_result result = {.status = 200};
    (void)state;

    memset(longer, 'l', sizeof longer);
    request.target = (struct slice){longer, sizeof longer};
    assert_int_equal(strspn(strchr(line_of(ROUTE_LOG_COMBINED, &request, &result), '/')
                                ? strstr(line_memory, " lll") + 1
                                : "",
                            "l"),
                     LOG_FIELD_MAX);
}

static void every_end_has_a_name(void **state)
{
    (void)state;
    for (unsigned end = 0; end < LOG_ENDS; end++)
        assert_true(strlen(log_end_name((enum log_end)end)) > 3);
    assert_string_equal(log_end_name(LOG_ENDS), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_combined_line_is_as_described),
        cmocka_unit_test(a_json_line_is_as_described),
        cmocka_unit_test(what_was_no_request_is_a_line_all_the_same),
        cmocka_unit_test(no_byte_of_a_client_ends_a_line_or_a_text),
        cmocka_unit_test(long_texts_are_cut),
        cmocka_unit_test(every_end_has_a_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
