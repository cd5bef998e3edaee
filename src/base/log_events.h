/* Every event of the error log: name and what it tells. A new event is one line here. */
#ifndef HOLDFAST_BASE_LOG_EVENTS_H
#define HOLDFAST_BASE_LOG_EVENTS_H

#define LOG_EVENT_TABLE(X)                                                                                   \
    X(ANCHOR_STARTED, anchor_started, "the anchor holds its image and starts the first master")              \
    X(ANCHOR_EXITS, anchor_exits, "the anchor leaves, after everything else did")                            \
    X(MASTER_STARTED, master_started, "a master has taken up its state")                                     \
    X(MASTER_DIED, master_died, "the anchor saw a master die and starts it again")                           \
    X(MASTER_SILENT, master_silent, "the master missed its pings and is killed")                             \
    X(MASTER_FAILED, master_failed, "a step of the master failed")                                           \
    X(PROCESS_REAPED, process_reaped, "a process ended; named with its cause, reaped once")                  \
    X(SIGNAL_RECEIVED, signal_received, "a signal arrived at the anchor and was forwarded")                  \
    X(CONFIG_LOADED, config_loaded, "the loader handed over a valid snapshot")                               \
    X(CONFIG_REFUSED, config_refused, "the configuration was not accepted")                                  \
    X(LOADER_DIED, loader_died, "the loader died before it was done and is started again")                   \
    X(LISTENER_OPEN, listener_open, "an address is bound and listens")                                       \
    X(LISTENER_FAILED, listener_failed, "an address could not be bound")                                     \
    X(KERNEL_SELF_TEST, kernel_self_test, "the kernel's connection counters were tried on loopback")         \
    X(PROXY_HEADER_REFUSED, proxy_header_refused,                                                            \
      "a connection that speaks for others does not begin with a proper header; it is closed")               \
    X(UPSTREAM_FAILED, upstream_failed, "a request could not be passed on to a server, or not to its end")   \
    X(BUFFER_FAILED, buffer_failed, "there is no space to hold a body back, so it is streamed")              \
    X(READY, ready, "every worker of the generation accepts")                                                \
    X(NOTIFY_FAILED, notify_failed, "the service manager could not be told")                                 \
    X(KEEPER_STARTED, keeper_started, "a keeper has its arena and clones its worker")                        \
    X(KEEPER_TAKEN_OVER, keeper_taken_over, "a worker became keeper because its keeper died")                \
    X(KEEPER_SILENT, keeper_silent, "a keeper's heartbeat is stale and it is killed")                        \
    X(SLOT_LOST, slot_lost, "keeper and worker died together: their connections are gone")                   \
    X(WORKER_DIED, worker_died, "a worker died; its connections wait for the next one")                      \
    X(WORKER_REVIVED, worker_revived, "a new worker drives all connections again")                           \
    X(WORKER_HUNG, worker_hung, "the watchdog ends a worker that makes no progress")                         \
    X(WORKER_FAILED, worker_failed, "a worker could not start")                                              \
    X(CRASH_LOOP, crash_loop, "too many crashes in the window: the slot starts again empty, with backoff")   \
    X(CLONE_FAILED, clone_failed, "a process could not be made; it is tried again")                          \
    X(REQUEST_POISONED, request_poisoned, "a request crashed its worker and is not run again")               \
    X(REVIVAL_ODD, revival_odd, "a record did not agree with the kernel; its connection is closed")          \
    X(DESCRIPTORS_SHORT, descriptors_short, "no descriptors left: accepting waits")                          \
    X(ARENA_SHORT, arena_short, "no arena memory left: accepting waits")                                     \
    X(CONNECTIONS_CLOSED, connections_closed, "those that waited longest made room for new ones")            \
    X(DRAIN_STARTED, drain_started, "stopping: what runs is finished, up to the drain time")                 \
    X(DRAIN_ENDED, drain_ended, "a worker has no connections left, or the drain time is over")               \
    X(RESUMED, resumed, "a drain was undone")                                                                \
    X(STOPPED, stopped, "all workers have left")                                                             \
    X(CONTROL, control, "a command came over the control socket")                                            \
    X(NOT_BUILT, not_built, "something was asked for that comes in a later version")                         \
    X(HANDLER_FAILED, handler_failed, "a handler could not do its work")                                     \
    X(PROTOCOL_ERROR, protocol_error, "a sibling process broke the protocol")                                \
    X(ACCESS_LOG_FAILED, access_log_failed,                                                                  \
      "an access log cannot be written or opened; lines wait or are lost")                                   \
    X(ERROR_LOG_OPENED, error_log_opened, "from here on the log goes to its file")                           \
    X(ERROR_LOG_FAILED, error_log_failed, "the file of the error log cannot be opened")                      \
    X(LOGS_REOPENED, logs_reopened, "the logs are opened anew, as SIGUSR1 asked")                            \
    X(LOG_LINES_LOST, log_lines_lost, "nobody read the log for a while; so many lines were dropped")         \
    X(HANDOVER, handover, "connections changed hands between two workers")                                   \
    X(HANDOVER_FAILED, handover_failed, "connections could not change hands; they stay where they are")      \
    X(UPSTREAM_EJECTED, upstream_ejected,                                                                    \
      "requests to an upstream server failed; it is put aside for a while")                                  \
    X(UPSTREAM_DOWN, upstream_down, "an upstream server fails its checks and is not asked")                  \
    X(UPSTREAM_UP, upstream_up, "an upstream server answers again")                                          \
    X(UPSTREAM_NAME, upstream_name, "the name of an upstream server could not be looked up")                 \
    X(DIAGNOSTIC, diagnostic, "details for developers")

enum log_event {
#define LOG_EVENT_ENUM(name, text, meaning) LOG_EV_##name,
    LOG_EVENT_TABLE(LOG_EVENT_ENUM)
#undef LOG_EVENT_ENUM
};

#endif
