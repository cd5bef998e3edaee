/* Signals, kept until acknowledged. */
#include "anchor/signals.h"

#include "base/assert.h"
#include "base/log.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define SIGNALS_BIT(number) (1ULL << ((number)-1))

int signals_init(struct signals *signals)
{
    sigset_t blocked;
    *signals = (struct signals){.fd = -1};
    /* An inherited SIG_IGN would make the kernel reap our children by itself. */
    if (signal(SIGCHLD, SIG_DFL) == SIG_ERR)
        return err_from_errno(errno);
    sigfillset(&blocked);
    sigdelset(&blocked, SIGTSTP);
    sigdelset(&blocked, SIGTTIN);
    sigdelset(&blocked, SIGTTOU);
    /* A log at its size limit is not a reason to do anything; blocked it would come with every line. */
    sigdelset(&blocked, SIGXFSZ);
    (void)signal(SIGXFSZ, SIG_IGN);
    if (sigprocmask(SIG_SETMASK, &blocked, NULL) < 0)
        return err_from_errno(errno);
    signals->fd = signalfd(-1, &blocked, SFD_CLOEXEC | SFD_NONBLOCK);
    return signals->fd < 0 ? err_from_errno(errno) : 0;
}

void signals_read(struct signals *signals)
{
    struct signalfd_siginfo info;
    while (read(signals->fd, &info, sizeof info) == (ssize_t)sizeof info) {
        int number = (int)info.ssi_signo;
        if (number != SIGCHLD && number != SIGCONT && number != SIGPIPE && number <= 64) {
            const char *name = sigabbrev_np(number);
            log_event(LOG_INFO, LOG_EV_SIGNAL_RECEIVED, "signal=%d name=%s%s from=%d", number,
                      name ? "SIG" : "", name ? name : "real-time", (int)info.ssi_pid);
            signals->waiting |= SIGNALS_BIT(number);
        }
    }
}

int signals_open_next(struct signals *signals, uint64_t *seq)
{
    if (!signals->open_seq && signals->waiting) {
        signals->open_number = __builtin_ctzll(signals->waiting) + 1;
        signals->waiting &= ~SIGNALS_BIT(signals->open_number);
        signals->open_seq = (*seq)++;
        signals->told = 0;
    }
    return signals->open_seq && !signals->told;
}

int signals_acknowledge(struct signals *signals, uint64_t seq)
{
    if (!signals->open_seq || signals->open_seq != seq)
        return ERR_NOT_FOUND;
    signals->open_seq = 0;
    return 0;
}

int signals_stop_asked(const struct signals *signals)
{
    uint64_t stop = SIGNALS_BIT(SIGTERM) | SIGNALS_BIT(SIGINT) | SIGNALS_BIT(SIGQUIT);
    uint64_t open = signals->open_seq ? SIGNALS_BIT(signals->open_number) : 0;
    return ((signals->waiting | open) & stop) != 0;
}
