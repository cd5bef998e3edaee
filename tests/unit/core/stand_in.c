#include "stand_in.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/packet.h"
#include "core/board.h"
#include "core/link.h"
#include "core/worker.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_MS 10000

static int behaves(const char *how)
{
    const char *wanted = getenv(STAND_IN);

    return wanted && !strcmp(wanted, how);
}

static void behave_badly(void)
{
    if (behaves("dies"))
        (void)kill(getpid(), SIGKILL);
    while (behaves("silent"))
        (void)pause();
}

/* --- roles --- */

static void tell(const struct arena_page *page, enum link_type type)
{
    if (link_send(FD_LINK, type, page->slot, page->generation, 0))
        _exit(1);
}

_Noreturn static void keeper_leaves(struct arena_page *page, enum arena_state state, enum link_type last_word)
{
    page->state = state;
    page->listening = 0;
    tell(page, last_word);
    _exit(0);
}

static void keeper_obeys(struct arena_page *page)
{
    if (page->order == ARENA_ORDER_STOP || page->order == ARENA_ORDER_DRAIN)
        keeper_leaves(page, ARENA_STATE_LEFT, LINK_LEFT);
    if (page->order == ARENA_ORDER_QUIET && page->listening) {
        page->listening = 0;
        tell(page, LINK_QUIET);
    }
}

_Noreturn static void keeper(void)
{
    struct arena arena = {.fd = FD_ARENA};
    struct arena_page *page;
    struct link_message message;
    int result;

    (void)signal(SIGUSR1, SIG_IGN);
    behave_badly();
    if (arena_page_map(FD_ARENA, &arena.page) || board_lay_over(FD_BOARD, &arena))
        _exit(1);
    page = arena.page;
    page->keeper_pid = getpid();
    if (behaves("fails"))
        keeper_leaves(page, ARENA_STATE_FAILED, LINK_FAILED);
    page->keeper_beat_ns = clock_monotonic_ns();
    page->listening = 1;
    page->state = ARENA_STATE_READY;
    tell(page, LINK_READY);
    for (;;) {
        struct pollfd wait = {.fd = FD_LINK, .events = POLLIN};

        keeper_obeys(page);
        (void)poll(&wait, 1, -1);
        while (!(result = link_receive(FD_LINK, &message)))
            ;
        if (result == ERR_CLOSED)
            _exit(0); /* the test is over */
    }
}

_Noreturn static void loader(void)
{
    struct core_snapshot_message message = {CORE_SNAPSHOT_MESSAGE, CORE_SNAPSHOT_VERSION, 12};
    int snapshot = fd_memfd("snapshot", 0, 0);

    behave_badly();
    if (behaves("fails"))
        _exit(1);
    if (behaves("rubbish"))
        message.type = 1;
    if (snapshot < 0 || fd_write_all(snapshot, STAND_IN_SNAPSHOT, strlen(STAND_IN_SNAPSHOT)))
        _exit(2);
    _exit(packet_send(3, &message, sizeof message, snapshot) ? 3 : 0);
}

/* --- whose children they are --- */

/* The pids of those who were reaped, from the parent to the test. (A pidfd would do, but valgrind knows none.) */
static int reaped[2] = {-1, -1};

/* Nobody is left behind: when the test has ended, the links of its keepers have too. */
_Noreturn static void reap_all(pid_t test)
{
    int status, code = 1;
    pid_t pid;

    while ((pid = waitpid(-1, &status, 0)) > 0 || errno == EINTR) {
        if (pid == test)
            code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        else if (pid > 0)
            (void)!write(reaped[1], &pid, sizeof pid);
    }
    _exit(code);
}

void stand_in_main(int count, char **arguments)
{
    pid_t test;

    if (count > 1 && !strcmp(arguments[1], "keeper"))
        keeper();
    if (count > 1 && !strcmp(arguments[1], "loader"))
        loader();
    if (pipe2(reaped, O_CLOEXEC))
        exit(1);
    test = fork();
    if (test > 0)
        reap_all(test);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
}

int stand_in_has_ended(pid_t pid)
{
    static pid_t known[1024]; /* ended, and nobody has asked for them yet */
    static unsigned count;
    struct pollfd wait = {.fd = reaped[0], .events = POLLIN};

    for (;;) {
        for (unsigned i = 0; i < count; i++)
            if (known[i] == pid) {
                known[i] = known[--count];
                return 1;
            }
        if (count == sizeof known / sizeof *known || poll(&wait, 1, PATIENCE_MS) != 1 ||
            read(reaped[0], &known[count], sizeof *known) != sizeof *known)
            return 0;
        count++;
    }
}

void stand_in_end(pid_t pid)
{
    assert_true(pid > 0);
    (void)kill(pid, SIGKILL);
    assert_true(stand_in_has_ended(pid));
}
