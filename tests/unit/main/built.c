#include "built.h"

#include "conf/builder.h"
#include "conf/parse.h"
#include "unit.h"

#include <stdlib.h>

struct diagnostics built_diagnostics;
struct core_settings built_core;
struct http_config built_http;
struct l4_config built_l4;

void built_tree(const char *text, const struct settings_resolved *resolved, struct conf_tree *tree,
                void **image, size_t *size)
{
    const struct conf_parse_options options = {.refuse_includes = 1};
    struct conf_builder *builder;

    diagnostics_init(&built_diagnostics);
    assert_int_equal(conf_builder_new(&builder), 0);
    assert_int_equal(
        conf_parse_text(builder, "t.conf", "/etc/holdfast", slice_of(text), &options, &built_diagnostics), 0);
    if (resolved)
        assert_int_equal(conf_builder_add_blob(builder, SETTINGS_BLOB,
                                               (struct slice){(const char *)resolved, sizeof *resolved}),
                         0);
    assert_int_equal(conf_builder_image(builder, image, size), 0);
    assert_int_equal(conf_tree_view(tree, *image, *size), 0);
    conf_builder_free(&builder);
}

int built_settings(const char *text, const struct settings_resolved *resolved)
{
    struct conf_tree tree;
    void *image;
    size_t size;
    int error;

    settings_fini_http(&built_http);
    built_tree(text, resolved, &tree, &image, &size);
    error = settings_build(&tree, &built_core, &built_http, &built_l4, &built_diagnostics);
    conf_tree_fini(&tree);
    free(image); /* nothing of it is needed any more */
    return error;
}

void built_valid(const char *text)
{
    assert_int_equal(built_settings(text, NULL), 0);
    if (built_diagnostics.count)
        diagnostics_print(&built_diagnostics, stderr);
    assert_int_equal(built_diagnostics.count, 0);
}

int built_teardown(void **state)
{
    (void)state;
    settings_fini_http(&built_http);
    return 0;
}
