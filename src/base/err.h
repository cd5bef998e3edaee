/* The one table of errors: number, name, text.
 *
 * A fallible function returns 0 or one of these negative numbers. `err_from_errno` maps what the kernel says;
 * the errno itself belongs into the log line of whoever decides about the failure. */
#ifndef HOLDFAST_BASE_ERR_H
#define HOLDFAST_BASE_ERR_H

#define ERR_TABLE(X)                                                                                         \
    X(AGAIN, -1, "not ready yet")                                                                            \
    X(PARTIAL, -2, "more bytes are needed")                                                                  \
    X(CLOSED, -3, "the other side has closed")                                                               \
    X(RESET, -4, "the connection was reset")                                                                 \
    X(NO_MEMORY, -5, "out of memory")                                                                        \
    X(NO_DESCRIPTORS, -6, "out of file descriptors")                                                         \
    X(NO_SPACE, -7, "no space left")                                                                         \
    X(LIMIT, -8, "a configured limit was reached")                                                           \
    X(SYNTAX, -9, "malformed input")                                                                         \
    X(INVALID, -10, "invalid value")                                                                         \
    X(NOT_FOUND, -11, "not found")                                                                           \
    X(EXISTS, -12, "exists already")                                                                         \
    X(PERMISSION, -13, "permission denied")                                                                  \
    X(BUSY, -14, "in use")                                                                                   \
    X(TIMEOUT, -15, "timed out")                                                                             \
    X(VERSION, -16, "unknown version")                                                                       \
    X(PROTOCOL, -17, "the message breaks its protocol")                                                      \
    X(UNSUPPORTED, -18, "not supported here")                                                                \
    X(REFUSED, -19, "refused")                                                                               \
    X(IO, -20, "input or output failed")                                                                     \
    X(UNREACHABLE, -21, "nobody can be reached")

enum err {
#define ERR_ENUM(name, number, text) ERR_##name = number,
    ERR_TABLE(ERR_ENUM)
#undef ERR_ENUM
};

#define WARN_UNUSED __attribute__((warn_unused_result))

/* Name ("NO_MEMORY") and text of an error; "OK" and "success" for 0, "UNKNOWN" for what is not in the table. */
const char *err_name(int error);
const char *err_text(int error);

/* Maps a positive errno to the table; what has no entry of its own is ERR_IO. */
int err_from_errno(int error_number);

#endif
