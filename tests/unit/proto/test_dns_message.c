/* Answers of name servers. Every message is also cut at every byte, and its bytes are changed one by one, against
 * a guard page: nothing of that may be read past the end, and nothing cut may be accepted. */
#include "proto/dns_message.h"

#include "guarded.h"
#include "unit.h"

#include <string.h>

#define HEAD(flags, answers) "\x12\x34" flags "\0\1\0" answers "\0\0\0\0"
#define ANSWER "\x81\x80"
#define A_NAME "\1a\7example\0" /* at 12; "example" at 14 */
#define ASKED(type) A_NAME "\0" type "\0\1"
#define HERE "\xc0\x0c"
#define RECORD(name, type, ttl, length) name "\0" type "\0\1" ttl "\0" length
#define TTL "\0\0\1\x2c" /* 300 */
#define MESSAGE(...)                                                                                         \
    {                                                                                                        \
        __VA_ARGS__, sizeof(__VA_ARGS__) - 1                                                                 \
    }

static int parse(struct slice message, const char *name, enum dns_type type, struct dns_answer *answer)
{
    const char *copy = guarded_copy(message.at, message.length);
    return dns_answer_parse((const uint8_t *)copy, (uint32_t)message.length, slice_of(name), type, answer);
}

static void assert_safe(struct slice message, const char *name, enum dns_type type)
{
    static struct dns_answer answer;
    char bytes[1024];
    assert_true(message.length <= sizeof(bytes));
    for (size_t cut = 0; cut < message.length; cut++)
        assert_int_not_equal(parse((struct slice){message.at, cut}, name, type, &answer), 0);
    for (size_t at = 0; at < message.length; at++)
        for (int value = 0; value < 256; value++) {
            memcpy(bytes, message.at, message.length);
            bytes[at] = (char)value;
            int result = parse((struct slice){bytes, message.length}, name, type, &answer);
            assert_true(result == 0 || result == ERR_SYNTAX || result == ERR_INVALID);
            assert_true(answer.count <= DNS_RECORDS_MAX);
        }
}

static const struct dns_answer *accepted(struct slice message, enum dns_type type)
{
    static struct dns_answer answer;
    assert_safe(message, "a.example", type);
    assert_int_equal(parse(message, "A.Example.", type, &answer), 0);
    assert_int_equal(answer.rcode, DNS_NO_ERROR);
    assert_int_equal(answer.is_cut, 0);
    return &answer;
}

/* RFC 1035 section 3.4.1. */
static void addresses_are_taken_with_the_least_ttl(void **state)
{
    static const struct slice message = MESSAGE(HEAD(ANSWER, "\2") ASKED("\1") RECORD(
        HERE, "\1", TTL, "\4") "\x0a\0\0\1" RECORD(A_NAME, "\1", "\0\0\0\x0a", "\4") "\x0a\0\0\2");
    const struct dns_answer *answer = accepted(message, DNS_A);
    (void)state;
    assert_int_equal(answer->count, 2);
    assert_int_equal(answer->ttl_s, 10);
    assert_memory_equal(answer->records[0].address, "\x0a\0\0\1", 4);
    assert_memory_equal(answer->records[1].address, "\x0a\0\0\2", 4);
}

/* RFC 3596 section 2. */
static void ipv6_addresses_have_16_bytes(void **state)
{
    static const struct slice message = MESSAGE(HEAD(ANSWER, "\1") ASKED("\x1c") RECORD(
        HERE, "\x1c", TTL, "\x10") "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1");
    const struct dns_answer *answer = accepted(message, DNS_AAAA);
    (void)state;
    assert_int_equal(answer->count, 1);
    assert_memory_equal(answer->records[0].address, "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1", 16);
}

/* RFC 2782. The target may be compressed, though it should not. */
static void services_say_priority_weight_port_and_target(void **state)
{
    static const struct slice message = MESSAGE(HEAD(ANSWER, "\2") ASKED("\x21") RECORD(
        HERE, "\x21", TTL, "\x0a") "\0\1\0\2\x1f\x90\1b\xc0\x0e" RECORD(HERE, "\x21", TTL,
                                                                        "\7") "\0\0\0\0\0\0\0");
    const struct dns_answer *answer = accepted(message, DNS_SRV);
    (void)state;
    assert_int_equal(answer->count, 2);
    assert_int_equal(answer->records[0].priority, 1);
    assert_int_equal(answer->records[0].weight, 2);
    assert_int_equal(answer->records[0].port, 8080);
    assert_string_equal(answer->records[0].target, "b.example");
    assert_string_equal(answer->records[1].target, "");
}

