/* The line of a TCP connection, in both formats. */
#include "l4/log_line.h"

#include "unit.h"

static struct l4_line plain(void)
{
    return (struct l4_line){.wall_ms = 1764000000123,
                            .client = SLICE_LITERAL("10.0.0.1"),
                            .client_port = 50312,
                            .listener = SLICE_LITERAL(":5432"),
                            .pool = SLICE_LITERAL("db"),
                            .server = SLICE_LITERAL("10.0.0.5:5432"),
                            .sent = 512,
                            .received = 80,
                            .duration_ns = 12345678,
                            .tries = 2,
                            .end = TCP_END_COMPLETE};
}

static const char *line_of(enum l4_log_format format, const struct l4_line *line)
{
    static char memory[L4_LINE_MAX];
    struct text text;

    text_init(&text, memory, sizeof memory);
    l4_line_write(format, line, &text);
    assert_false(text.overflow);
    return memory;
}

static void lines_are_as_described(void **state)
{
    const struct l4_line line = plain();

    (void)state;
    assert_string_equal(line_of(L4_LOG_TEXT, &line), "10.0.0.1:50312 [24/Nov/2025:16:00:00 +0000] :5432 db "
                                                     "10.0.0.5:5432 512 80 12.346 2 complete\n");
    assert_string_equal(
        line_of(L4_LOG_JSON, &line),
        "{\"time\":\"2025-11-24T16:00:00.123Z\",\"client\":\"10.0.0.1\",\"client_port\":50312,"
        "\"listener\":\":5432\",\"pool\":\"db\",\"server\":\"10.0.0.5:5432\",\"sent\":512,"
        "\"received\":80,\"ms\":12.346,\"tries\":2,\"end\":\"complete\"}\n");
}

static void what_is_not_there_is_said_to_be_none(void **state)
{
    struct l4_line line = plain();

    (void)state;
    line.client = line.server = (struct slice){"", 0};
    line.client_port = 0;
    line.tries = 0;
    line.end = TCP_END_POOL_FULL;
    assert_string_equal(line_of(L4_LOG_TEXT, &line),
                        "unix: [24/Nov/2025:16:00:00 +0000] :5432 db - 512 80 12.346 0 pool_full\n");
    assert_string_equal(line_of(L4_LOG_JSON, &line),
                        "{\"time\":\"2025-11-24T16:00:00.123Z\",\"client\":null,\"client_port\":null,"
                        "\"listener\":\":5432\",\"pool\":\"db\",\"server\":null,\"sent\":512,"
                        "\"received\":80,\"ms\":12.346,\"tries\":0,\"end\":\"pool_full\"}\n");
}

static void every_end_has_its_word(void **state)
{
    (void)state;
    for (unsigned end = 0; end < TCP_ENDS; end++)
        assert_string_not_equal(tcp_end_name(end), "unknown");
    assert_string_equal(tcp_end_name(TCP_ENDS), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_as_described),
        cmocka_unit_test(what_is_not_there_is_said_to_be_none),
        cmocka_unit_test(every_end_has_its_word),
    };

    return cmocka_run_group_tests_name("log_line", tests, NULL, NULL);
}
