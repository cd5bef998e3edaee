#include "built.h"

#include "conf/builder.h"
#include "conf/parse.h"
#include "unit.h"

struct diagnostics built_diagnostics;

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
