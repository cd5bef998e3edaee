/* What needs no name server, and what a silent or an absent one does. What servers answer is tried in
 * tests/e2e/test_resolve.py. */
#include "upstream/resolve.h"

#include "unit.h"

#include <arpa/inet.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

static struct resolve_answer answer;

static struct sockaddr_storage loopback(uint16_t port)
{
    struct sockaddr_storage address = {.ss_family = AF_INET};
    struct sockaddr_in *in = (void *)&address;
    in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    in->sin_port = htons(port);
    return address;
}

/* A socket that takes questions and never answers. */
static int silent_server(struct sockaddr_storage *address)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t length = sizeof(struct sockaddr_in);
    *address = loopback(0);
    assert_return_code(bind(fd, (void *)address, length), 0);
    assert_return_code(getsockname(fd, (void *)address, &length), 0);
    return fd;
}

static void ask(const char *host, uint16_t port, int is_srv)
{
    struct sockaddr_storage nobody = loopback(1); /* nothing listens there: an answer would come at once */
    struct resolve_question question = {
        .host = host, .port = port, .is_srv = is_srv, .resolvers = &nobody, .resolver_count = 1};
    resolve(&question, NULL, &answer);
}

static void assert_found(size_t at, const char *text, uint16_t port)
{
    const struct sockaddr_storage *address = &answer.found[at].address;
    const struct sockaddr_in *in = (const void *)address;
    const struct sockaddr_in6 *in6 = (const void *)address;
    char written[INET6_ADDRSTRLEN] = "";
    int is_4 = address->ss_family == AF_INET;
    assert_true(at < answer.count);
    inet_ntop(address->ss_family, is_4 ? (const void *)&in->sin_addr : &in6->sin6_addr, written,
              sizeof written);
    assert_string_equal(written, text);
    assert_int_equal(ntohs(is_4 ? in->sin_port : in6->sin6_port), port);
}

static void an_address_as_text_is_itself(void **state)
{
    (void)state;
    ask("192.0.2.7", 80, 0);
    assert_int_equal(answer.failure, RESOLVE_NOTHING);
    assert_int_equal(answer.count, 1);
    assert_found(0, "192.0.2.7", 80);
    assert_int_equal(answer.found[0].weight, 1);
    assert_int_equal(answer.found[0].is_backup, 0);
    ask("2001:db8::7", 443, 0);
    assert_int_equal(answer.count, 1);
    assert_found(0, "2001:db8::7", 443);
}

/* RFC 6761 section 6.3. */
static void localhost_is_never_asked_for(void **state)
{
    static const char *const names[] = {"localhost", "LOCALHOST.", "a.localhost"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        ask(names[i], 8080, 0);
        assert_int_equal(answer.failure, RESOLVE_NOTHING);
        assert_found(0, "127.0.0.1", 8080);
        assert_int_equal(answer.ttl_ms, RESOLVE_HOSTS_TTL_MS);
    }
}

static void what_only_ends_like_localhost_is_a_name(void **state)
{
    (void)state;
    ask("notlocalhost", 8080, 0);
    assert_int_equal(answer.failure, RESOLVE_SERVER_FAILED);
}

static void a_name_that_cannot_be_is_not_asked_for(void **state)
{
    static char longest[400];
    (void)state;
    memset(longest, 'a', sizeof longest - 1);
    ask("", 80, 0);
    assert_int_equal(answer.failure, RESOLVE_NO_SUCH_NAME);
    ask(".", 80, 0);
    assert_int_equal(answer.failure, RESOLVE_NO_SUCH_NAME);
    ask(longest, 80, 0);
    assert_int_equal(answer.failure, RESOLVE_NO_SUCH_NAME);
    longest[253] = '\0'; /* one label of 253 bytes */
    ask(longest, 80, 0);
    assert_int_equal(answer.failure, RESOLVE_NO_SUCH_NAME);
}

static void a_server_that_is_not_there_has_failed(void **state)
{
    (void)state;
    ask("a.example", 80, 0);
    assert_int_equal(answer.failure, RESOLVE_SERVER_FAILED);
    assert_int_equal(answer.count, 0);
    assert_int_equal(answer.ttl_ms, 0);
    ask("a.example", 80, 1);
    assert_int_equal(answer.failure, RESOLVE_SERVER_FAILED);
}

