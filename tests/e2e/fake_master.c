/* A master that does what a test tells it. Started by holdfast-anchor as `holdfast master SOCKET`.
 *
 * It connects to the test's listening Unix socket and says "master pid=N". Then each line from the test is a
 * command, answered with one line, "ok ..." or "err NAME text"; events of the anchor come in between as lines
 * "event ...". SOCKET may also be "exit:N" or "hang". A master that nobody listens for exits with 3. */
#include "base/fd.h"
#include "core/anchor_link.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

static struct anchor_link the_link;
static FILE *out;
static int is_mute;

static void answer(int error)
{
    if (error)
        fprintf(out, "err %s %s\n", err_name(error), the_link.error_text);
    else
        fputs("ok\n", out);
}

static void do_hello(char *argument)
{
    struct anchor_hello hello;
    int error = anchor_link_hello(&the_link, &hello);
    (void)argument;
    if (error)
        answer(error);
    else
        fprintf(out,
                "ok in_command=%d ready_before=%d anchor=%d self=%d other=%d epoch=%llu started=%llu "
                "image=%s good=%s "
                "trying=%s\n",
                hello.in_command, hello.ready_before, hello.anchor, hello.self, hello.other,
                (unsigned long long)hello.epoch, (unsigned long long)hello.started, hello.image, hello.good,
                hello.trying);
}

/* NAME TEXT */
static void do_put(char *argument)
{
    char *text = strchr(argument, ' ');
    if (text)
        *text++ = 0;
    int fd = memfd_create("test", MFD_CLOEXEC);
    int error = text ? fd_write_all(fd, text, strlen(text)) : 0;
    answer(error ? error : anchor_link_put(&the_link, argument, fd));
    close(fd);
}

/* NAME PATH */
static void do_put_file(char *argument)
{
    char *path = strchr(argument, ' ');
    *path++ = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    answer(anchor_link_put(&the_link, argument, fd));
    fd_close(&fd);
}

static void do_get(char *argument)
{
    char text[256] = "";
    int fd;
    int error = anchor_link_get(&the_link, argument, &fd);
    if (error) {
        answer(error);
        return;
    }
    ssize_t length = pread(fd, text, sizeof text - 1, 0);
    fprintf(out, "ok text=%.*s\n", length < 0 ? 0 : (int)length, text);
    close(fd);
}

static void do_del(char *argument)
{
    answer(anchor_link_del(&the_link, argument));
}

static int list_name(void *arg, const char *name)
{
    (void)arg;
    fprintf(out, " %s", name);
    return 0;
}

static void do_list(char *argument)
{
    fputs("ok names", out);
    int error = anchor_link_list(&the_link, argument, list_name, NULL);
    fprintf(out, " =%s\n", err_name(error));
}

static void do_start(char *argument)
{
    pid_t pid = 0;
    int error = anchor_link_start(&the_link, *argument ? argument : NULL, &pid);
    if (error)
        answer(error);
    else
        fprintf(out, "ok pid=%d\n", pid);
}

static void do_command(char *argument)
{
    answer(anchor_link_command(&the_link, atoi(argument)));
}

static void do_try(char *argument)
{
    answer(anchor_link_image(&the_link, WIRE_IMAGE_TRY, argument));
}

static void do_good(char *argument)
{
    answer(anchor_link_image(&the_link, WIRE_IMAGE_GOOD, argument));
}

/* TEXT, with | for a line break */
static void do_notify(char *argument)
{
    for (char *at = argument; *at; at++)
        if (*at == '|')
            *at = '\n';
    answer(anchor_link_notify(&the_link, argument));
}

static void do_exit(char *argument)
{
    answer(anchor_link_exit(&the_link, atoi(argument)));
}

static void do_ack(char *argument)
{
    answer(anchor_link_ack(&the_link, strtoull(argument, NULL, 10)));
}

static void do_mute(char *argument)
{
    is_mute = strcmp(argument, "on") == 0;
    answer(0);
}

static void do_quit(char *argument)
{
    answer(0);
    fflush(out);
    _exit(atoi(argument));
}

static void do_close(char *argument)
{
    (void)argument;
    is_mute = 1;
    fd_close(&the_link.fd);
    answer(0);
}

/* Makes a child of the anchor. */
static pid_t clone_sibling(void)
{
    return (pid_t)syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
}

/* "exit N", or anything else to sleep until SIGKILL */
static _Noreturn void sibling(const char *argument)
{
    close_range(3, ~0u, 0); /* the test sees a master's end by the end of its connection */
    if (strncmp(argument, "exit ", 5) == 0)
        _exit(atoi(argument + 5));
    signal(SIGTERM, SIG_IGN);
    for (;;)
        pause();
}

static void do_sibling(char *argument)
{
    fflush(out);
    pid_t pid = clone_sibling();
    if (pid == 0)
        sibling(argument);
    fprintf(out, "ok pid=%d\n", pid);
}

