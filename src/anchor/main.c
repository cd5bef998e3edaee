/* holdfast-anchor: options and start. Started by `holdfast run`, never by hand:
 *
 *   holdfast-anchor --image-fd N [--pid-file PATH --pid-fd N] [--ready-fd N] [--hold NAME=N]...
 *                   [--max-names N] [--ping-ms N] -- ARG...
 *
 * N are inherited descriptors. --image-fd: the executable of the masters, held as "image:0". --pid-fd: the
 * pid file, already locked and written; it is removed at the end. --ready-fd: gets the byte '1' when a master
 * is ready for the first time, and is closed. --hold: held under that name from the start. Every master is
 * started as `holdfast master ARG...`. All other descriptors but 0, 1 and 2 are closed. */
#include "anchor/anchor.h"

#include "base/fd.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#define MAIN_HOLDS_MAX 64
#define MAIN_SPARE_FDS 32 /* for links, signals and messages on their way, beside the names */
#define MAIN_PING_MS 1000

struct hold {
    char name[WIRE_NAME_MAX + 1];
    int fd;
};

struct options {
    struct hold holds[MAIN_HOLDS_MAX]; /* the first is the image */
    unsigned hold_count;
    const char *pid_path;
    int pid_fd, ready_fd;
    unsigned max_names, ping_ms;
};

/* Several hundred KiB, nearly all of it untouched. */
static struct anchor the_anchor;

static _Noreturn void main_fail(const char *what, const char *reason)
{
    fprintf(stderr, "holdfast-anchor: %s: %s\n", what, reason);
    exit(ANCHOR_EXIT_USAGE);
}

static int main_number(const char *option, const char *text, int lowest, int highest)
{
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (errno || end == text || *end || value < lowest || value > highest)
        main_fail(option, "not a number, or out of its range");
    return (int)value;
}

static int main_descriptor(const char *option, const char *text)
{
    int fd = main_number(option, text, 3, 1 << 20);
    if (fcntl(fd, F_GETFD) < 0)
        main_fail(option, "no such descriptor is open");
    return fd;
}

/* NAME=N */
static void main_add_hold(struct options *options, const char *text)
{
    const char *sign = strrchr(text, '=');
    if (!sign || !wire_name_valid(text, (size_t)(sign - text)))
        main_fail("--hold", "expected NAME=DESCRIPTOR");
    if (options->hold_count == MAIN_HOLDS_MAX)
        main_fail("--hold", "given too often");
    struct hold *hold = &options->holds[options->hold_count++];
    memcpy(hold->name, text, (size_t)(sign - text));
    hold->fd = main_descriptor("--hold", sign + 1);
}

/* Returns the index in argv of what follows "--". */
static int main_parse(struct options *options, int argc, char **argv)
{
    static const struct option known[] = {
        {"image-fd", required_argument, NULL, 'i'}, {"pid-file", required_argument, NULL, 'p'},
        {"pid-fd", required_argument, NULL, 'P'},   {"ready-fd", required_argument, NULL, 'r'},
        {"hold", required_argument, NULL, 'h'},     {"max-names", required_argument, NULL, 'm'},
        {"ping-ms", required_argument, NULL, 't'},  {NULL, 0, NULL, 0},
    };
    struct hold *image = &options->holds[options->hold_count++];
    *image = (struct hold){.name = ANCHOR_FIRST_IMAGE, .fd = -1};
    for (int option; (option = getopt_long(argc, argv, "+", known, NULL)) != -1;) {
        if (option == 'i')
            image->fd = main_descriptor("--image-fd", optarg);
        else if (option == 'p')
            options->pid_path = optarg;
        else if (option == 'P')
            options->pid_fd = main_descriptor("--pid-fd", optarg);
        else if (option == 'r')
            options->ready_fd = main_descriptor("--ready-fd", optarg);
        else if (option == 'h')
            main_add_hold(options, optarg);
        else if (option == 'm')
            options->max_names = (unsigned)main_number("--max-names", optarg, 1, NAMES_MAX);
        else if (option == 't')
            options->ping_ms = (unsigned)main_number("--ping-ms", optarg, 1, 600000);
        else
            exit(ANCHOR_EXIT_USAGE); /* getopt has said why */
    }
    if (image->fd < 0)
        main_fail("--image-fd", "missing; this program is started by `holdfast run`");
    if (optind < 3 || strcmp(argv[optind - 1], "--") != 0)
        main_fail("--", "missing before the arguments of the masters");
    return optind;
}