/* RFC 1034 section 3.6.2. The records stand in the wrong order, and one of another name among them. */
static void aliases_are_followed_and_their_ttl_counts(void **state)
{
    static const struct slice message =
        MESSAGE(HEAD(ANSWER, "\4") ASKED("\1") RECORD("\1c\xc0\x0e", "\1", TTL, "\4") "\x0a\0\0\1" RECORD(
            "\1d\xc0\x0e", "\1", "\0\0\0\1",
            "\4") "\x0a\0\0\2" RECORD("\1b\xc0\x0e", "\5", "\0\0\0\7",
                                      "\4") "\1C\xc0\x0e" RECORD(HERE, "\5", TTL, "\4") "\1b\xc0\x0e");
    const struct dns_answer *answer = accepted(message, DNS_A);
    (void)state;
    assert_int_equal(answer->count, 1);
    assert_int_equal(answer->ttl_s, 7);
    assert_memory_equal(answer->records[0].address, "\x0a\0\0\1", 4);
}

static void a_chain_without_records_at_its_end_has_none(void **state)
{
    static const struct slice message =
        MESSAGE(HEAD(ANSWER, "\1") ASKED("\1") RECORD(HERE, "\5", TTL, "\4") "\1b\xc0\x0e");
    const struct dns_answer *answer = accepted(message, DNS_A);
    (void)state;
    assert_int_equal(answer->count, 0);
    assert_int_equal(answer->ttl_s, 0);
    assert_int_equal(accepted((struct slice)MESSAGE(HEAD(ANSWER, "\0") ASKED("\1")), DNS_A)->count, 0);
}

/* RFC 2181 section 8. */
static void a_ttl_with_its_upper_bit_set_is_none(void **state)
{
    static const struct slice message = MESSAGE(HEAD(ANSWER, "\1") ASKED("\1")
                                                    RECORD(HERE, "\1", "\x80\0\0\1", "\4") "\x0a\0\0\1"),
                              largest = MESSAGE(HEAD(ANSWER, "\1") ASKED("\1") RECORD(
                                  HERE, "\1", "\x7f\xff\xff\xff", "\4") "\x0a\0\0\1");
    (void)state;
    assert_int_equal(accepted(message, DNS_A)->ttl_s, 0);
    assert_int_equal(accepted(largest, DNS_A)->ttl_s, INT32_MAX);
}

static void errors_and_cut_messages_have_no_records(void **state)
{
    static const struct {
        struct slice message;
        unsigned rcode;
        int is_cut;
    } rows[] = {
        {MESSAGE(HEAD("\x81\x83", "\0") ASKED("\1")), DNS_NO_SUCH_NAME, 0},
        {MESSAGE(HEAD("\x81\x82", "\0") ASKED("\1")), DNS_SERVER_FAILURE, 0},
        {MESSAGE(HEAD("\x81\x85", "\1") ASKED("\1") "rubbish"), DNS_REFUSED, 0},
        {MESSAGE("\x12\x34\x81\x81\0\0\0\0\0\0\0\0"), DNS_FORMAT_ERROR, 0},
        {MESSAGE(HEAD("\x83\x80", "\2") ASKED("\1") HERE "\0"), DNS_NO_ERROR, 1},
    };
    static struct dns_answer answer;
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(parse(rows[i].message, "a.example", DNS_A, &answer), 0);
        assert_int_equal(answer.rcode, rows[i].rcode);
        assert_int_equal(answer.is_cut, rows[i].is_cut);
        assert_int_equal(answer.count, 0);
    }
}

