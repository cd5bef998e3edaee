#include "base/err.h"

#include <errno.h>

const char *err_name(int error)
{
    switch (error) {
#define ERR_CASE(name, number, text)                                                                         \
    case number:                                                                                             \
        return #name;
        ERR_TABLE(ERR_CASE)
#undef ERR_CASE
    case 0:
        return "OK";
    default:
        return "UNKNOWN";
    }
}

const char *err_text(int error)
{
    switch (error) {
#define ERR_CASE(name, number, text)                                                                         \
    case number:                                                                                             \
        return text;
        ERR_TABLE(ERR_CASE)
#undef ERR_CASE
    case 0:
        return "success";
    default:
        return "unknown error";
    }
}

/* EWOULDBLOCK, EDEADLOCK and ENOTSUP have the numbers of EAGAIN, EDEADLK and EOPNOTSUPP on Linux. */
static const struct {
    int error_number;
    int error;
} errno_table[] = {
    {EAGAIN, ERR_AGAIN},
    {EINPROGRESS, ERR_AGAIN},
    {EALREADY, ERR_AGAIN},
    {EINTR, ERR_AGAIN},
    {EPIPE, ERR_CLOSED},
    {ENOTCONN, ERR_CLOSED},
    {ESHUTDOWN, ERR_CLOSED},
    {ECONNRESET, ERR_RESET},
    {ECONNABORTED, ERR_RESET},
    {ENOMEM, ERR_NO_MEMORY},
    {ENOBUFS, ERR_NO_MEMORY},
    {EMFILE, ERR_NO_DESCRIPTORS},
    {ENFILE, ERR_NO_DESCRIPTORS},
    {ENOSPC, ERR_NO_SPACE},
    {EDQUOT, ERR_NO_SPACE},
    {EFBIG, ERR_LIMIT},
    {E2BIG, ERR_LIMIT},
    {ETOOMANYREFS, ERR_LIMIT},
    {EMSGSIZE, ERR_LIMIT},
    {ENAMETOOLONG, ERR_LIMIT},
    {EINVAL, ERR_INVALID},
    {EBADF, ERR_INVALID},
    {EDOM, ERR_INVALID},
    {ERANGE, ERR_INVALID},
    {EISDIR, ERR_INVALID},
    {EADDRNOTAVAIL, ERR_INVALID},
    {ENOENT, ERR_NOT_FOUND},
    {ENOTDIR, ERR_NOT_FOUND},
    {ESRCH, ERR_NOT_FOUND},
    {ENXIO, ERR_NOT_FOUND},
    {ENODEV, ERR_NOT_FOUND},
    {ECHILD, ERR_NOT_FOUND},
    {EEXIST, ERR_EXISTS},
    {EISCONN, ERR_EXISTS},
    {EPERM, ERR_PERMISSION},
    {EACCES, ERR_PERMISSION},
    {EROFS, ERR_PERMISSION},
    {EBUSY, ERR_BUSY},
    {ETXTBSY, ERR_BUSY},
    {EADDRINUSE, ERR_BUSY},
    {ETIMEDOUT, ERR_TIMEOUT},
    {ETIME, ERR_TIMEOUT},
    {EPROTO, ERR_PROTOCOL},
    {EBADMSG, ERR_PROTOCOL},
    {ENOSYS, ERR_UNSUPPORTED},
    {EOPNOTSUPP, ERR_UNSUPPORTED},
    {EAFNOSUPPORT, ERR_UNSUPPORTED},
    {EPROTONOSUPPORT, ERR_UNSUPPORTED},
    {ECONNREFUSED, ERR_REFUSED},
    {EHOSTUNREACH, ERR_REFUSED},
    {ENETUNREACH, ERR_REFUSED},
};

int err_from_errno(int error_number)
{
    for (unsigned i = 0; i < sizeof(errno_table) / sizeof(errno_table[0]); i++) {
        if (errno_table[i].error_number == error_number)
            return errno_table[i].error;
    }
    return ERR_IO;
}