/* Descriptors 0, 1 and 2 are open, 0 reads nothing, and none but the ones named by options stays. */
static void main_arrange_descriptors(const struct options *options)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; null >= 0 && fd <= 2; fd++)
        if (fd == 0 || fcntl(fd, F_GETFD) < 0)
            dup2(null, fd);
    for (int low = 3;;) {
        int next = -1;
        int kept[MAIN_HOLDS_MAX + 2] = {options->pid_fd, options->ready_fd};
        for (unsigned i = 0; i < options->hold_count; i++)
            kept[2 + i] = options->holds[i].fd;
        for (unsigned i = 0; i < options->hold_count + 2; i++)
            if (kept[i] >= low && (next < 0 || kept[i] < next))
                next = kept[i];
        if (next < 0) {
            close_range((unsigned)low, ~0u, 0);
            return;
        }
        if (next > low)
            close_range((unsigned)low, (unsigned)next - 1, 0);
        low = next + 1;
    }
}

static void main_protect(void)
{
    prctl(PR_SET_NAME, "holdfast");
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    int score = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (score >= 0 && write(score, "-1000", 5) < 0)
        errno = 0; /* not permitted: nothing to be done about it */
    fd_close(&score);
}

/* As many names as fit under the limit of descriptors, which is raised as far as it goes. */
static void main_init_names(struct anchor *anchor, unsigned wanted)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &anchor->descriptor_limit);
    limit = anchor->descriptor_limit;
    if (limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
            limit = anchor->descriptor_limit;
    }
    rlim_t room = limit.rlim_cur > 2 * MAIN_SPARE_FDS ? limit.rlim_cur - MAIN_SPARE_FDS : MAIN_SPARE_FDS;
    if (room < wanted)
        names_init(&anchor->names, (unsigned)room, ERR_NO_DESCRIPTORS);
    else
        names_init(&anchor->names, wanted, ERR_LIMIT);
}

static int main_hold_all(struct anchor *anchor, struct options *options)
{
    for (unsigned i = 0; i < options->hold_count; i++) {
        int error = fd_set_cloexec(options->holds[i].fd, 1);
        if (!error)
            error = names_put(&anchor->names, options->holds[i].name, &options->holds[i].fd, 0);
        if (error)
            return error;
    }
    return 0;
}

static int main_init(struct anchor *anchor, struct options *options)
{
    anchor->pid_path = options->pid_path;
    anchor->pid_fd = options->pid_fd;
    anchor->ready_fd = options->ready_fd;
    anchor->notify_path = getenv("NOTIFY_SOCKET");
    anchor->ping_ms = options->ping_ms;
    anchor->next_seq = 1;
    for (unsigned i = 0; i < ANCHOR_MASTERS; i++)
        anchor->masters[i].link = -1;
    memcpy(anchor->good, ANCHOR_FIRST_IMAGE, sizeof ANCHOR_FIRST_IMAGE);
    main_init_names(anchor, options->max_names);
    int error = main_hold_all(anchor, options);
    if (!error && anchor->pid_fd >= 0)
        error = fd_set_cloexec(anchor->pid_fd, 1);
    if (!error && anchor->ready_fd >= 0)
        error = fd_set_cloexec(anchor->ready_fd, 1);
    return error ? error : signals_init(&anchor->signals);
}

int main(int argc, char **argv)
{
    static struct options options = {
        .pid_fd = -1, .ready_fd = -1, .max_names = NAMES_MAX, .ping_ms = MAIN_PING_MS};
    static char name[] = "holdfast", role[] = "master";
    struct anchor *anchor = &the_anchor;
    int first = main_parse(&options, argc, argv);
    log_init(STDERR_FILENO, "anchor");
    main_arrange_descriptors(&options);
    main_protect();
    /* The two words before the masters' arguments ("--" and one of an option) have done their duty. */
    argv[first - 2] = name;
    argv[first - 1] = role;
    anchor->master_argv = &argv[first - 2];

    int error = main_init(anchor, &options);
    if (error) {
        log_event(LOG_ERROR, LOG_EV_ANCHOR_EXITS, "code=%d step=start error=%s", ANCHOR_EXIT_START_FAILED,
                  err_name(error));
        return ANCHOR_EXIT_START_FAILED;
    }
    log_event(LOG_INFO, LOG_EV_ANCHOR_STARTED, "image=%s names_max=%u ping_ms=%u", anchor->good,
              anchor->names.capacity, anchor->ping_ms);
    return anchor_run(anchor);
}
