/* Builds the image of a configuration tree (conf/tree.h, format in conf/image.h).
 *
 * Keeps its first error: once something did not fit (16 MiB in all) or memory ran out, every further call
 * returns that error and adds nothing. */
#ifndef HOLDFAST_CONF_BUILDER_H
#define HOLDFAST_CONF_BUILDER_H

#include "base/bytes.h"
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct conf_builder;

/* A word of the source: its value and where it stands (line and column from 1, width in characters). */
struct conf_word {
    struct slice text; /* copied; must not contain NUL */
    uint32_t line, column, width;
    int quoted;
};

/* A builder that holds a root and nothing else; owned by the caller until conf_builder_free. 0 or
 * ERR_NO_MEMORY. */
WARN_UNUSED int conf_builder_new(struct conf_builder **builder);
void conf_builder_free(struct conf_builder **builder);

/* `path` is for messages, `directory` absolute, `source` the file's bytes; all are copied. The first file is
 * also the root's. Returns the file's number (>= 0) or an error. */
WARN_UNUSED int conf_builder_add_file(struct conf_builder *builder, const char *path, const char *directory,
                                      struct slice source);
/* Adds a statement as the last child of `parent` (0: the root). `has_block` and `broken` as in conf/tree.h.
 * Returns the node's number (> 0) or an error. */
WARN_UNUSED int conf_builder_add_node(struct conf_builder *builder, int parent, int file,
                                      const struct conf_word *name, int has_block, int broken);
/* Adds an argument to the node that was added last. 0 or an error. */
WARN_UNUSED int conf_builder_add_argument(struct conf_builder *builder, const struct conf_word *word);
/* Stores bytes under a name; ERR_EXISTS if the name is taken. 0 or an error. */
WARN_UNUSED int conf_builder_add_blob(struct conf_builder *builder, const char *name, struct slice bytes);

/* The first error, 0 if there was none. */
int conf_builder_error(const struct conf_builder *builder);

/* Writes the image of all that was added so far into new memory, which the caller frees with free(). The
 * builder can go on being used. 0 or an error. */
WARN_UNUSED int conf_builder_image(struct conf_builder *builder, void **image, size_t *size);
/* The same into a new memfd, sealed against every change. Returns the descriptor or an error. */
WARN_UNUSED int conf_builder_seal(struct conf_builder *builder);

#endif
