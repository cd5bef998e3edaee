/* The snapshot's format: one flat piece of memory, offsets only, so that it can be sealed in a memfd and
 * mapped anywhere. Only tree.c and builder.c look at it.
 *
 * All numbers are in the machine's own byte order: an image never leaves the machine. It begins with the
 * header; each section lies at a multiple of 8 and is an array of the records below:
 *
 *   files    one for each time a file was read, in reading order
 *   nodes    statements in the order of the text; node 0 is the root, a statement without a name
 *   words    arguments; those of one node are neighbours
 *   blobs    named bytes (what the loader read or looked up on behalf of later processes)
 *   bytes    texts, sources and blob contents; its last byte, which is the image's last, is NUL, so that
 * every text that begins inside it also ends inside it
 *
 * Text offsets count from the beginning of `bytes`. In a node, 0 means "none" for first_child and next,
 * because the root is nobody's child. parent < node, first_child and next > node: no image can contain a
 * cycle. Another version may have written an image: it is refused unless `version` is the same. */
#ifndef HOLDFAST_CONF_IMAGE_H
#define HOLDFAST_CONF_IMAGE_H

#include <stdint.h>

#define CONF_IMAGE_MAGIC "HFCONF\r\n"
#define CONF_IMAGE_VERSION 1u
#define CONF_IMAGE_MAX (16u << 20)
#define CONF_IMAGE_ALIGN 8u

enum conf_image_section_id {
    CONF_IMAGE_FILES,
    CONF_IMAGE_NODES,
    CONF_IMAGE_WORDS,
    CONF_IMAGE_BLOBS,
    CONF_IMAGE_BYTES,
    CONF_IMAGE_SECTIONS
};

struct conf_image_section {
    uint32_t offset; /* from the beginning of the image */
    uint32_t count;  /* records; for `bytes`, bytes */
};

struct conf_image_header {
    char magic[8];
    uint32_t version;
    uint32_t size; /* of the whole image in bytes */
    struct conf_image_section sections[CONF_IMAGE_SECTIONS];
};

struct conf_image_file {
    uint32_t path;      /* text: as the operator named it, for messages */
    uint32_t directory; /* text: absolute, what relative paths in this file start from */
    uint32_t source, source_length;
};

struct conf_image_word {
    uint32_t text;
    uint32_t line, column, width; /* where it stands in the source: 1-based, columns in characters */
    uint32_t quoted;              /* 1: was written in quotes */
};

#define CONF_IMAGE_NODE_BLOCK 1u  /* has a block, perhaps an empty one */
#define CONF_IMAGE_NODE_BROKEN 2u /* had an error of its own that is already reported */

struct conf_image_node {
    uint32_t parent, first_child, next;
    uint32_t file;
    uint32_t flags;
    uint32_t first_word, word_count;
    struct conf_image_word name;
};

struct conf_image_blob {
    uint32_t name; /* text */
    uint32_t at, length;
};

#endif