/* A sibling in a session of its own with a child in another one: two generations that nobody waits for. */
static void do_family(char *argument)
{
    int tell[2];
    int pids[2] = {0, 0};
    (void)argument;
    fflush(out);
    if (pipe2(tell, O_CLOEXEC) < 0)
        abort();
    pids[0] = clone_sibling();
    if (pids[0] == 0) {
        setsid();
        pid_t child = fork();
        if (child == 0)
            setsid();
        else if (write(tell[1], &child, sizeof child) != (ssize_t)sizeof child)
            abort();
        close(tell[1]);
        sibling("sleep");
    }
    if (read(tell[0], &pids[1], sizeof pids[1]) != (ssize_t)sizeof pids[1])
        abort();
    close(tell[0]);
    close(tell[1]);
    fprintf(out, "ok pid=%d child=%d\n", pids[0], pids[1]);
}

static int open_descriptors(char *text, size_t size)
{
    int count = 0;
    DIR *folder = opendir("/proc/self/fd");
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        if (entry->d_name[0] == '.' || atoi(entry->d_name) == dirfd(folder))
            continue;
        size_t used = strlen(text);
        snprintf(text + used, size - used, "%s%s", count++ ? "," : "", entry->d_name);
    }
    if (folder)
        closedir(folder);
    return count;
}

static char *start_descriptors(void)
{
    static char text[4096];
    if (!text[0])
        open_descriptors(text, sizeof text);
    return text;
}

static void do_self(char *argument)
{
    sigset_t blocked;
    int count = 0;
    (void)argument;
    sigprocmask(SIG_SETMASK, NULL, &blocked);
    for (int number = 1; number <= 64; number++)
        count += sigismember(&blocked, number) == 1;
    fprintf(out, "ok pid=%d parent=%d session=%d blocked=%d fds=%s\n", getpid(), getppid(), getsid(0), count,
            start_descriptors());
}

/* HEX COUNT: sends these bytes with COUNT descriptors and shows the first answer. */
static void do_raw(char *argument)
{
    static uint8_t bytes[8192];
    size_t length = 0;
    for (; argument[0] && argument[0] != ' '; argument += 2) {
        char pair[3] = {argument[0], argument[1], 0};
        bytes[length++] = (uint8_t)strtoul(pair, NULL, 16);
    }
    int count = *argument ? atoi(argument + 1) : 0;
    union {
        char bytes[CMSG_SPACE(8 * sizeof(int))];
        struct cmsghdr align;
    } control = {.bytes = {0}};
    struct iovec part = {.iov_base = bytes, .iov_len = length};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (count) {
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE((size_t)count * sizeof(int));
        struct cmsghdr *head = CMSG_FIRSTHDR(&message);
        *head = (struct cmsghdr){.cmsg_level = SOL_SOCKET,
                                 .cmsg_type = SCM_RIGHTS,
                                 .cmsg_len = CMSG_LEN((size_t)count * sizeof(int))};
        memset(CMSG_DATA(head), 0, (size_t)count * sizeof(int)); /* descriptor 0, COUNT times */
    }
    if (sendmsg(the_link.fd, &message, MSG_NOSIGNAL) < 0) {
        fprintf(out, "err send errno=%d\n", errno);
        return;
    }
    ssize_t got;
    do
        got = recv(the_link.fd, bytes, sizeof bytes, 0);
    while (got >= WIRE_HEADER_SIZE && wire_get_u16(bytes + 6) >= WIRE_STATUS);
    if (got < WIRE_HEADER_SIZE)
        fputs("err closed\n", out);
    else if (wire_get_u16(bytes + 6) == WIRE_ERROR)
        fprintf(out, "err %s %.*s\n", err_name((int)wire_get_u32(bytes + WIRE_HEADER_SIZE)), (int)got - 28,
                (char *)bytes + 28);
    else
        fprintf(out, "ok type=%u length=%zd\n", wire_get_u16(bytes + 6), got - WIRE_HEADER_SIZE);
}

/* Sends LIST requests until there is no room for a while, without reading; says how many they were. */
static void do_flood(char *argument)
{
    uint8_t packet[WIRE_HEADER_SIZE + 4];
    struct pollfd room = {.fd = the_link.fd, .events = POLLOUT};
    int count = 0;
    (void)argument;
    wire_put_u32(packet + WIRE_HEADER_SIZE, 0);
    wire_header_put(packet, WIRE_LIST, 4, 1000000u);
    do {
        if (send(the_link.fd, packet, sizeof packet, MSG_DONTWAIT) > 0)
            count++;
    } while (poll(&room, 1, 200) > 0);
    fprintf(out, "ok count=%d\n", count);
}

/* Reads COUNT answers; says how many events came between them. */
static void do_drain(char *argument)
{
    static uint8_t bytes[WIRE_PACKET_MAX];
    int wanted = atoi(argument), count = 0, events = 0;
    while (count < wanted && recv(the_link.fd, bytes, sizeof bytes, 0) > 0) {
        count += wire_get_u16(bytes + 6) == WIRE_OK;
        events += wire_get_u16(bytes + 6) == WIRE_SIGNAL;
    }
    fprintf(out, "ok count=%d signals=%d\n", count, events);
}

