/* The service manager's socket: the datagrams must come from the main process, so masters send them through
 * here. */
#include "anchor/anchor.h"

#include "base/fd.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Whether one line of the text is exactly READY=1. */
static int notify_says_ready(const char *text, size_t length)
{
    static const char ready[] = "READY=1";
    size_t size = sizeof ready - 1;
    for (size_t line = 0; line + size <= length;) {
        if (memcmp(text + line, ready, size) == 0 && (line + size == length || text[line + size] == '\n'))
            return 1;
        const char *end = memchr(text + line, '\n', length - line);
        if (!end)
            break;
        line = (size_t)(end - text) + 1;
    }
    return 0;
}

static void notify_ready(struct anchor *anchor)
{
    restart_ready(&anchor->restart);
    if (anchor->ready_fd < 0)
        return;
    /* The parent may have gone away meanwhile; SIGPIPE is blocked. */
    while (write(anchor->ready_fd, "1", 1) < 0 && errno == EINTR)
        ;
    fd_close(&anchor->ready_fd);
}

int anchor_notify(struct anchor *anchor, const char *text, size_t length)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    if (notify_says_ready(text, length))
        notify_ready(anchor);
    if (!anchor->notify_path || !anchor->notify_path[0])
        return 0;
    size_t path = strlen(anchor->notify_path);
    if (path >= sizeof to.sun_path)
        return ERR_INVALID;
    memcpy(to.sun_path, anchor->notify_path, path);
    if (to.sun_path[0] == '@')
        to.sun_path[0] = 0; /* the abstract namespace, where the length counts and no NUL ends the name */
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_from_errno(errno);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path);
    ssize_t sent = sendto(fd, text, length, MSG_NOSIGNAL, (struct sockaddr *)&to, size);
    int error = sent < 0 ? err_from_errno(errno) : 0;
    fd_close(&fd);
    return error;
}