#define ONE(rest) HEAD(ANSWER, "\1") ASKED("\1") rest
static const struct refused_row {
    const char *name;
    struct slice message;
    int result;
} refused_rows[] = {
#define ROW(name, text, result)                                                                              \
    {                                                                                                        \
        name, MESSAGE(text), result                                                                          \
    }
    ROW("RFC 1035 4.1.1: nothing", "", ERR_SYNTAX),
    ROW("RFC 1035 4.1.1: half a header", "\x12\x34\x81\x80\0\1", ERR_SYNTAX),
    ROW("RFC 1035 4.1.1: a question", HEAD("\1\0", "\0") ASKED("\1"), ERR_INVALID),
    ROW("RFC 1035 4.1.1: another operation", HEAD("\x91\x80", "\0") ASKED("\1"), ERR_INVALID),
    ROW("RFC 1035 4.1.2: no question", "\x12\x34\x81\x80\0\0\0\0\0\0\0\0", ERR_INVALID),
    ROW("RFC 1035 4.1.2: two questions", "\x12\x34\x81\x80\0\2\0\0\0\0\0\0" ASKED("\1") ASKED("\1"),
        ERR_INVALID),
    ROW("RFC 1035 4.1.2: another name", HEAD(ANSWER, "\0") "\1b\7example\0\0\1\0\1", ERR_INVALID),
    ROW("RFC 1035 4.1.2: another type", HEAD(ANSWER, "\0") ASKED("\x1c"), ERR_INVALID),
    ROW("RFC 1035 4.1.2: another class", HEAD(ANSWER, "\0") A_NAME "\0\1\0\3", ERR_INVALID),
    ROW("RFC 1035 4.1.3: fewer records than announced", ONE(""), ERR_SYNTAX),
    ROW("RFC 1035 4.1.3: a record that is cut", ONE(RECORD(HERE, "\1", TTL, "\4") "\x0a\0\0"), ERR_SYNTAX),
    ROW("RFC 1035 3.4.1: an address of 5 bytes", ONE(RECORD(HERE, "\1", TTL, "\5") "\x0a\0\0\1\1"),
        ERR_SYNTAX),
    ROW("RFC 1035 3.4.1: an address of no bytes", ONE(RECORD(HERE, "\1", TTL, "\0")), ERR_SYNTAX),
    ROW("RFC 1035 4.1.4: a pointer to itself", ONE(RECORD("\xc0\x1b", "\1", TTL, "\4") "\x0a\0\0\1"),
        ERR_SYNTAX),
    ROW("RFC 1035 4.1.4: a pointer forward", ONE(RECORD("\xc0\x20", "\1", TTL, "\4") "\x0a\0\0\1"),
        ERR_SYNTAX),
    ROW("RFC 1035 4.1.4: a label and a pointer to it",
        ONE(RECORD("\1a\xc0\x1b", "\1", TTL, "\4") "\x0a\0\0\1"), ERR_SYNTAX),
    ROW("RFC 1035 4.1.4: a pointer into the header", ONE(RECORD("\xc0\0", "\1", TTL, "\4") "\x0a\0\0\1"),
        ERR_SYNTAX),
    ROW("RFC 1035 4.1.4: half a pointer", ONE("\xc0"), ERR_SYNTAX),
    ROW("RFC 1035 4.1.4: the reserved forms of a label",
        ONE(RECORD("\x41"
                   "a\0",
                   "\1", TTL, "\4") "\x0a\0\0\1"),
        ERR_SYNTAX),
    ROW("RFC 1035 2.3.1: a dot inside a label", ONE(RECORD("\3a.b\0", "\1", TTL, "\4") "\x0a\0\0\1"),
        ERR_SYNTAX),
    ROW("RFC 1035 2.3.1: NUL inside a label", ONE(RECORD("\3a\0b\0", "\1", TTL, "\4") "\x0a\0\0\1"),
        ERR_SYNTAX),
    ROW("RFC 1035 3.3.1: bytes behind an alias", ONE(RECORD(HERE, "\5", TTL, "\5") "\1b\xc0\x0ex"),
        ERR_SYNTAX),
    ROW("RFC 1034 3.6.2: an alias of itself", ONE(RECORD(HERE, "\5", TTL, "\2") HERE), ERR_SYNTAX),
    ROW("RFC 2181 10.1: two aliases of one name",
        HEAD(ANSWER, "\2") ASKED("\1")
            RECORD(HERE, "\5", TTL, "\4") "\1b\xc0\x0e" RECORD(HERE, "\5", TTL, "\4") "\1c\xc0\x0e",
        ERR_SYNTAX),
    ROW("RFC 1034 3.6.2: an alias beside an address",
        HEAD(ANSWER, "\2") ASKED("\1")
            RECORD(HERE, "\5", TTL, "\4") "\1b\xc0\x0e" RECORD(HERE, "\1", TTL, "\4") "\x0a\0\0\1",
        ERR_SYNTAX),
#undef ROW
};

