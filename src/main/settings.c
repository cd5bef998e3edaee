#include "main/settings.h"

#include "main/directives.h"
#include "main/lookup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const struct conf_grammar *settings_grammar(void)
{
    return &directives_grammar;
}

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
        .write_timeout_ms = 30000,
    };
}

/* Takes what the loader found out, if it is there. 0 or ERR_VERSION. */
static int take_resolved(struct core_settings *core, const struct conf_tree *tree)
{
    struct slice bytes;
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
    return 0;
}

static int build_with(const struct conf_tree *tree, struct core_settings *core, struct http_config *http,
                      struct lookup *lookup, struct diagnostics *diagnostics)
{
    set_defaults(core, http);
    int error = take_resolved(core, tree);
    if (error)
        return error;
    struct build build = {.core = core, .http = http, .lookup = lookup, .automatic_workers = core->workers};
    error = conf_apply(tree, &directives_grammar, &build, diagnostics);
    free(build.site_nodes);
    return error;
}

int settings_build(const struct conf_tree *tree, struct core_settings *core, struct http_config *http,
                   struct diagnostics *diagnostics)
{
    return build_with(tree, core, http, NULL, diagnostics);
}

int settings_resolve(const struct conf_tree *tree, enum settings_purpose purpose,
                     struct settings_resolved *resolved, struct diagnostics *diagnostics)
{
    struct core_settings core;
    struct http_config http;
    struct lookup lookup = {.purpose = purpose, .resolved = resolved, .diagnostics = diagnostics};
    memset(resolved, 0, sizeof *resolved);
    int error = build_with(tree, &core, &http, &lookup, diagnostics);
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
