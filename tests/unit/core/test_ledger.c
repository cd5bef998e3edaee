/* The formulas of core/ledger.h in every state of a connection, on IPv4 and IPv6: what the kernel's counters say must
 * be what the test did. */
#include "core/ledger.h"

#include "base/fd.h"
#include "core/listeners.h"
#include "pair.h"
#include "unit.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static const int families[] = {AF_INET, AF_INET6};

static void assert_end(const struct end *end)
{
    struct ledger_counts counts = {0};

    assert_int_equal(ledger_tcp_counts(end->fd, end->connected, end->shut, &counts), 0);
    assert_int_equal(counts.rx, end->rx);
    if (!end->shut)
        assert_int_equal(counts.tx, end->tx);
    assert_int_equal(counts.tx_unknown, end->shut);
}

static void assert_both(const struct pair *pair)
{
    assert_end(&pair->client);
    assert_end(&pair->server);
}

/* Runs a scenario with each family that the machine has; IPv4 is a must. */
static void on_each_family(void (*scenario)(struct pair *pair))
{
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        struct pair pair;

        if (pair_open(&pair, families[i])) {
            assert_int_not_equal(families[i], AF_INET);
            continue;
        }
        assert_both(&pair);
        scenario(&pair);
        pair_close(&pair);
    }
}

static void data(struct pair *pair)
{
    end_send(&pair->client, 1000, 0);
    end_await_unread(&pair->server, 1000);
    assert_both(pair);
    end_receive(&pair->server, 1);
    assert_both(pair);
    end_receive(&pair->server, 998);
    assert_both(pair);
    end_send(&pair->server, 50000, 0);
    assert_both(pair);
    end_receive(&pair->client, 12345);
    assert_both(pair);
    end_receive(&pair->server, 1);
    end_receive(&pair->client, 50000 - 12345);
    assert_both(pair);
}

static void bytes_read_and_unread_are_told_apart(void **state)
{
    (void)state;
    on_each_family(data);
}

static void full(struct pair *pair)
{
    end_send_all(&pair->server);
    assert_true(pair->server.tx > 100000);
    assert_both(pair); /* most of it not acknowledged, some of it not even sent: the window is closed */
    end_receive(&pair->client, 100000);
    assert_both(pair);
    end_receive(&pair->client, (size_t)(pair->server.tx - 100000));
    assert_both(pair);
}

static void bytes_behind_a_closed_window_count_as_sent(void **state)
{
    (void)state;
    on_each_family(full);
}

static void peer_shuts_first(struct pair *pair)
{
    end_send(&pair->client, 100, 0);
    end_shut(&pair->client);
    end_await(&pair->server, POLLRDHUP); /* CLOSE_WAIT with 100 bytes unread */
    assert_both(pair);
    end_receive(&pair->server, 99);
    assert_both(pair);
    end_receive(&pair->server, 1); /* only the FIN is left */
    assert_both(pair);
    end_receive_fin(&pair->server);
    assert_both(pair);
    end_send(&pair->server, 777, 0); /* an answer to a half-closed peer */
    end_receive(&pair->client, 700);
    assert_both(pair);
    end_receive(&pair->client, 77);
    end_shut(&pair->server);
    end_receive_fin(&pair->client);
    assert_both(pair);
    end_await_state(&pair->server, TCP_CLOSE); /* through LAST_ACK */
    assert_both(pair);
}

static void a_fin_of_the_peer_is_no_byte(void **state)
{
    (void)state;
    on_each_family(peer_shuts_first);
}

static void we_shut_first(struct pair *pair)
{
    end_send(&pair->server, 10, 0);
    end_shut(&pair->server);
    end_await_state(&pair->server, TCP_FIN_WAIT2);
    end_send(&pair->client, 300, 0);
    end_await_unread(&pair->server, 300);
    assert_both(pair);
    end_receive(&pair->server, 100);
    assert_both(pair);
    end_shut(&pair->client);
    end_await_state(&pair->server, TCP_CLOSE); /* TIME_WAIT, of which our socket knows nothing */
    assert_both(pair);                         /* with 200 bytes unread before the FIN */
    end_receive(&pair->server, 200);
    assert_both(pair);
    end_receive_fin(&pair->server);
    assert_both(pair);
}

static void our_own_fin_leaves_what_was_received_exact(void **state)
{
    (void)state;
    on_each_family(we_shut_first);
}

static void reset_without_fin(struct pair *pair)
{
    end_send(&pair->client, 70, 0);
    end_send(&pair->server, 50, 0);
    end_receive(&pair->server, 70);
    end_reset(&pair->client);
    end_await(&pair->server, POLLHUP);
    assert_end(&pair->server);
    assert_end(&pair->server); /* asking does not change the answer, though it takes the pending error */
}

static void a_reset_is_no_byte(void **state)
{
    (void)state;
    on_each_family(reset_without_fin);
}

static void reset_with_unread(struct pair *pair)
{
    end_send(&pair->client, 70, 0);
    end_receive(&pair->server, 30);
    end_await_unread(&pair->server, 40);
    end_send(&pair->server, 50, 0);
    end_reset(&pair->client);
    end_await(&pair->server, POLLHUP);
    assert_end(&pair->server);
    end_receive(&pair->server, 40); /* they can still be read */
    assert_end(&pair->server);
}

