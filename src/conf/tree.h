/* The configuration as a tree of statements, read from a sealed snapshot.
 *
 * The loader parses once (conf/parse.h) into a builder (conf/builder.h); what comes out is at the same time
 * the snapshot that master and workers map. They walk it with the directive tables (conf/directive.h). An
 * image is checked whole when it is opened; afterwards no accessor fails. */
#ifndef HOLDFAST_CONF_TREE_H
#define HOLDFAST_CONF_TREE_H

#include "base/bytes.h"
#include "base/err.h"
#include "conf/diagnostic.h"

#include <stddef.h>
#include <stdint.h>

#define CONF_DEPTH_MAX 16      /* blocks inside blocks */
#define CONF_ARGUMENTS_MAX 256 /* of one statement */
#define CONF_TREE_MAGIC 0x686f6c64u

struct conf_tree {
    uint32_t magic;
    const unsigned char *at; /* owned if `mapped`, otherwise borrowed until conf_tree_fini */
    size_t size;
    int mapped;
};

/* A statement; a small value to be copied. Valid as long as its tree. `tree` is NULL for "there is none". */
struct conf_node {
    const struct conf_tree *tree;
    uint32_t index;
};

/* Opens an image that lies in memory, aligned to 8. The memory is borrowed. 0; ERR_VERSION: written by
 * another version; ERR_SYNTAX: not an image, or a damaged one. */
WARN_UNUSED int conf_tree_view(struct conf_tree *tree, const void *image, size_t size);
/* Maps a snapshot read-only. The descriptor must be sealed against writing and resizing (so that what was
 * checked stays true): otherwise ERR_PERMISSION. It stays the caller's and may be closed at once. Errors as
 * above, ERR_IO. */
WARN_UNUSED int conf_tree_map(struct conf_tree *tree, int fd);
void conf_tree_fini(struct conf_tree *tree);

struct conf_node conf_root(const struct conf_tree *tree);
struct conf_node conf_first_child(struct conf_node node);
struct conf_node conf_next(struct conf_node node);
int conf_node_exists(struct conf_node node);

/* All texts are NUL-terminated and borrowed from the tree. The root's name is "". */
const char *conf_name(struct conf_node node);
size_t conf_arg_count(struct conf_node node);
const char *conf_arg(struct conf_node node, size_t index); /* index < conf_arg_count */
int conf_arg_quoted(struct conf_node node, size_t index);
int conf_has_block(struct conf_node node);
/* True for a statement whose words were malformed; the error is already reported, its arguments mean nothing.
 */
int conf_is_broken(struct conf_node node);

/* Where it stands: the file as the operator named it; line and column from 1 (the root: 0). */
const char *conf_file(struct conf_node node);
uint32_t conf_line(struct conf_node node);
uint32_t conf_column(struct conf_node node);
/* The absolute folder that relative paths in this statement start from. */
const char *conf_directory(struct conf_node node);
/* For diagnostics: the statement's name, or its argument `index`. */
struct diagnostic_place conf_place(struct conf_node node);
struct diagnostic_place conf_arg_place(struct conf_node node, size_t index);

/* Joins a relative path to conf_directory(node), leaves an absolute one; NUL-terminated. 0, or ERR_LIMIT if
 * it does not fit in `capacity` bytes. */
WARN_UNUSED int conf_path_resolve(struct conf_node node, const char *path, char *out, size_t capacity);

/* The bytes stored under a name, 0 or ERR_NOT_FOUND. They begin at a multiple of 8. */
WARN_UNUSED int conf_tree_blob(const struct conf_tree *tree, const char *name, struct slice *bytes);

/* The files that were read, in order (a file that was included twice stands there twice). */
size_t conf_file_count(const struct conf_tree *tree);
const char *conf_file_path(const struct conf_tree *tree, size_t index);
struct slice conf_file_source(const struct conf_tree *tree, size_t index);

#endif
