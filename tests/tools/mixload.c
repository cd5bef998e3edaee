/* mixload: HTTP clients that notice everything, and a hand that kills workers meanwhile. See mixload.h.
 *
 * Prints the result to standard output, one JSON object with --json; faults as they happen to standard error.
 * Exit 0: no fault; 1: faults; 2: wrong usage or the load itself could not run. */
#include "tools/mixload.h"
#include "tools/options.h"
#include "tools/victim.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#define TICK_NS (4 * MS)
#define FRESH_SLOTS 1024
#define CONNECTING_MAX 256 /* idle clients under way at once: stays below any listen backlog */
#define ASKING_MAX 1024

static const char usage[] =
    "usage: mixload --target ADDR [--target ADDR]... [options]\n"
    "  --target ADDR         127.0.0.1:PORT, [::1]:PORT or unix:PATH; clients take them in turn\n"
    "  --keepalive N         clients that ask for small documents, single and pipelined, split anywhere\n"
    "  --downloads N         clients that read a large document slowly   --download-rate BYTES/S\n"
    "  --posts N             clients that drip hashed bodies             --post-rate BYTES/S\n"
    "  --fresh R             new connections each second\n"
    "  --idle N              clients that ask at the start and again at the end, on the same socket\n"
    "  --seconds S           length of the load (default 5)\n"
    "  --think-ms MS         longest pause between two bursts of a keepalive client (default 100)\n"
    "  --stall-ms MS         no progress for so long is a fault (default 10000)\n"
    "  --seed S              the same seed asks the same things\n"
    "  --kill-worker PID,... keepers whose worker is killed, in turn     --kill-every-ms MS (default 50)\n"
    "  --kill-all-at-end     kill all those workers at once before the idle clients ask again\n"
    "  --wait-line           stop for a line on standard input when the idle clients are open (prints\n"
    "                        \"idle open N\"), and after --kill-all-at-end (prints \"killed COUNT at NS\")\n"
    "  --make-files DIR      make the documents in DIR and exit\n"
    "  --json                print one JSON object\n";

static void parse_keepers(struct options *options, char *list)
{
    for (char *word = strtok(list, ","); word && options->keeper_count < KEEPER_MAX; word = strtok(NULL, ","))
        options->keepers[options->keeper_count++] = (pid_t)strtol(word, NULL, 10);
}

static int option_call(void *into, const char *name, char *value)
{
    struct options *options = into;
    if (strcmp(name, "kill-worker") == 0) {
        parse_keepers(options, value);
        return options->keeper_count > 0 ? 0 : -1;
    }
    if (options->target_count == TARGET_MAX)
        return -1;
    return target_parse(value, &options->targets[options->target_count++]);
}

#define AT(field) offsetof(struct options, field)
#define CLIENTS(role) (AT(clients) + (role) * sizeof(uint64_t))

static const struct option_entry option_table[] = {
    {"target", OPTION_CALL, 0, 0},
    {"kill-worker", OPTION_CALL, 0, 0},
    {"keepalive", OPTION_NUMBER, CLIENTS(ROLE_KEEPALIVE), 1},
    {"downloads", OPTION_NUMBER, CLIENTS(ROLE_DOWNLOAD), 1},
    {"posts", OPTION_NUMBER, CLIENTS(ROLE_POST), 1},
    {"fresh", OPTION_NUMBER, CLIENTS(ROLE_FRESH), 1},
    {"idle", OPTION_NUMBER, CLIENTS(ROLE_IDLE), 1},
    {"seconds", OPTION_NUMBER, AT(seconds), 1},
    {"download-rate", OPTION_NUMBER, AT(download_rate), 1},
    {"post-rate", OPTION_NUMBER, AT(post_rate), 1},
    {"think-ms", OPTION_NUMBER, AT(think_ns), MS},
    {"stall-ms", OPTION_NUMBER, AT(stall_ns), MS},
    {"seed", OPTION_NUMBER, AT(seed), 1},
    {"kill-every-ms", OPTION_NUMBER, AT(kill_every_ns), MS},
    {"kill-all-at-end", OPTION_FLAG, AT(kill_all_at_end), 0},
    {"wait-line", OPTION_FLAG, AT(wait_for_line), 0},
    {"json", OPTION_FLAG, AT(json), 0},
    {"make-files", OPTION_TEXT, AT(make_files), 0},
    {NULL, OPTION_LAST, 0, 0},
};

static int options_parse(struct options *options, int argc, char **argv)
{
    *options = (struct options){.seconds = 5,
                                .download_rate = 800000,
                                .post_rate = 50000,
                                .stall_ns = 10000 * MS,
                                .think_ns = 100 * MS,
                                .seed = 1,
                                .kill_every_ns = 50 * MS};
    if (options_read(argc, argv, option_table, options, option_call) != argc || options->post_rate == 0)
        return -1;
    return options->target_count > 0 || options->make_files ? 0 : -1;
}

