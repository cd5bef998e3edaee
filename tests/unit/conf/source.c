#include "conf/source.h"

#include "conf/parse.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const environment[] = {"NAME=value", "EMPTY=",           "BRACE={",
                                          "SEMI=a;",    "HOST=example.com", NULL};

struct source *source_new_bytes(const char *text, size_t length)
{
    const struct conf_parse_options options = {.environment = environment, .refuse_includes = 1};
    struct source *source = calloc(1, sizeof *source);
    assert_non_null(source);
    diagnostics_init(&source->diagnostics);
    assert_int_equal(conf_builder_new(&source->builder), 0);
    source->error = conf_parse_text(source->builder, "t.conf", "/etc/holdfast", (struct slice){text, length},
                                    &options, &source->diagnostics);
    if (!source->error) {
        assert_int_equal(conf_builder_image(source->builder, &source->image, &source->size), 0);
        assert_int_equal(conf_tree_view(&source->tree, source->image, source->size), 0);
    }
    return source;
}

struct source *source_new(const char *text)
{
    return source_new_bytes(text, strlen(text));
}

void source_free(struct source *source)
{
    conf_builder_free(&source->builder);
    free(source->image);
    free(source);
}

char *source_report(struct source *source)
{
    char *report = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&report, &length);
    assert_non_null(out);
    diagnostics_print(&source->diagnostics, out);
    fclose(out);
    return report;
}

struct conf_node source_child(struct conf_node parent, const char *name, size_t nth)
{
    struct conf_node node = conf_first_child(parent);
    while (conf_node_exists(node) && (strcmp(conf_name(node), name) != 0 || nth-- > 0))
        node = conf_next(node);
    assert_true(conf_node_exists(node));
    return node;
}

static void outline_children(struct conf_node parent, FILE *out)
{
    for (struct conf_node node = conf_first_child(parent); conf_node_exists(node); node = conf_next(node)) {
        fprintf(out, "%s(", conf_name(node));
        for (size_t i = 0; i < conf_arg_count(node); i++)
            fprintf(out, "%s%s", i ? "," : "", conf_arg(node, i));
        fputs(")", out);
        if (conf_has_block(node)) {
            fputs("{", out);
            outline_children(node, out);
            fputs("}", out);
        }
    }
}

char *source_outline(const struct conf_tree *tree)
{
    char *outline = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&outline, &length);
    assert_non_null(out);
    outline_children(conf_root(tree), out);
    fclose(out);
    return outline;
}
