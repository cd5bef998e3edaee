#include "main/service.h"

#include "base/log.h"
#include "handler/demo/demo.h"
#include "handler/files/files.h"
#include "handler/proxy/proxy.h"
#include "handler/status/status.h"
#include "http/exchange.h"
#include "l4/l4.h"
#include "main/settings.h"
#include "net/proxy_header.h"
#include "upstream/check.h"
#include "upstream/status.h"
#include "upstream/table.h"
#include "upstream/turns.h"
#include "upstream/upkeep.h"
#ifdef HOLDFAST_TEST_HOOKS
#include "handler/testing/testing.h"
#endif

#include <stdlib.h>
#include <unistd.h>

enum {
    HANDLER_FILES,
    HANDLER_STATUS,
    HANDLER_METRICS,
    HANDLER_READY,
    HANDLER_DEMO,
    HANDLER_PROXY,
    HANDLER_TESTING
};

struct application {
    struct http http; /* first: worker->application is used as struct http by the class */
    struct http_config config;
    struct l4_config l4;
    struct pools *pools;   /* owned; NULL: the configuration has none */
    struct turns *turns;   /* owned; the same */
    struct upkeep *upkeep; /* owned; the same */
};

/* The snapshot was judged by the loader of the same image; whatever is wrong with it now is not the operator's. */
static int read_snapshot(int snapshot_fd, struct core_settings *core, struct http_config *http,
                         struct l4_config *l4)
{
    static struct diagnostics diagnostics; /* too large for a stack */
    struct conf_tree tree;
    int result = conf_tree_map(&tree, snapshot_fd);

    if (result)
        return result;
    diagnostics_init(&diagnostics);
    result = settings_build(&tree, core, http, l4, &diagnostics);
    if (!result && diagnostics.count)
        result = ERR_INVALID;
    conf_tree_fini(&tree);
    return result;
}

static int service_settings(int snapshot_fd, struct core_settings *settings)
{
    struct http_config http = {0};
    struct l4_config l4;
    int result = read_snapshot(snapshot_fd, settings, &http, &l4);

    settings_fini_http(&http);
    return result;
}

/* The pools of the configuration, and who passes something on to them. */
static int start_proxy(struct worker *worker, struct application *application)
{
    const struct arena_page *page = worker->arena.page;
    const int place = worker->board ? board_find(worker->board, page->generation, page->slot) : 0;
    struct pools_start start = {.config = &application->config.upstreams,
                                .board = worker->board,
                                .shared = worker->shared,
                                .shared_fd = worker->shared ? FD_SHARED : -1,
                                .place = place < 0 ? 0 : (uint32_t)place};
    int result;

    if (!application->config.upstreams.pool_count)
        return 0;
    result = pools_start(&application->pools, &start, worker->now_ns);
    if (!result)
        result = turns_start(&application->turns, worker, application->pools);
    if (!result)
        result = upkeep_start(&application->upkeep, worker, application->pools, start.config);
    if (!result)
        result = l4_start(worker, &application->l4, start.config, application->turns);
    return result ? result : proxy_start(&application->http, HANDLER_PROXY, application->turns);
}

static int service_start(struct worker *worker, int snapshot_fd)
{
    static struct core_settings unused;
    struct application *application = calloc(1, sizeof *application);
    struct http *http = &application->http;
    int result;

    if (!application)
        return ERR_NO_MEMORY;
    worker->application = application;
    http->worker = worker;
    http->config = &application->config;
    /* Serials of requests only need to be different from those of former workers. */
    http->next_request = clock_wall_ns() / 1000;
    http->handlers[HANDLER_FILES] = &files_handler;
    http->handlers[HANDLER_STATUS] = &status_handler;
    http->handlers[HANDLER_METRICS] = &metrics_handler;
    http->handlers[HANDLER_READY] = &ready_handler;
    http->handlers[HANDLER_DEMO] = &demo_handler;
    http->by_answer[ROUTE_DEMO] = HANDLER_DEMO;
    http->by_answer[ROUTE_STATUS] = HANDLER_STATUS;
    http->by_answer[ROUTE_METRICS] = HANDLER_METRICS;
    http->by_answer[ROUTE_READY] = HANDLER_READY;
    http->handlers[HANDLER_PROXY] = &proxy_handler;
    http->by_answer[ROUTE_PROXY] = HANDLER_PROXY;
    http->snapshot_fd = snapshot_fd;
    worker_file_use(worker, snapshot_fd); /* for good: error pages are sent from it */
    result = read_snapshot(snapshot_fd, &unused, &application->config, &application->l4);
    if (!result)
        result = sites_init(&http->sites, http->config);
    if (!result)
        result = start_proxy(worker, application);
#ifdef HOLDFAST_TEST_HOOKS
    if (!result && http->config->test_hooks) {
        http->handlers[HANDLER_TESTING] = &testing_handler;
        http->test_handler = HANDLER_TESTING;
    }
#endif
    return result ? result : files_start(http);
}

static void service_stop(struct worker *worker)
{
    struct application *application = worker->application;

    files_stop(&application->http);
    proxy_stop(&application->http, HANDLER_PROXY);
    l4_stop();
    upkeep_stop(&application->upkeep);
    turns_stop(&application->turns);
    pools_stop(&application->pools);
    sites_fini(&application->http.sites);
    settings_fini_http(&application->config);
    free(application);
    worker->application = NULL;
}

static int service_housekeeping(struct worker *worker)
{
    struct application *application = worker->application;
    const int has_files = files_housekeeping(&application->http);

    if (!application->pools)
        return has_files;
    turns_recounted(application->turns);
    l4_recounted(worker);
    return upkeep_turn(application->upkeep) || has_files;
}

const struct service holdfast_service = {
    .classes = {[CONN_CLASS_HTTP] = &http_class,
                [CONN_CLASS_LEG] = &proxy_leg_class,
                [CONN_CLASS_CHECK] = &upstream_check_class,
                [CONN_CLASS_PROXY_HEADER] = &proxy_header_class,
                [CONN_CLASS_TCP] = &l4_client_class,
                [CONN_CLASS_TCP_LEG] = &l4_leg_class},
    .settings = service_settings,
    .start = service_start,
    .stop = service_stop,
    .housekeeping = service_housekeeping,
    .shared_size = TABLE_SIZE,
    .describe_shared = upstream_describe,
};