static int load_init(struct load *load)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    signal(SIGPIPE, SIG_IGN);

    const uint64_t *wanted = load->options.clients;
    uint64_t counts[ROLE_COUNT];
    for (int role = 0; role < ROLE_COUNT; role++) {
        counts[role] = role == ROLE_FRESH && wanted[role] ? FRESH_SLOTS : wanted[role];
        load->client_count += counts[role];
    }
    if (load->client_count + 16 > limit.rlim_cur) {
        fprintf(stderr, "mixload: %zu clients need more descriptors than the limit of %llu\n",
                load->client_count, (unsigned long long)limit.rlim_cur);
        return -1;
    }
    load->random.state = load->options.seed;
    load->clients = calloc(load->client_count + 1, sizeof *load->clients);
    load->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!load->clients || load->epoll < 0)
        return -1;
    struct client *client = load->clients;
    for (int role = 0; role < ROLE_COUNT; role++) {
        for (unsigned number = 0; number < counts[role]; number++, client++) {
            client->role = (enum role)role;
            client->number = number;
            client->fd = -1;
            client->target = &load->options.targets[number % load->options.target_count];
        }
    }
    load->now_ns = load_clock_ns();
    return 0;
}

static void load_fini(struct load *load)
{
    for (size_t i = 0; i < load->client_count; i++)
        free(load->clients[i].out);
    free(load->clients);
    close(load->epoll);
}

/* Waits for events up to `until_ns` and handles them. */
static void load_wait(struct load *load, uint64_t until_ns)
{
    struct epoll_event events[256];
    load->now_ns = load_clock_ns();
    int timeout_ms = until_ns > load->now_ns ? (int)((until_ns - load->now_ns) / MS) + 1 : 0;
    int count = epoll_wait(load->epoll, events, 256, timeout_ms);
    load->now_ns = load_clock_ns();
    for (int i = 0; i < count; i++) {
        struct client *client = events[i].data.ptr;
        if (client->state != CLIENT_UNUSED)
            client_on_event(load, client, events[i].events);
    }
}

/* A client stalls when something is owed to it, or it to the server, and nothing has moved for too long. A
 * download owes its progress only as fast as it reads. */
static void check_stalls(struct load *load)
{
    for (size_t i = 0; i < load->client_count; i++) {
        struct client *client = &load->clients[i];
        if (client->state == CLIENT_UNUSED || load->now_ns < client->progress_ns + load->options.stall_ns)
            continue;
        if (client->state == CLIENT_CONNECTING)
            client_fail(load, client, FAULT_STALL, "while connecting");
        else if (client->server_ends)
            client_fail(load, client, FAULT_LATE_END, "the connection is still open");
        else if (!client_is_quiet(client))
            client_fail(load, client, FAULT_STALL, "while answers are owed");
        else
            client->progress_ns = load->now_ns;
    }
}

/* Gives every client whose time has come its turn; makes connections again that were lost. */
static void give_turns(struct load *load, enum role first, enum role last)
{
    for (size_t i = 0; i < load->client_count; i++) {
        struct client *client = &load->clients[i];
        if (client->role < first || client->role > last || client->act_ns == 0 ||
            client->act_ns > load->now_ns)
            continue;
        if (client->state == CLIENT_OPEN) {
            role_on_time(load, client);
        } else if (client->state == CLIENT_UNUSED && client->role != ROLE_FRESH) {
            client_open(load, client);
        }
    }
}

static void start_fresh(struct load *load, uint64_t *due_ns)
{
    uint64_t interval_ns = 1000 * MS / load->options.clients[ROLE_FRESH];
    size_t i = load->client_count - load->options.clients[ROLE_IDLE] - FRESH_SLOTS;
    for (size_t end = i + FRESH_SLOTS; i < end && *due_ns <= load->now_ns; i++) {
        struct client *client = &load->clients[i];
        if (client->state != CLIENT_UNUSED)
            continue;
        client_open(load, client);
        *due_ns += interval_ns;
    }
}

/* Kills the worker of the next keeper in turn; a keeper that has none yet, or only the one that is already
 * dying, is skipped. */
static void kill_next(struct load *load)
{
    static size_t turn;
    static pid_t last[KEEPER_MAX];
    size_t which = turn++ % load->options.keeper_count;
    pid_t worker = victim_worker(load->options.keepers[which]);
    int done = worker > 0 && worker != last[which] && kill(worker, SIGKILL) == 0;
    if (done)
        last[which] = worker;
    report_kill(done);
}

static void run_load(struct load *load)
{
    uint64_t end_ns = load->now_ns + load->options.seconds * 1000 * MS;
    uint64_t kill_ns = load->now_ns + load->options.kill_every_ns, stalls_ns = 0, fresh_ns = load->now_ns;
    for (size_t i = 0; i < load->client_count; i++) {
        if (load->clients[i].role > ROLE_POST)
            continue;
        client_open(load, &load->clients[i]);
    }
    while (load->now_ns < end_ns) {
        load_wait(load, load->now_ns + TICK_NS);
        give_turns(load, ROLE_KEEPALIVE, ROLE_POST);
        if (load->options.clients[ROLE_FRESH] > 0)
            start_fresh(load, &fresh_ns);
        if (load->options.keeper_count > 0 && load->options.kill_every_ns && load->now_ns >= kill_ns) {
            kill_next(load);
            kill_ns = load->now_ns + load->options.kill_every_ns;
        }
        if (load->now_ns >= stalls_ns) {
            check_stalls(load);
            stalls_ns = load->now_ns + 200 * MS;
        }
    }
}