/* Each once, and once more. */
static void a_silent_server_is_asked_for_the_number_of_tries(void **state)
{
    struct sockaddr_storage address;
    int fd = silent_server(&address), messages = 0;
    struct resolve_question question = {
        .host = "a.example", .resolvers = &address, .resolver_count = 1, .try_ms = 20, .tries = 2};
    char bytes[512];
    (void)state;
    resolve(&question, NULL, &answer);
    assert_int_equal(answer.failure, RESOLVE_TIMEOUT);
    while (recv(fd, bytes, sizeof bytes, MSG_DONTWAIT) > 0)
        messages++;
    assert_int_equal(messages, 4);
    close(fd);
}

static void the_whole_time_is_kept_whatever_the_tries(void **state)
{
    struct sockaddr_storage address;
    int fd = silent_server(&address);
    struct resolve_question question = {
        .host = "a.example", .resolvers = &address, .resolver_count = 1, .try_ms = 60000, .whole_ms = 20};
    (void)state;
    resolve(&question, NULL, &answer);
    assert_int_equal(answer.failure, RESOLVE_TIMEOUT);
    close(fd);
}

static unsigned jobs_done;

static void job_done(struct resolve_job *job)
{
    assert_int_equal(job->answer.failure, RESOLVE_NOTHING);
    jobs_done++;
}

static void a_job_is_done_on_the_thread_that_finishes(void **state)
{
    static struct pool pool;
    static struct resolve_job job = {.question = {.host = "127.0.0.2", .port = 80}, .done = job_done};
    int wakeup = eventfd(0, EFD_CLOEXEC);
    struct pollfd polled = {.fd = wakeup, .events = POLLIN};
    (void)state;
    assert_int_equal(pool_init(&pool, 1, wakeup), 0);
    assert_int_equal(resolve_start(&job, &pool), 0);
    assert_int_equal(poll(&polled, 1, 10000), 1);
    pool_finish(&pool);
    assert_int_equal(jobs_done, 1);
    assert_int_equal(pool_stop(&pool), 0);
    close(wakeup);
}

/* The loop must be able to stop while a server lets a thread wait: the thread stands in the gate then. */
static void a_pool_stops_while_a_server_is_silent(void **state)
{
    static struct pool pool;
    static struct sockaddr_storage address;
    static struct resolve_job job = {
        .question = {.host = "a.example", .resolvers = &address, .resolver_count = 1}, .done = job_done};
    int fd = silent_server(&address), wakeup = eventfd(0, EFD_CLOEXEC);
    struct pollfd polled = {.fd = fd, .events = POLLIN};
    (void)state;
    assert_int_equal(pool_init(&pool, 1, wakeup), 0);
    assert_int_equal(resolve_start(&job, &pool), 0);
    assert_int_equal(poll(&polled, 1, 10000), 1); /* it asks */
    assert_int_equal(pool_stop(&pool), 1);
    close(fd);
}

static void every_failure_has_a_reason_of_its_own(void **state)
{
    (void)state;
    assert_int_equal(resolve_reason(RESOLVE_NOTHING).length, 0);
    for (int i = 1; i <= RESOLVE_NO_MEMORY; i++) {
        assert_true(slice_starts_with(resolve_reason((enum resolve_failure)i), slice_of("dns_")));
        for (int j = 0; j < i; j++)
            assert_false(slice_equals(resolve_reason((enum resolve_failure)i),
                                      resolve_reason((enum resolve_failure)j)));
    }
    assert_int_equal(resolve_reason((enum resolve_failure)99).length, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_as_text_is_itself),
        cmocka_unit_test(localhost_is_never_asked_for),
        cmocka_unit_test(what_only_ends_like_localhost_is_a_name),
        cmocka_unit_test(a_name_that_cannot_be_is_not_asked_for),
        cmocka_unit_test(a_server_that_is_not_there_has_failed),
        cmocka_unit_test(a_silent_server_is_asked_for_the_number_of_tries),
        cmocka_unit_test(the_whole_time_is_kept_whatever_the_tries),
        cmocka_unit_test(a_job_is_done_on_the_thread_that_finishes),
        cmocka_unit_test(every_failure_has_a_reason_of_its_own),
        cmocka_unit_test(a_pool_stops_while_a_server_is_silent), /* last: its thread stays behind */
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
