#include "core/lister.h"

#include "base/clock.h"
#include "base/fd.h"
#include "core/launch.h"
#include "core/master.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { FD_CLIENT = 3, FD_CONFIG = 4, FD_ARENAS = 5 };

#define ARENAS_MAX (LAUNCH_FDS_MAX - 2)
#define LIFE_S 10    /* a client that does not take its answer is left */
#define COPY_TRIES 4 /* the worker changes a record while it is read */

/* --- the master's side --- */

int lister_start(struct master *master, int client_fd)
{
    char count[24];
    char *arguments[] = {"holdfast", "lister", count, NULL};
    struct launch launch = {.arguments = arguments, .drop_to = &master->settings};
    unsigned arenas = 0, place = 0;

    while (place < LISTERS_MAX && master->lister_pids[place])
        place++;
    if (place == LISTERS_MAX)
        return ERR_BUSY;
    launch_add_fd(&launch, client_fd, FD_CLIENT);
    launch_add_fd(&launch, master->snapshot_fd, FD_CONFIG);
    for (unsigned i = 0; i < MASTER_SLOTS_MAX && arenas < ARENAS_MAX; i++)
        if (master->slots[i].state->step == SLOT_RUN && master->slots[i].arena_fd >= 0)
            launch_add_fd(&launch, master->slots[i].arena_fd, FD_ARENAS + (int)arenas++);
    snprintf(count, sizeof count, "arenas=%u", arenas);
    return launch_start(&launch, &master->lister_pids[place]);
}

int lister_ended(struct master *master, pid_t pid)
{
    for (unsigned i = 0; i < LISTERS_MAX; i++)
        if (pid > 0 && master->lister_pids[i] == pid) {
            master->lister_pids[i] = 0;
            return 1;
        }
    return 0;
}

/* --- the process --- */

struct lister {
    const struct service *service;
    struct core_settings settings;
    struct arena arena;
    FILE *out;
    uint64_t now_ns;
    int any; /* something was listed already */
};

/* A copy of a record that nobody changed meanwhile, as far as can be seen. 1, or 0: it is none any more. */
static int copy_record(const struct record *record, struct record *copy)
{
    for (int i = 0; i < COPY_TRIES; i++) {
        uint32_t before = record->current;

        COMPILER_BARRIER();
        memcpy(copy, record, sizeof *copy);
        COMPILER_BARRIER();
        if (record->current == before && record->serial == copy->serial)
            break;
    }
    return copy->magic == RECORD_MAGIC && record_is_held(copy);
}

static void print_client(const struct lister *lister, const struct record *record)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    const uint8_t *address = record->client_address;
    char text[INET6_ADDRSTRLEN] = "";

    if (!record_has_address(record))
        fputs("\"unix\"", lister->out);
    else if (!memcmp(address, mapped, sizeof mapped) &&
             inet_ntop(AF_INET, address + sizeof mapped, text, sizeof text))
        fprintf(lister->out, "\"%s:%u\"", text, record->client_port);
    else if (inet_ntop(AF_INET6, address, text, sizeof text))
        fprintf(lister->out, "\"[%s]:%u\"", text, record->client_port);
}

/* Text of a configuration, or of a client that was checked; only quotes and the like need care. */
static void print_text(const struct lister *lister, const char *text)
{
    fputc('"', lister->out);
    for (; *text; text++)
        if (*text == '"' || *text == '\\' || (unsigned char)*text < 0x20)
            fprintf(lister->out, "\\u%04x", (unsigned char)*text);
        else
            fputc(*text, lister->out);
    fputc('"', lister->out);
}

static const char *kind_name(const struct record *record)
{
    static const char *const names[] = {
        [RECORD_TCP_ACCEPTED] = "tcp", [RECORD_TCP_CONNECTED] = "upstream", [RECORD_UNIX] = "unix"};

    return record->kind < sizeof names / sizeof *names && names[record->kind] ? names[record->kind]
                                                                              : "unknown";
}

