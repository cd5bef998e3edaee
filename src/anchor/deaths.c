/* Deaths: seen, told, reaped. */
#include "anchor/deaths.h"

#include <string.h>
#include <sys/wait.h>

static void deaths_forget_master(struct deaths *deaths, unsigned place)
{
    deaths->master_count--;
    memmove(&deaths->masters[place], &deaths->masters[place + 1],
            (deaths->master_count - place) * sizeof deaths->masters[0]);
}

static int deaths_find_master(const struct deaths *deaths, pid_t pid, unsigned *place)
{
    for (unsigned i = 0; i < deaths->master_count; i++) {
        if (deaths->masters[i] == pid) {
            *place = i;
            return 1;
        }
    }
    return 0;
}

static void deaths_reap(pid_t pid)
{
    siginfo_t info = {.si_pid = 0};
    (void)waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | __WALL);
}

void deaths_add_master(struct deaths *deaths, pid_t pid)
{
    if (deaths->master_count == DEATHS_MASTERS) {
        /* Not the open one: a master may be about to acknowledge it. */
        unsigned oldest = deaths->open_seq && deaths->masters[0] == deaths->pid ? 1 : 0;
        deaths_reap(deaths->masters[oldest]);
        deaths_forget_master(deaths, oldest);
    }
    deaths->masters[deaths->master_count++] = pid;
}

int deaths_open_next(struct deaths *deaths, uint64_t *seq)
{
    siginfo_t info = {.si_pid = 0};
    if (!deaths->open_seq && waitid(P_ALL, 0, &info, WEXITED | WNOWAIT | WNOHANG | __WALL) == 0 &&
        info.si_pid > 0) {
        deaths->open_seq = (*seq)++;
        deaths->pid = info.si_pid;
        deaths->code = info.si_code;
        deaths->status = info.si_status;
        deaths->told = 0;
    }
    return deaths->open_seq && !deaths->told;
}

int deaths_was_master(const struct deaths *deaths)
{
    unsigned place;
    return deaths_find_master(deaths, deaths->pid, &place);
}

int deaths_acknowledge(struct deaths *deaths, uint64_t seq)
{
    unsigned place;
    if (!deaths->open_seq || deaths->open_seq != seq)
        return ERR_NOT_FOUND;
    deaths_reap(deaths->pid);
    if (deaths_find_master(deaths, deaths->pid, &place))
        deaths_forget_master(deaths, place);
    deaths->open_seq = 0;
    return 0;
}

int deaths_look(pid_t pid, int *code, int *status)
{
    siginfo_t info = {.si_pid = 0};
    if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT | WNOHANG | __WALL) < 0 || info.si_pid != pid)
        return 0;
    *code = info.si_code;
    *status = info.si_status;
    return 1;
}