/* Everybody finishes what runs; downloads are cut off, they have no end. */
static void end_load(struct load *load)
{
    size_t idle = 0;
    load->is_ending = 1;
    for (size_t i = 0; i < load->client_count; i++) {
        struct client *client = &load->clients[i];
        if (client->role == ROLE_IDLE)
            idle += client->state != CLIENT_UNUSED;
        else if (client->role == ROLE_DOWNLOAD || client->state != CLIENT_OPEN)
            client_close(load, client);
        else if (client->role == ROLE_KEEPALIVE && client->act_ns == 0 && client_is_quiet(client))
            client->act_ns = load->now_ns;
    }
    while (load->open_count > idle) {
        load_wait(load, load->now_ns + TICK_NS);
        give_turns(load, ROLE_KEEPALIVE, ROLE_POST);
        check_stalls(load);
    }
}

/* Runs `step` over all idle clients, never more than `at_once` with something owed, until all are quiet. */
static void idle_each(struct load *load, size_t at_once, void (*step)(struct load *, struct client *))
{
    size_t count = load->options.clients[ROLE_IDLE];
    struct client *first = load->clients + load->client_count - count;
    size_t begun = 0, settled = 0;
    while (settled < count) {
        while (begun < count && begun < settled + at_once)
            step(load, &first[begun++]);
        load_wait(load, load->now_ns + TICK_NS);
        give_turns(load, ROLE_IDLE, ROLE_IDLE);
        check_stalls(load);
        while (settled < begun) {
            struct client *client = &first[settled];
            int trying = client->state == CLIENT_CONNECTING || client->act_ns != 0;
            if (trying || (client->state == CLIENT_OPEN && !client_is_quiet(client)))
                break;
            settled++;
        }
    }
}

static void idle_ask(struct load *load, struct client *client)
{
    if (client->state == CLIENT_OPEN)
        role_ask_idle(load, client);
}

static void wait_for_line(const struct load *load)
{
    int c;
    fflush(stdout);
    if (load->options.wait_for_line) {
        do {
            c = getchar();
        } while (c != '\n' && c != EOF);
    }
}

static void kill_all(struct load *load, struct report_times *times)
{
    pid_t workers[KEEPER_MAX];
    for (size_t i = 0; i < load->options.keeper_count; i++)
        workers[i] = victim_worker(load->options.keepers[i]);
    times->idle_kill_ns = load_clock_ns();
    for (size_t i = 0; i < load->options.keeper_count; i++)
        times->idle_kill_count += workers[i] > 0 && kill(workers[i], SIGKILL) == 0;
    if (load->options.wait_for_line)
        printf("killed %llu at %llu\n", (unsigned long long)times->idle_kill_count,
               (unsigned long long)times->idle_kill_ns);
    wait_for_line(load);
}

static void finish_idle(struct load *load, struct report_times *times)
{
    if (load->options.kill_all_at_end)
        kill_all(load, times);
    uint64_t asked_ns = load_clock_ns();
    idle_each(load, ASKING_MAX, idle_ask);
    times->idle_all_answered_ns = load->now_ns - asked_ns;
    for (size_t i = 0; i < load->client_count; i++) {
        if (load->clients[i].state == CLIENT_OPEN)
            client_finish(load, &load->clients[i]);
    }
}

int main(int argc, char **argv)
{
    struct load load = {0};
    struct report_times times = {0};
    if (options_parse(&load.options, argc, argv) != 0) {
        fputs(usage, stderr);
        return 2;
    }
    documents_init();
    if (load.options.make_files) {
        if (documents_make(load.options.make_files) == 0)
            return 0;
        fprintf(stderr, "mixload: cannot make the documents in %s: %s\n", load.options.make_files,
                strerror(errno));
        return 2;
    }
    if (load_init(&load) != 0)
        return 2;
    if (load.options.clients[ROLE_IDLE] > 0) {
        idle_each(&load, CONNECTING_MAX, client_open);
        if (load.options.wait_for_line)
            printf("idle open %zu\n", load.open_count);
        wait_for_line(&load);
    }
    uint64_t begin_ns = load_clock_ns();
    load.now_ns = begin_ns;
    run_load(&load);
    times.load_ns = load_clock_ns() - begin_ns;
    end_load(&load);
    if (load.options.clients[ROLE_IDLE] > 0)
        finish_idle(&load, &times);
    report_print(&load, &times);
    load_fini(&load);
    return report_faults() > 0 ? 1 : 0;
}