static void the_message_is_refused(void **state)
{
    static struct dns_answer answer;
    const struct refused_row *row = *state;
    assert_int_equal(parse(row->message, "a.example", DNS_A, &answer), row->result);
}

static void a_service_must_fill_its_data(void **state)
{
    static const struct slice cut = MESSAGE(HEAD(ANSWER, "\1") ASKED("\x21")
                                                RECORD(HERE, "\x21", TTL, "\6") "\0\1\0\2\x1f\x90"),
                              longer = MESSAGE(HEAD(ANSWER, "\1") ASKED("\x21") RECORD(
                                  HERE, "\x21", TTL, "\x9") "\0\1\0\2\x1f\x90\xc0\x0cx"),
                              beyond = MESSAGE(HEAD(ANSWER, "\1") ASKED("\x21")
                                                   RECORD(HERE, "\x21", TTL, "\x8") "\0\1\0\2\x1f\x90\1b\0");
    static struct dns_answer answer;
    (void)state;
    assert_int_equal(parse(cut, "a.example", DNS_SRV, &answer), ERR_SYNTAX);
    assert_int_equal(parse(longer, "a.example", DNS_SRV, &answer), ERR_SYNTAX);
    assert_int_equal(parse(beyond, "a.example", DNS_SRV, &answer), ERR_SYNTAX);
}

/* RFC 1035 section 2.3.4: 255 bytes, the root among them. */
static void a_name_is_as_long_as_the_limit_and_not_longer(void **state)
{
    static struct dns_answer answer;
    for (size_t last = 61; last <= 62; last++) {
        char name[300], message[400] = "\x12\x34\x81\x80\0\1\0\0\0\0\0\0";
        size_t used = 0, at = 12;
        for (size_t i = 0; i < 4; i++) {
            size_t length = i < 3 ? 63 : last;
            memset(name + used, 'x', length);
            message[at++] = (char)length;
            memset(message + at, 'X', length);
            used += length;
            at += length;
            name[used++] = i < 3 ? '.' : '\0';
        }
        memcpy(message + at, "\0\0\1\0\1", 5);
        assert_int_equal(parse((struct slice){message, at + 5}, name, DNS_A, &answer),
                         last == 61 ? 0 : ERR_SYNTAX);
    }
    (void)state;
}

static void records_past_the_limit_are_left_out(void **state)
{
    static char message[28 + 100 * 16] = HEAD(ANSWER, "\x64") ASKED("\1");
    static struct dns_answer answer;
    size_t at = sizeof(HEAD(ANSWER, "\x64") ASKED("\1")) - 1;
    (void)state;
    for (int i = 0; i < 100; i++, at += 16)
        memcpy(message + at, RECORD(HERE, "\1", TTL, "\4") "\x0a\0\0\1", 16);
    assert_int_equal(parse((struct slice){message, at}, "a.example", DNS_A, &answer), 0);
    assert_int_equal(answer.count, DNS_RECORDS_MAX);
}

#define REFUSED_COUNT (sizeof(refused_rows) / sizeof(refused_rows[0]))

int main(void)
{
    const struct CMUnitTest others[] = {
        cmocka_unit_test(addresses_are_taken_with_the_least_ttl),
        cmocka_unit_test(ipv6_addresses_have_16_bytes),
        cmocka_unit_test(services_say_priority_weight_port_and_target),
        cmocka_unit_test(aliases_are_followed_and_their_ttl_counts),
        cmocka_unit_test(a_chain_without_records_at_its_end_has_none),
        cmocka_unit_test(a_ttl_with_its_upper_bit_set_is_none),
        cmocka_unit_test(errors_and_cut_messages_have_no_records),
        cmocka_unit_test(a_service_must_fill_its_data),
        cmocka_unit_test(a_name_is_as_long_as_the_limit_and_not_longer),
        cmocka_unit_test(records_past_the_limit_are_left_out),
    };
    static struct CMUnitTest tests[REFUSED_COUNT + sizeof(others) / sizeof(others[0])];
    struct CMUnitTest *test = tests;
    for (size_t i = 0; i < REFUSED_COUNT; i++)
        *test++ = (struct CMUnitTest){refused_rows[i].name, the_message_is_refused, NULL, NULL,
                                      (void *)(uintptr_t)&refused_rows[i]};
    memcpy(test, others, sizeof(others));
    return cmocka_run_group_tests_name("answers of name servers", tests, NULL, NULL);
}