/* CODE: sends a hundred LIST requests and EXIT without waiting for any answer. */
static void do_lastwords(char *argument)
{
    uint8_t packet[WIRE_HEADER_SIZE + 4];
    for (int i = 0; i <= 100; i++) {
        wire_header_put(packet, i < 100 ? WIRE_LIST : WIRE_EXIT, 4, 1000000u);
        wire_put_u32(packet + WIRE_HEADER_SIZE, i < 100 ? 0 : (uint32_t)atoi(argument));
        if (send(the_link.fd, packet, sizeof packet, 0) < 0)
            abort();
    }
    answer(0);
}

/* Asks for this and that, for ever; the test kills us in the middle of it. */
static void do_churn(char *argument)
{
    (void)argument;
    fputs("ok\n", out);
    fflush(out);
    for (unsigned i = 0;; i++) {
        char name[32];
        int fd = memfd_create("churn", MFD_CLOEXEC), got = -1;
        snprintf(name, sizeof name, "churn:%u", i % 7);
        int error = anchor_link_put(&the_link, name, fd);
        if (!error)
            error = anchor_link_get(&the_link, name, &got);
        if (!error && i % 3 == 0)
            error = anchor_link_del(&the_link, name);
        close(fd);
        fd_close(&got);
        if (error)
            _exit(4);
    }
}

static void show_events(void)
{
    struct anchor_event event;
    int error;
    while ((error = anchor_link_next(&the_link, &event)) == 0) {
        if (event.type == ANCHOR_EVENT_STATUS)
            fprintf(out, "event status seq=%llu pid=%d code=%d status=%d was_master=%d\n",
                    (unsigned long long)event.seq, event.pid, event.code, event.status, event.was_master);
        else if (event.type == ANCHOR_EVENT_SIGNAL)
            fprintf(out, "event signal seq=%llu signal=%d\n", (unsigned long long)event.seq, event.signal);
        else
            fprintf(out, "event command epoch=%llu\n", (unsigned long long)event.epoch);
    }
    if (error == ERR_CLOSED)
        _exit(5); /* the anchor is gone */
}

static const struct {
    const char *name;
    void (*run)(char *argument);
} commands[] = {
    {"hello", do_hello},     {"put", do_put},       {"putfile", do_put_file}, {"get", do_get},
    {"del", do_del},         {"list", do_list},     {"start", do_start},      {"command", do_command},
    {"try", do_try},         {"good", do_good},     {"notify", do_notify},    {"exit", do_exit},
    {"ack", do_ack},         {"mute", do_mute},     {"quit", do_quit},        {"close", do_close},
    {"sibling", do_sibling}, {"family", do_family}, {"self", do_self},        {"raw", do_raw},
    {"flood", do_flood},     {"drain", do_drain},   {"churn", do_churn},      {"lastwords", do_lastwords},
};

static void run_command(char *line)
{
    char *argument = line + strcspn(line, " \n");
    line[strcspn(line, "\n")] = 0;
    if (*argument)
        *argument++ = 0;
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(commands[i].name, line) == 0) {
            commands[i].run(argument);
            return;
        }
    }
    fprintf(out, "err unknown command %s\n", line);
}

static int connect_to_test(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        _exit(3);
    return fd;
}

/* One line at a time, past stdio: poll has to know what is unread. */
static int read_line(int fd, char *line, size_t size)
{
    for (size_t length = 0; length < size - 1; length++) {
        if (read(fd, line + length, 1) != 1)
            return 0;
        if (line[length] == '\n') {
            line[length + 1] = 0;
            return 1;
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    static char line[32768];
    if (argc < 3 || strcmp(argv[0], "holdfast") != 0 || strcmp(argv[1], "master") != 0)
        _exit(2);
    if (strncmp(argv[2], "exit:", 5) == 0)
        _exit(atoi(argv[2] + 5));
    if (strcmp(argv[2], "hang") == 0)
        for (;;)
            pause();
    prctl(PR_SET_NAME, "fake-master");
    start_descriptors();
    int control = connect_to_test(argv[2]);
    out = fdopen(dup(control), "w");
    if (!out || anchor_link_init(&the_link, WIRE_MASTER_FD))
        _exit(6);
    fprintf(out, "master pid=%d\n", getpid());
    for (;;) {
        fflush(out);
        struct pollfd polled[2] = {{.fd = control, .events = POLLIN},
                                   {.fd = is_mute ? -1 : the_link.fd, .events = POLLIN}};
        if (poll(polled, 2, -1) < 0)
            continue;
        if (polled[0].revents) {
            if (!read_line(control, line, sizeof line))
                _exit(0); /* the test is over */
            run_command(line);
        }
        if (!is_mute)
            show_events();
    }
}
