/* Any text is parsed, checked against the directives and shown with all its mistakes, and never opens a file; what
 * it becomes is an image that its reader accepts. Bytes that begin like an image are read as one: refused, or every
 * accessor stays inside. */
#include "base/assert.h"
#include "conf/builder.h"
#include "conf/image.h"
#include "conf/parse.h"
#include "conf/tree.h"
#include "http/routes.h"
#include "main/settings.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const environment[] = {"NAME=value", "EMPTY=", "BRACE={", NULL};

static void walk(struct conf_node node, size_t depth)
{
    MUST(depth <= CONF_DEPTH_MAX + 1);
    MUST(strlen(conf_name(node)) < CONF_IMAGE_MAX && strlen(conf_file(node)) < CONF_IMAGE_MAX);
    MUST(conf_place(node).source.length < CONF_IMAGE_MAX);
    for (size_t i = 0; i < conf_arg_count(node); i++)
        MUST(strlen(conf_arg(node, i)) < CONF_IMAGE_MAX);
    for (struct conf_node child = conf_first_child(node); conf_node_exists(child); child = conf_next(child))
        walk(child, depth + 1);
}

/* Settings that nobody complained about are such that the processes can rely on them. */
static void check_settings(const struct core_settings *core, const struct http_config *http)
{
    MUST(core->workers >= 1 && core->workers <= CORE_WORKERS_MAX);
    MUST(core->listener_count >= 1 && core->listener_count <= CORE_LISTENERS_MAX);
    MUST(core->watchdog_ms == 0 || core->watchdog_ms >= 500);
    MUST(core->crash_limit >= 1 && core->crash_window_ms >= 1000);
    MUST(http->site_count >= 1);
    for (size_t i = 0; i < http->site_count; i++) {
        const struct http_site *site = &http->sites[i];
        MUST((!site->root || site->root[0] == '/') && site->index && site->index[0]);
        MUST(site->route && site->route->parent == http->route);
        MUST(site->address_count >= 1);
        for (size_t k = 0; k < site->address_count; k++)
            MUST(site->addresses[k].listener < core->listener_count && site->addresses[k].host);
    }
}

static void apply(const struct conf_tree *tree, struct diagnostics *diagnostics)
{
    struct core_settings core;
    struct http_config http;
    struct l4_config l4;
    int error = settings_build(tree, &core, &http, &l4, diagnostics);
    if (!error && !diagnostics->count)
        check_settings(&core, &http);
    settings_fini_http(&http);
}

static void try_image(const void *image, size_t size, struct diagnostics *diagnostics, int must_be_valid)
{
    struct conf_tree tree;
    int error = conf_tree_view(&tree, image, size);
    MUST(!error || !must_be_valid);
    if (error)
        return;
    walk(conf_root(&tree), 0);
    apply(&tree, diagnostics);
    conf_tree_fini(&tree);
}

static void try_text(struct slice text, struct diagnostics *diagnostics)
{
    const struct conf_parse_options options = {.environment = environment, .refuse_includes = 1};
    struct conf_builder *builder;
    void *image = NULL;
    size_t size = 0;
    if (conf_builder_new(&builder))
        return;
    int error = conf_parse_text(builder, "fuzz.conf", "/nonexistent", text, &options, diagnostics);
    MUST(!error || error == ERR_NO_MEMORY || diagnostics->count);
    if (!error && !conf_builder_image(builder, &image, &size))
        try_image(image, size, diagnostics, 1);
    free(image);
    conf_builder_free(&builder);
}

static void print(struct diagnostics *diagnostics)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    if (!out)
        return;
    diagnostics_print(diagnostics, out);
    fclose(out);
    for (size_t i = 0; i < length; i++)
        MUST(text[i] == '\n' || text[i] == '\t' || ((unsigned char)text[i] >= 0x20 && text[i] != 0x7f));
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct diagnostics diagnostics;
    diagnostics_init(&diagnostics);
    if (size >= 8 && memcmp(data, CONF_IMAGE_MAGIC, 8) == 0) {
        void *image = malloc(size); /* aligned, as a mapped one is */
        if (image) {
            memcpy(image, data, size);
            try_image(image, size, &diagnostics, 0);
        }
        free(image);
    } else {
        try_text((struct slice){(const char *)data, size}, &diagnostics);
    }
    print(&diagnostics);
    return 0;
}
