#include "main/settings.h"

#include "main/directives.h"
#include "main/lookup.h"
#include "proto/h1.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const struct conf_grammar *settings_grammar(void)
{
    return &directives_grammar;
}

#define DEFAULT_MAX_BODY (64ull << 20)
#define DEFAULT_MIN_RATE                                                                                     \
    240u /* bytes a second: a few words; who is slower holds a place and asks for nothing */

static void set_defaults(struct core_settings *core, struct http_config *http)
{
    *core = (struct core_settings){
        .workers = 1,
        .threads = 4,
        .uid = geteuid(),
        .gid = getegid(),
        .drain_ms = 30000,
        .watchdog_ms = 10000,
        .crash_limit = 5,
        .crash_window_ms = 10000,
        .log_level = LOG_INFO,
    };
    *http = (struct http_config){
        .keepalive_ms = 60000,
        .header_timeout_ms = 10000,
        .body_timeout_ms = 30000,
        .write_timeout_ms = 120000,
        .upstreams = {.ttl_min_ms = UPSTREAM_TTL_MIN_MS, .ttl_max_ms = UPSTREAM_TTL_MAX_MS},
        .limits = {.max_header_size = 8192, .max_headers = H1_FIELDS_MAX, .max_request_line = 8192},
    };
}

/* The route around all sites: what holds where nobody says anything. 0 or ERR_NO_MEMORY. */
static int make_outermost_route(struct http_config *http)
{
    static const struct slice index_names[] = {{"index.html", 10}};
    http->route = route_new(&http->storage, NULL);
    if (!http->route)
        return ERR_NO_MEMORY;
    http->route_count = 1;
    http->route->settings = (struct route_settings){.index = index_names,
                                                    .index_count = 1,
                                                    .max_body = DEFAULT_MAX_BODY,
                                                    .min_body_rate = DEFAULT_MIN_RATE,
                                                    .min_write_rate = DEFAULT_MIN_RATE,
                                                    .compress_min = 1024};
    return 0;
}

/* Takes what the loader found out, if it is there; *found is NULL if not. 0 or ERR_VERSION. */
static int take_resolved(struct core_settings *core, const struct conf_tree *tree,
                         const struct settings_resolved **found)
{
    struct slice bytes;
    *found = NULL;
    if (conf_tree_blob(tree, SETTINGS_BLOB, &bytes))
        return 0;
    const struct settings_resolved *resolved = (const void *)bytes.at;
    if (bytes.length != sizeof *resolved || resolved->version != SETTINGS_RESOLVED_VERSION)
        return ERR_VERSION;
    if (resolved->workers < 1 || resolved->workers > CORE_WORKERS_MAX ||
        resolved->group_count > CORE_GROUPS_MAX ||
        !memchr(resolved->control_path, '\0', sizeof resolved->control_path))
        return ERR_VERSION;
    core->workers = resolved->workers;
    core->uid = resolved->uid;
    core->gid = resolved->gid;
    core->group_count = resolved->group_count;
    for (size_t i = 0; i < resolved->group_count; i++)
        core->groups[i] = resolved->groups[i];
    memcpy(core->control_path, resolved->control_path, sizeof core->control_path);
    *found = resolved;
    return 0;
}

/* What concerns several blocks, and can only be judged when all are read. */
static int finish(struct build *build, struct diagnostics *diagnostics)
{
    listen_finish(build, diagnostics);
    int error = proxies_finish(build, diagnostics); /* makes pools of the addresses */
    if (!error)
        error = tcps_finish(build, diagnostics);
    if (!error)
        error = pools_finish(build, diagnostics);
    if (!error)
        error = routes_finish(build, diagnostics);
    return error;
}

static int build_with(const struct conf_tree *tree, struct core_settings *core, struct http_config *http,
                      struct l4_config *l4, struct lookup *lookup, struct diagnostics *diagnostics)
{
    const struct settings_resolved *resolved;
    set_defaults(core, http);
    *l4 = (struct l4_config){0};
    int error = take_resolved(core, tree, &resolved);
    if (!error)
        error = make_outermost_route(http);
    if (error)
        return error;
    struct build build = {.core = core,
                          .http = http,
                          .l4 = l4,
                          .lookup = lookup,
                          .resolved = resolved,
                          .automatic_workers = core->workers};
    build.top = (struct block_build){.build = &build, .route = http->route, .highest_group = -1};
    build.block_end = &build.first_block;
    build.listen_end = &build.first_listen;
    build.pool_end = &build.first_pool;
    build.proxy_end = &build.first_proxy;
    build.tcp_end = &build.first_tcp;
    error = conf_apply(tree, &directives_grammar, &build, diagnostics);
    if (!error)
        error = finish(&build, diagnostics);
    free(build.site_nodes);
    return error;
}

int settings_build(const struct conf_tree *tree, struct core_settings *core, struct http_config *http,
                   struct l4_config *l4, struct diagnostics *diagnostics)
{
    return build_with(tree, core, http, l4, NULL, diagnostics);
}

int settings_resolve(const struct conf_tree *tree, enum settings_purpose purpose,
                     struct settings_resolved *resolved, struct diagnostics *diagnostics)
{
    struct core_settings core;
    struct http_config http;
    struct l4_config l4;
    struct lookup lookup = {.purpose = purpose, .resolved = resolved, .diagnostics = diagnostics};
    memset(resolved, 0, sizeof *resolved);
    int error = build_with(tree, &core, &http, &l4, &lookup, diagnostics);
    settings_fini_http(&http);
    if (!error)
        lookup_finish(&lookup, conf_root(tree));
    return error;
}

void settings_fini_http(struct http_config *http)
{
    for (size_t i = 0; i < http->site_count; i++) {
        struct http_site *site = &http->sites[i];
        for (size_t k = 0; k < site->address_count; k++)
            free(site->addresses[k].host);
        free(site->addresses);
        free(site->root);
        free(site->index);
    }
    free(http->sites);
    free(http->folders);
    storage_fini(&http->storage);
    *http = (struct http_config){0};
}

void settings_default_control(char out[CORE_PATH_MAX])
{
    struct text text;
    const char *folder = getenv("XDG_RUNTIME_DIR");
    text_init(&text, out, CORE_PATH_MAX);
    if (geteuid() == 0) {
        text_add_c(&text, "/run/holdfast.sock");
        return;
    }
    if (folder && folder[0] == '/') {
        text_add_f(&text, "%s/holdfast.sock", folder);
        if (!text.overflow)
            return;
        text_init(&text, out, CORE_PATH_MAX);
    }
    text_add_f(&text, "/tmp/holdfast-%u.sock", (unsigned)geteuid());
}
