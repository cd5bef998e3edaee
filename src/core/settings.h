/* What the process model needs to know from a configuration: plain values, already checked.
 *
 * src/main builds it from a snapshot; core reads it and knows nothing of files, names or grammar. The same
 * snapshot gives the same settings in every process: what had to be looked up (user, number of CPUs) lies in
 * it. */
#ifndef HOLDFAST_CORE_SETTINGS_H
#define HOLDFAST_CORE_SETTINGS_H

#include "base/log.h"
#include "core/client_net.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#define CORE_WORKERS_MAX 64
#define CORE_LISTENERS_MAX 64
#define CORE_GROUPS_MAX 64
#define CORE_PATH_MAX 108          /* of a Unix socket, with its NUL: sun_path, unix(7) */
#define CORE_LOG_PATH_MAX 512      /* with its NUL */
#define CORE_LOGS_MAX 16           /* ARENA_LOGS_MAX */
#define CORE_LISTENER_TEXT_MAX 120 /* "unix:" and a path, with its NUL */

enum core_listener_kind {
    CORE_LISTENER_ANY,  /* `address` is [::] and IPV6_V6ONLY off; 0.0.0.0 where the machine has no IPv6 */
    CORE_LISTENER_IPV4, /* also 0.0.0.0 */
    CORE_LISTENER_IPV6, /* IPV6_V6ONLY on: [::] is IPv6 alone */
    CORE_LISTENER_UNIX,
};

enum core_accept {
    CORE_ACCEPT_SHARED,    /* one queue, all workers woken by it one at a time */
    CORE_ACCEPT_REUSEPORT, /* a queue for each worker */
};

#define CORE_HEADER_NETS_MAX 16 /* of one listener */
#define CORE_BACKLOG_MAX 65535
#define CORE_QUEUES_MAX 1024    /* sockets of all listeners together */
#define CORE_NOBODY ((uid_t)-1) /* "leave it as it is", chown(2) */

struct core_listener {
    enum core_listener_kind kind;
    uint8_t class_tag; /* who drives its connections: a tag of struct service (core/worker.h) */
    /* Whose connections begin with a header of the PROXY protocol (net/proxy_header.h), and how long it is waited for. */
    uint8_t header_from_unix; /* all of a Unix socket */
    size_t header_net_count;
    struct client_net header_nets[CORE_HEADER_NETS_MAX];
    uint64_t header_ms;
    socklen_t length;
    struct sockaddr_storage address;
    enum core_accept accept;
    uint32_t backlog;                  /* 1 to CORE_BACKLOG_MAX; 0: the default */
    mode_t mode;                       /* UNIX: of its path; 0: the default */
    int has_owner;                     /* UNIX: the path is to belong to: */
    uid_t owner;                       /* CORE_NOBODY: as it is */
    gid_t owner_group;                 /* CORE_NOBODY: as it is */
    char text[CORE_LISTENER_TEXT_MAX]; /* its identity: ":8080", "127.0.0.1:8080", "[::1]:8080", "unix:/run/x"
                                        */
};

struct core_settings {
    unsigned workers;                    /* 1 to CORE_WORKERS_MAX */
    unsigned threads;                    /* of one worker's pool: 1 to POOL_THREADS_MAX (loop/pool.h) */
    uint64_t max_connections;            /* of one worker; 0: as many as there are descriptors */
    uint64_t max_connections_per_client; /* from one address in one worker; 0: no limit */

    /* Whom workers run as. Change to it only when started as root. */
    uid_t uid;
    gid_t gid;
    size_t group_count;
    gid_t groups[CORE_GROUPS_MAX]; /* supplementary */

    uint64_t drain_ms;
    uint64_t drain_delay_ms; /* between denied readiness and the end of accepting */
    uint64_t watchdog_ms;    /* 0: off; otherwise 500 or more */
    unsigned crash_limit;    /* deaths by their own fault in crash_window_ms; 1 or more */
    uint64_t crash_window_ms;
    int core_dumps;
    enum log_level log_level;
    char control_path[CORE_PATH_MAX];
    char error_log[CORE_LOG_PATH_MAX]; /* absolute; "": standard error */

    size_t log_count;                            /* 0 to CORE_LOGS_MAX; no two are the same */
    char logs[CORE_LOGS_MAX][CORE_LOG_PATH_MAX]; /* absolute paths of files that workers append lines to */

    size_t listener_count; /* 1 to CORE_LISTENERS_MAX; no two have the same text */
    struct core_listener listeners[CORE_LISTENERS_MAX];
};

/* What the loader sends to the master: one SEQPACKET message with the sealed snapshot as its one descriptor
 * (SCM_RIGHTS), and only when the configuration is good. On anything else the loader exits 1 without a
 * message, and has said why on standard error. */
#define CORE_SNAPSHOT_MESSAGE 0x73656e64u
#define CORE_SNAPSHOT_VERSION 1u

struct core_snapshot_message {
    uint32_t type; /* CORE_SNAPSHOT_MESSAGE */
    uint32_t version;
    uint64_t size; /* of the snapshot in bytes */
};

#endif