static void a_reset_behind_unread_bytes_keeps_them_exact(void **state)
{
    (void)state;
    on_each_family(reset_with_unread);
}

static void fin_then_reset(struct pair *pair)
{
    end_send(&pair->client, 25, 0);
    end_shut(&pair->client);
    end_await(&pair->server, POLLRDHUP);
    end_receive(&pair->server, 5);
    end_send(&pair->server, 50, 0);
    end_await_unread(&pair->client, 50);
    end_reset(&pair->client); /* unread bytes there: a RST after the FIN */
    end_await(&pair->server, POLLHUP);
    end_await_state(&pair->server, TCP_CLOSE);
    assert_end(&pair->server);
    end_receive(&pair->server, 20);
    assert_end(&pair->server);
}

static void a_fin_counts_once_also_if_a_reset_follows(void **state)
{
    (void)state;
    on_each_family(fin_then_reset);
}

static void urgent(struct pair *pair)
{
    end_send(&pair->client, 10, 0);
    end_send(&pair->client, 1, 1);
    end_send(&pair->client, 20, 0);
    end_await_unread(&pair->server, 31);
    assert_both(pair);
    end_receive(&pair->server, 10); /* up to the mark */
    assert_both(pair);
    end_receive(&pair->server, 1);
    assert_both(pair);
    end_receive(&pair->server, 20);
    assert_both(pair);
    end_send(&pair->server, 1, 1);
    end_receive(&pair->client, 1);
    assert_both(pair);
}

static void an_urgent_byte_is_a_byte(void **state)
{
    (void)state;
    on_each_family(urgent);
}

static void random_steps(struct pair *pair)
{
    srand(11);
    for (int i = 0; i < 3000; i++) {
        struct end *from = rand() % 2 ? &pair->client : &pair->server;
        struct end *to = from == &pair->client ? &pair->server : &pair->client;
        uint64_t waiting = from->tx - to->rx;

        if (waiting > 60000 || (waiting && rand() % 2))
            end_receive(to, 1 + (size_t)rand() % waiting);
        else
            end_send(from, 1 + (size_t)rand() % 5000, rand() % 20 == 0);
        assert_both(pair);
    }
}

static void no_order_of_sending_and_receiving_shifts_the_counts(void **state)
{
    (void)state;
    on_each_family(random_steps);
}

/* A listener that drops SYNs: the client stays in SYN_SENT. */
static void in_syn_sent_nothing_was_sent(void **state)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof address;
    struct ledger_counts counts = {0};
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    (void)state;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, length), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &length), 0);
    assert_int_equal(listen(listener, 1), 0);
    listener_steer_away(listener);
    assert_int_equal(connect(client, (struct sockaddr *)&address, length), -1);
    assert_int_equal(errno, EINPROGRESS);
    assert_int_equal(ledger_tcp_counts(client, 1, 0, &counts), 0);
    assert_int_equal(counts.state, TCP_SYN_SENT);
    assert_int_equal(counts.rx, 0);
    assert_int_equal(counts.tx, 0);
    fd_close(&client);
    fd_close(&listener);
}

static void what_is_no_tcp_socket_has_no_counts(void **state)
{
    struct ledger_counts counts;
    struct pair pair;
    (void)state;

    assert_int_equal(pair_open(&pair, AF_UNIX), 0);
    assert_true(ledger_tcp_counts(pair.client.fd, 0, 0, &counts) < 0);
    pair_close(&pair);
    assert_int_equal(ledger_tcp_counts(-1, 0, 0, &counts), ERR_INVALID);
}

static void the_self_test_trusts_this_kernel_and_leaves_nothing_open(void **state)
{
    char what[256] = "untouched";
    int before = dup(0), after;
    (void)state;

    fd_close(&before);
    before = dup(0);
    assert_int_equal(ledger_self_test(what, sizeof what), 0);
    assert_string_equal(what, "");
    after = dup(0);
    assert_int_equal(after, before + 1);
    fd_close(&after);
    fd_close(&before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_read_and_unread_are_told_apart),
        cmocka_unit_test(bytes_behind_a_closed_window_count_as_sent),
        cmocka_unit_test(a_fin_of_the_peer_is_no_byte),
        cmocka_unit_test(our_own_fin_leaves_what_was_received_exact),
        cmocka_unit_test(a_reset_is_no_byte),
        cmocka_unit_test(a_reset_behind_unread_bytes_keeps_them_exact),
        cmocka_unit_test(a_fin_counts_once_also_if_a_reset_follows),
        cmocka_unit_test(an_urgent_byte_is_a_byte),
        cmocka_unit_test(no_order_of_sending_and_receiving_shifts_the_counts),
        cmocka_unit_test(in_syn_sent_nothing_was_sent),
        cmocka_unit_test(what_is_no_tcp_socket_has_no_counts),
        cmocka_unit_test(the_self_test_trusts_this_kernel_and_leaves_nothing_open),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
