/* Starting, hearing, pinging and burying masters. */
#include "anchor/masters.h"

#include "anchor/requests.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/packet.h"
#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MASTERS_OOM_SCORE "-900" /* nearly the last to be killed for memory, the anchor itself excepted */
#define MASTERS_LAST_WORDS 1024  /* read at most so many messages of a dead master */

/* In the new process: becomes the master. Everything that the anchor changed about itself is undone. */
static _Noreturn void masters_exec(const struct anchor *anchor, int link, int image, const char *name)
{
    sigset_t none;
    for (int number = 1; number <= 64; number++)
        signal(number, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    /* The terminal's signals come to the anchor, which forwards them; a Ctrl-C must not kill the master. */
    setsid();
    setrlimit(RLIMIT_NOFILE, &anchor->descriptor_limit);
    int score = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (score >= 0 && write(score, MASTERS_OOM_SCORE, sizeof MASTERS_OOM_SCORE - 1) < 0)
        errno = 0; /* not permitted: then the master is like anybody else */
    fd_close(&score);
    /* Either may sit where the other has to go. All descriptors but 0, 1, 2 and the link close on exec. */
    image = fcntl(image, F_DUPFD_CLOEXEC, WIRE_MASTER_FD + 1);
    link = fcntl(link, F_DUPFD_CLOEXEC, WIRE_MASTER_FD + 1);
    if (image >= 0 && link >= 0 && dup2(link, WIRE_MASTER_FD) >= 0)
        execveat(image, "", anchor->master_argv, environ, AT_EMPTY_PATH);
    log_event(LOG_ERROR, LOG_EV_MASTER_FAILED, "step=exec image=%s errno=%d", name, errno);
    _exit(127);
}

int masters_start(struct anchor *anchor, struct master *master, const char *image)
{
    int pair[2];
    struct named *named = names_find(&anchor->names, image);
    MUST(master->pid == 0);
    if (!named)
        return ERR_NOT_FOUND;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return err_from_errno(errno);
    pid_t pid = fork();
    if (pid == 0)
        masters_exec(anchor, pair[1], named->fd, named->name);
    int error = pid < 0 ? err_from_errno(errno) : 0;
    fd_close(&pair[1]);
    if (error) {
        fd_close(&pair[0]);
        return error;
    }
    *master = (struct master){.pid = pid, .link = pair[0], .serial = ++anchor->started};
    master->started_ns = clock_monotonic_ns();
    memcpy(master->image, named->name, sizeof master->image);
    return 0;
}

/* Whoever takes command has not been told anything yet. */
static void masters_start_planned(struct anchor *anchor, uint64_t wait_ms, uint64_t now_ns)
{
    anchor->start_ns = now_ns + wait_ms * NS_PER_MS;
    anchor->deaths.told = 0;
    anchor->signals.told = 0;
}

static void masters_give_up(struct anchor *anchor)
{
    log_event(LOG_ERROR, LOG_EV_MASTER_FAILED,
              "step=start deaths_in_row=%u reason=\"no master could be kept alive, giving up\"",
              anchor->restart.deaths_in_row);
    anchor->leaving = 1;
    anchor->exit_code = ANCHOR_EXIT_GAVE_UP;
}

void masters_start_command(struct anchor *anchor, uint64_t now_ns)
{
    int error = masters_start(anchor, &anchor->masters[anchor->command], anchor->good);
    if (!error) {
        anchor->epoch++;
        anchor->start_ns = 0;
        return;
    }
    uint64_t wait_ms = restart_after_death(&anchor->restart, now_ns, now_ns);
    log_event(LOG_ERROR, LOG_EV_MASTER_FAILED, "step=start error=%s next_in_ms=%llu", err_name(error),
              (unsigned long long)wait_ms);
    masters_start_planned(anchor, wait_ms, now_ns);
    if (restart_hopeless(&anchor->restart, signals_stop_asked(&anchor->signals)))
        masters_give_up(anchor);
}

int masters_send(struct master *master, enum wire_type type, uint64_t serial, const void *payload,
                 uint32_t length, int fd)
{
    uint8_t packet[WIRE_PACKET_MAX];
    MUST(length <= WIRE_PAYLOAD_MAX);
    if (master->link < 0)
        return ERR_CLOSED;
    wire_header_put(packet, type, length, serial);
    if (length)
        memcpy(packet + WIRE_HEADER_SIZE, payload, length);
    int error = packet_send(master->link, packet, WIRE_HEADER_SIZE + length, fd);
    if (error == ERR_AGAIN)
        master->full = 1;
    return error;
}

/* Whether an answer would find room. A request is only read when it does, so no answer is ever kept here. */
static int masters_has_room(const struct master *master)
{
    struct pollfd room = {.fd = master->link, .events = POLLOUT};
    return poll(&room, 1, 0) > 0;
}

unsigned masters_read(struct anchor *anchor, struct master *master, unsigned limit)
{
    static uint8_t bytes[WIRE_PACKET_MAX];
    struct packet packet;
    unsigned count = 0;
    while (count < limit && master->link >= 0 && !anchor->leaving) {
        master->full = !masters_has_room(master);
        if (master->full)
            break;
        int error = packet_receive(master->link, bytes, sizeof bytes, &packet);
        if (error == ERR_AGAIN)
            break;
        count++;
        if (error == ERR_CLOSED) {
            /* Most likely it is just dying; if it lives on without a link, the next tick ends it. */
            fd_close(&master->link);
            master->missed = ANCHOR_PINGS_MISSED_MAX;
            break;
        }
        if (!error)
            error = requests_handle(anchor, master, bytes, &packet);
        if (error)
            masters_doom(master, LOG_EV_PROTOCOL_ERROR,
                         error == ERR_PROTOCOL ? "its packet is no message of this protocol"
                                               : err_text(error));
        else
            master->missed = 0;
    }
    return count;
}

void masters_doom(struct master *master, enum log_event event, const char *why)
{
    if (master->doomed)
        return;
    MUST(master->pid > 1);
    log_event(LOG_ERROR, event, "master=%d image=%s reason=\"%s\"", (int)master->pid, master->image, why);
    kill(master->pid, SIGKILL);
    master->doomed = 1;
    fd_close(&master->link);
}

static void masters_bury(struct anchor *anchor, struct master *master, int code, int status, uint64_t now_ns)
{
    char cause[PROCESS_CAUSE_SIZE];
    struct master dead = *master;
    int in_command = master == &anchor->masters[anchor->command];
    uint64_t wait_ms = 0;

    process_cause_text(code, status, cause, sizeof cause);
    fd_close(&master->link);
    *master = (struct master){.link = -1};
    deaths_add_master(&anchor->deaths, dead.pid);
    if (in_command) {
        wait_ms = restart_after_death(&anchor->restart, dead.started_ns, now_ns);
        masters_start_planned(anchor, wait_ms, now_ns);
    }
    log_event(LOG_WARN, LOG_EV_MASTER_DIED,
              "master=%d cause=\"%s\" image=%s command=%s lived_ms=%llu next_in_ms=%llu", (int)dead.pid,
              cause, dead.image, in_command ? "yes" : "no",
              (unsigned long long)((now_ns - dead.started_ns) / NS_PER_MS), (unsigned long long)wait_ms);
    if (in_command && restart_hopeless(&anchor->restart, signals_stop_asked(&anchor->signals)))
        masters_give_up(anchor);
}

void masters_check(struct anchor *anchor, uint64_t now_ns)
{
    int code = 0, status = 0;
    for (unsigned i = 0; i < ANCHOR_MASTERS; i++) {
        struct master *master = &anchor->masters[i];
        if (!master->pid || !deaths_look(master->pid, &code, &status))
            continue;
        /* What it asked for before it died counts, also EXIT and COMMAND. */
        masters_read(anchor, master, MASTERS_LAST_WORDS);
        if (anchor->leaving)
            return;
        masters_bury(anchor, master, code, status, now_ns);
    }
}

void masters_tick(struct anchor *anchor, int late)
{
    for (unsigned i = 0; i < ANCHOR_MASTERS; i++) {
        struct master *master = &anchor->masters[i];
        if (!master->pid || master->doomed)
            continue;
        if (!late && (!master->greeted || master->ping_open || master->link < 0))
            master->missed++;
        if (master->missed) {
            char state = process_state(master->pid);
            if (state == 'T' || state == 't')
                master->missed = 0; /* somebody stopped it and will let it go on, or has it in a debugger */
        }
        if (master->missed >= ANCHOR_PINGS_MISSED_MAX) {
            masters_doom(master, LOG_EV_MASTER_SILENT,
                         master->link < 0 ? "it closed its link" : "it missed its pings");
        } else if (master->greeted && !master->ping_open) {
            uint8_t number[8];
            wire_put_u64(number, master->ping + 1);
            if (masters_send(master, WIRE_PING, 0, number, sizeof number, -1) == 0) {
                master->ping++;
                master->ping_open = 1;
            } else {
                master->missed += late ? 0 : 1; /* it does not read: as bad as no answer */
            }
        }
    }
}

struct master *masters_find(struct anchor *anchor, pid_t pid)
{
    for (unsigned i = 0; i < ANCHOR_MASTERS; i++)
        if (pid > 0 && anchor->masters[i].pid == pid)
            return &anchor->masters[i];
    return NULL;
}