/* The other connection of a pair, and who is there: the server, for a client. */
static void list_partner(struct lister *lister, uint32_t partner)
{
    struct record record;

    if (!partner || partner > arena_records_limit(&lister->arena) ||
        !copy_record(&lister->arena.records[partner - 1], &record)) {
        fputs(",\"partner\":null", lister->out);
        return;
    }
    fprintf(lister->out, ",\"partner\":{\"fd\":%u,\"address\":", partner - 1);
    print_client(lister, &record);
    fputc('}', lister->out);
}

static void list_record(struct lister *lister, uint32_t number)
{
    const struct conn_class *class;
    struct record record;
    struct conn_description description = {.state = "open"};

    if (!copy_record(&lister->arena.records[number], &record))
        return;
    class = record.class_tag < CONN_CLASSES_MAX ? lister->service->classes[record.class_tag] : NULL;
    if (class && class->describe)
        class->describe(&lister->arena, &record, &description);
    fprintf(lister->out, "%s{\"slot\":%u,\"generation\":%u,\"fd\":%u,\"client\":", lister->any ? "," : "",
            lister->arena.page->slot, lister->arena.page->generation, number);
    lister->any = 1;
    print_client(lister, &record);
    fputs(",\"listener\":", lister->out);
    print_text(lister, record.listener < lister->settings.listener_count
                           ? lister->settings.listeners[record.listener].text
                           : "");
    fprintf(lister->out,
            ",\"kind\":\"%s\",\"protocol\":\"%s\",\"state\":\"%s\",\"request\":", kind_name(&record),
            class ? class->name : "unknown", description.state);
    if (description.request[0])
        print_text(lister, description.request);
    else
        fputs("null", lister->out);
    list_partner(lister, description.partner);
    fprintf(lister->out, ",\"received\":%llu,\"sent\":%llu,\"age_s\":%.3f}", (unsigned long long)record.rx,
            (unsigned long long)record.tx,
            lister->now_ns > record.opened_ns ? (double)(lister->now_ns - record.opened_ns) / NS_PER_S : 0.0);
}

static void list_arena(struct lister *lister)
{
    uint32_t limit = arena_records_limit(&lister->arena);

    for (uint32_t number = 0; number < limit; number++)
        if (record_is_held(&lister->arena.records[number]))
            list_record(lister, number);
}

/* The slot of an arena that this build cannot read; its first page every build can. */
static void note_unreadable(int fd, char *text, size_t size)
{
    struct arena_page *page;
    size_t length = strlen(text);

    if (arena_page_map(fd, &page))
        return;
    snprintf(text + length, size - length, "%s{\"slot\":%u,\"generation\":%u}", length ? "," : "", page->slot,
             page->generation);
    arena_page_unmap(&page);
}

static void list_all(struct lister *lister, unsigned arenas)
{
    char unreadable[4096] = "";

    fputs("{\"ok\":true,\"result\":{\"connections\":[", lister->out);
    for (unsigned i = 0; i < arenas; i++) {
        if (arena_map(&lister->arena, FD_ARENAS + (int)i)) {
            note_unreadable(FD_ARENAS + (int)i, unreadable, sizeof unreadable);
            continue;
        }
        (void)mprotect(lister->arena.page, lister->arena.size, PROT_READ);
        list_arena(lister);
        arena_close(&lister->arena);
    }
    fprintf(lister->out, "],\"unreadable\":[%s]}}\n", unreadable);
}

int lister_run(const struct service *service, char **arguments)
{
    static struct lister lister;
    const char *count = arguments[2] ? strchr(arguments[2], '=') : NULL;
    unsigned long arenas = count ? strtoul(count + 1, NULL, 10) : 0;
    int flags = fcntl(FD_CLIENT, F_GETFL);

    (void)prctl(PR_SET_NAME, "holdfast-lister");
    (void)signal(SIGPIPE, SIG_IGN);
    (void)alarm(LIFE_S);
    lister = (struct lister){.service = service, .now_ns = clock_monotonic_ns()};
    if (arenas > ARENAS_MAX || flags < 0 || fcntl(FD_CLIENT, F_SETFL, flags & ~O_NONBLOCK) ||
        service->settings(FD_CONFIG, &lister.settings))
        return 1;
    lister.out = fdopen(FD_CLIENT, "w");
    if (!lister.out)
        return 1;
    list_all(&lister, (unsigned)arenas);
    return fclose(lister.out) ? 1 : 0;
}
