/* A configuration that a test wrote down: parsed, with its diagnostics as text. */
#ifndef HOLDFAST_TESTS_UNIT_CONF_SOURCE_H
#define HOLDFAST_TESTS_UNIT_CONF_SOURCE_H

#include "conf/builder.h"
#include "conf/diagnostic.h"
#include "conf/tree.h"

struct source {
    struct conf_builder *builder; /* owned */
    void *image;                  /* owned */
    size_t size;
    struct conf_tree tree; /* of the image, if `error` is 0 */
    struct diagnostics diagnostics;
    int error; /* what the parser returned */
};

/* Parses `text` under the name "t.conf", with the environment NAME=value EMPTY= BRACE={ SEMI=a; */
struct source *source_new(const char *text);
struct source *source_new_bytes(const char *text, size_t length);
void source_free(struct source *source);
/* All diagnostics as they are printed; owned by the caller, free(). */
char *source_report(struct source *source);
/* The child with this name, the `nth` from 0; it must be there. */
struct conf_node source_child(struct conf_node parent, const char *name, size_t nth);
/* The statements of a tree in one line: "a(b,c){d()}"; owned by the caller. */
char *source_outline(const struct conf_tree *tree);

#endif
