#include "master_rig.h"

#include "base/clock.h"
#include "base/fd.h"
#include "core/control.h"
#include "core/link.h"
#include "stand_in.h"
#include "unit.h"

#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PATIENCE_MS 10000

static struct master_rig *the_rig;
static char program[] = "holdfast", loader_role[] = "loader";
static char *loader_arguments[] = {program, loader_role, NULL};

static int read_settings(int snapshot_fd, struct core_settings *settings)
{
    (void)snapshot_fd;
    *settings = the_rig->settings;
    return the_rig->snapshot_result;
}

/* What a new process begins with. */
static void begin(struct master_rig *rig, struct master_state *state, uint64_t now_ns)
{
    struct anchor_link link = rig->master.anchor;
    struct board *board = rig->master.board;
    int board_fd = rig->master.board_fd;

    rig->master = (struct master){.service = &rig->service,
                                  .anchor = link,
                                  .state = state,
                                  .snapshot_fd = -1,
                                  .board_fd = board_fd,
                                  .shared_fd = -1,
                                  .board = board,
                                  .loader_fd = -1,
                                  .loader_arguments = loader_arguments,
                                  .now_ns = now_ns};
    rig->master.hello.anchor = getppid();
    rig->master.hello.self = getpid();
    for (int i = 0; i < CORE_LISTENERS_MAX; i++)
        for (int queue = 0; queue < CORE_WORKERS_MAX; queue++)
            rig->master.listener_fds[i][queue] = -1;
    for (unsigned i = 0; i < MASTER_SLOTS_MAX; i++) {
        rig->master.slots[i].state = &state->slots[i];
        slot_recover(&rig->master, &rig->master.slots[i]);
    }
}

void master_rig_open(struct master_rig *rig, enum master_phase phase)
{
    struct master_state *state =
        mmap(NULL, sizeof *state, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    assert_true(state != MAP_FAILED);
    the_rig = rig;
    *rig = (struct master_rig){
        .service = {.settings = read_settings},
        .settings = {.workers = 1, .threads = 1, .drain_ms = 30000, .log_level = LOG_ERROR + 1}};
    (void)unsetenv(STAND_IN);
    log_set_level(LOG_ERROR + 1);
    state->phase = phase;
    state->generation = 1;
    fake_anchor_open(&rig->anchor, &rig->master.anchor);
    rig->master.board_fd = board_create();
    assert_true(rig->master.board_fd >= 0);
    assert_int_equal(board_map(rig->master.board_fd, 1, &rig->master.board), 0);
    begin(rig, state, clock_monotonic_ns());
    rig->master.settings = rig->settings;
    rig->master.snapshot_fd = fd_memfd("snapshot", 0, 0);
    assert_true(rig->master.snapshot_fd >= 0);
}

static void drop_private(struct master_rig *rig)
{
    struct master *master = &rig->master;

    for (unsigned i = 0; i < MASTER_SLOTS_MAX; i++) {
        fd_close(&master->slots[i].arena_fd);
        fd_close(&master->slots[i].link_fd);
        master->slots[i].page = NULL;
    }
    for (int i = 0; i < CORE_LISTENERS_MAX; i++)
        for (int queue = 0; queue < CORE_WORKERS_MAX; queue++)
            fd_close(&master->listener_fds[i][queue]);
    fd_close(&master->loader_fd);
}

void master_rig_close(struct master_rig *rig)
{
    struct master_state *state = rig->master.state;

    control_stop(&rig->master);
    drop_private(rig);
    fd_close(&rig->master.snapshot_fd);
    for (unsigned i = 0; i < MASTER_SLOTS_MAX; i++)
        if (state->slots[i].keeper_pid > 0 && state->slots[i].keeper_pid != getpid())
            stand_in_end(state->slots[i].keeper_pid);
    fake_anchor_close(&rig->anchor, &rig->master.anchor);
    board_unmap(&rig->master.board);
    fd_close(&rig->master.board_fd);
    munmap(state, sizeof *state);
    (void)unsetenv(STAND_IN);
}

void master_rig_again(struct master_rig *rig)
{
    int snapshot = rig->master.snapshot_fd;
    struct control *control = rig->master.control;

    drop_private(rig);
    begin(rig, rig->master.state, rig->master.now_ns);
    rig->master.control = control; /* as if control_start had found it again */
    rig->master.snapshot_fd = snapshot;
    rig->master.settings = rig->settings;
}

/* --- slots --- */

void master_rig_hear(struct master_rig *rig, struct slot *slot)
{
    struct pollfd wait = {.fd = slot->link_fd, .events = POLLIN};

    assert_int_equal(poll(&wait, 1, PATIENCE_MS), 1);
    slot_read_link(&rig->master, slot);
}

void master_rig_reach(struct master_rig *rig, struct slot *slot, enum slot_step step)
{
    for (int turns = 0; slot->state->step != step; turns++) {
        assert_true(turns < 20);
        if (slot->state->step == SLOT_RUN && !slot->link_ended)
            master_rig_hear(rig, slot);
        slot_advance(&rig->master, slot);
    }
}

struct slot *master_rig_slot(struct master_rig *rig, unsigned index, int *keeper_end)
{
    struct slot *slot = &rig->master.slots[index];
    char name[WIRE_NAME_MAX + 1];
    struct arena arena;
    int pair[2];

    *slot->state = (struct slot_state){.step = SLOT_RUN,
                                       .generation = rig->master.state->generation,
                                       .number = index,
                                       .started_ns = rig->master.now_ns};
    assert_int_equal(arena_create(&arena, index, slot->state->generation, 256), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    snprintf(name, sizeof name, "arena:%u.%u", slot->state->generation, index);
    assert_int_equal(anchor_link_put(&rig->master.anchor, name, arena.fd), 0);
    snprintf(name, sizeof name, "link:%u.%u", slot->state->generation, index);
    assert_int_equal(anchor_link_put(&rig->master.anchor, name, pair[0]), 0);
    assert_int_equal(board_use(rig->master.board, rig->master.board_fd, index, arena.page), 0);
    arena_close(&arena);
    fd_close(&pair[0]);
    slot_recover(&rig->master, slot);
    assert_non_null(slot->page);
    slot->page->state = ARENA_STATE_READY;
    *keeper_end = pair[1];
    return slot;
}

/* --- listeners --- */

static struct core_listener *next_listener(struct master_rig *rig)
{
    return &rig->settings.listeners[rig->settings.listener_count++];
}

void master_rig_add_listener(struct master_rig *rig)
{
    struct core_listener *listener = next_listener(rig);
    struct sockaddr_in *address = (struct sockaddr_in *)&listener->address;

    *listener = (struct core_listener){.kind = CORE_LISTENER_IPV4, .length = sizeof *address};
    address->sin_family = AF_INET;
    address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    snprintf(listener->text, sizeof listener->text, "127.0.0.1:%zu", rig->settings.listener_count);
    rig->master.settings = rig->settings;
}

void master_rig_add_path(struct master_rig *rig, const char *path)
{
    struct core_listener *listener = next_listener(rig);
    struct sockaddr_un *address = (struct sockaddr_un *)&listener->address;

    *listener = (struct core_listener){.kind = CORE_LISTENER_UNIX, .length = sizeof *address};
    address->sun_family = AF_UNIX;
    snprintf(address->sun_path, sizeof address->sun_path, "%s", path);
    snprintf(listener->text, sizeof listener->text, "unix:%s", path);
    rig->master.settings = rig->settings;
}
