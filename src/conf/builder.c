#include "conf/builder.h"

#include "base/assert.h"
#include "base/fd.h"
#include "conf/image.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

/* Leaves room for the header and for the gaps between the sections. */
#define CONTENT_MAX (CONF_IMAGE_MAX - 256u)

/* One section while it grows. */
struct section {
    unsigned char *at; /* owned */
    size_t length, capacity;
};

struct conf_builder {
    int error;    /* the first one */
    size_t total; /* bytes in all sections */
    struct section sections[CONF_IMAGE_SECTIONS];
    struct section last_children; /* of every node, uint32_t: where the next sibling is linked */
};

static size_t record_size(enum conf_image_section_id id)
{
    static const size_t sizes[CONF_IMAGE_SECTIONS] = {
        [CONF_IMAGE_FILES] = sizeof(struct conf_image_file),
        [CONF_IMAGE_NODES] = sizeof(struct conf_image_node),
        [CONF_IMAGE_WORDS] = sizeof(struct conf_image_word),
        [CONF_IMAGE_BLOBS] = sizeof(struct conf_image_blob),
        [CONF_IMAGE_BYTES] = 1,
    };
    return sizes[id];
}

static uint32_t record_count(const struct conf_builder *builder, enum conf_image_section_id id)
{
    return (uint32_t)(builder->sections[id].length / record_size(id));
}

static int section_reserve(struct section *section, size_t more)
{
    size_t needed = section->length + more;
    if (needed <= section->capacity)
        return 0;
    size_t capacity = section->capacity ? section->capacity : 1024;
    while (capacity < needed)
        capacity *= 2;
    unsigned char *grown = realloc(section->at, capacity);
    if (!grown)
        return ERR_NO_MEMORY;
    section->at = grown;
    section->capacity = capacity;
    return 0;
}

/* Appends bytes; the builder keeps the error. Returns where they begin in the section. */
static uint32_t append(struct conf_builder *builder, struct section *section, const void *bytes,
                       size_t length)
{
    if (builder->error)
        return 0;
    if (length > CONTENT_MAX - builder->total)
        builder->error = ERR_LIMIT;
    else
        builder->error = section_reserve(section, length);
    if (builder->error)
        return 0;
    uint32_t begin = (uint32_t)section->length;
    if (length)
        memcpy(section->at + begin, bytes, length);
    section->length += length;
    builder->total += length;
    return begin;
}

static uint32_t append_text(struct conf_builder *builder, struct slice text)
{
    struct section *bytes = &builder->sections[CONF_IMAGE_BYTES];
    uint32_t begin = append(builder, bytes, text.at, text.length);
    append(builder, bytes, "", 1);
    return begin;
}

static struct conf_image_node *node_at(struct conf_builder *builder, uint32_t index)
{
    return (struct conf_image_node *)(void *)builder->sections[CONF_IMAGE_NODES].at + index;
}

static void append_node(struct conf_builder *builder, const struct conf_image_node *node)
{
    const uint32_t none = 0;
    append(builder, &builder->sections[CONF_IMAGE_NODES], node, sizeof *node);
    append(builder, &builder->last_children, &none, sizeof none);
}

int conf_builder_new(struct conf_builder **builder)
{
    struct conf_builder *made = calloc(1, sizeof *made);
    if (!made)
        return ERR_NO_MEMORY;
    struct conf_image_node root = {.flags = CONF_IMAGE_NODE_BLOCK};
    root.name.text = append_text(made, SLICE_LITERAL(""));
    append_node(made, &root);
    int error = made->error;
    if (error)
        conf_builder_free(&made);
    *builder = made;
    return error;
}

void conf_builder_free(struct conf_builder **builder)
{
    struct conf_builder *gone = *builder;
    if (!gone)
        return;
    for (int id = 0; id < CONF_IMAGE_SECTIONS; id++)
        free(gone->sections[id].at);
    free(gone->last_children.at);
    free(gone);
    *builder = NULL;
}

int conf_builder_add_file(struct conf_builder *builder, const char *path, const char *directory,
                          struct slice source)
{
    struct conf_image_file file = {.source_length = (uint32_t)source.length};
    file.path = append_text(builder, slice_of(path));
    file.directory = append_text(builder, slice_of(directory));
    file.source = append_text(builder, source);
    append(builder, &builder->sections[CONF_IMAGE_FILES], &file, sizeof file);
    return builder->error ? builder->error : (int)record_count(builder, CONF_IMAGE_FILES) - 1;
}

static struct conf_image_word word_record(struct conf_builder *builder, const struct conf_word *word)
{
    return (struct conf_image_word){.text = append_text(builder, word->text),
                                    .line = word->line,
                                    .column = word->column,
                                    .width = word->width,
                                    .quoted = word->quoted != 0};
}

/* Links a new node behind its last sibling. */
static void link_node(struct conf_builder *builder, uint32_t parent, uint32_t index)
{
    uint32_t *last = (uint32_t *)(void *)builder->last_children.at + parent;
    if (*last)
        node_at(builder, *last)->next = index;
    else
        node_at(builder, parent)->first_child = index;
    *last = index;
}

int conf_builder_add_node(struct conf_builder *builder, int parent, int file, const struct conf_word *name,
                          int has_block, int broken)
{
    struct conf_image_node node = {
        .parent = (uint32_t)parent,
        .file = (uint32_t)file,
        .flags = (has_block ? CONF_IMAGE_NODE_BLOCK : 0) | (broken ? CONF_IMAGE_NODE_BROKEN : 0),
        .first_word = record_count(builder, CONF_IMAGE_WORDS),
    };
    node.name = word_record(builder, name);
    append_node(builder, &node);
    if (builder->error)
        return builder->error;
    uint32_t index = record_count(builder, CONF_IMAGE_NODES) - 1;
    link_node(builder, (uint32_t)parent, index);
    return (int)index;
}

int conf_builder_add_argument(struct conf_builder *builder, const struct conf_word *word)
{
    struct conf_image_word record = word_record(builder, word);
    append(builder, &builder->sections[CONF_IMAGE_WORDS], &record, sizeof record);
    if (!builder->error)
        node_at(builder, record_count(builder, CONF_IMAGE_NODES) - 1)->word_count++;
    return builder->error;
}

int conf_builder_add_blob(struct conf_builder *builder, const char *name, struct slice bytes)
{
    static const char padding[CONF_IMAGE_ALIGN] = {0};
    struct section *texts = &builder->sections[CONF_IMAGE_BYTES];
    const struct conf_image_blob *blobs = (const void *)builder->sections[CONF_IMAGE_BLOBS].at;
    for (uint32_t i = 0; i < record_count(builder, CONF_IMAGE_BLOBS); i++) {
        if (strcmp((const char *)texts->at + blobs[i].name, name) == 0)
            return ERR_EXISTS;
    }
    struct conf_image_blob blob = {.length = (uint32_t)bytes.length};
    blob.name = append_text(builder, slice_of(name));
    append(builder, texts, padding, -texts->length % CONF_IMAGE_ALIGN);
    blob.at = append_text(builder, bytes);
    append(builder, &builder->sections[CONF_IMAGE_BLOBS], &blob, sizeof blob);
    return builder->error;
}

int conf_builder_error(const struct conf_builder *builder)
{
    return builder->error;
}

static size_t align_up(size_t size)
{
    return (size + CONF_IMAGE_ALIGN - 1) / CONF_IMAGE_ALIGN * CONF_IMAGE_ALIGN;
}

int conf_builder_image(struct conf_builder *builder, void **image, size_t *size)
{
    if (builder->error)
        return builder->error;
    struct conf_image_header header = {.version = CONF_IMAGE_VERSION};
    memcpy(header.magic, CONF_IMAGE_MAGIC, sizeof header.magic);
    size_t total = align_up(sizeof header);
    for (int id = 0; id < CONF_IMAGE_SECTIONS; id++) {
        header.sections[id].offset = (uint32_t)total;
        header.sections[id].count = record_count(builder, (enum conf_image_section_id)id);
        size_t length = builder->sections[id].length;
        total += id == CONF_IMAGE_BYTES ? length : align_up(length);
    }
    MUST(total <= CONF_IMAGE_MAX);
    header.size = (uint32_t)total;
    unsigned char *made = calloc(1, total);
    if (!made)
        return ERR_NO_MEMORY;
    memcpy(made, &header, sizeof header);
    for (int id = 0; id < CONF_IMAGE_SECTIONS; id++) {
        if (builder->sections[id].length)
            memcpy(made + header.sections[id].offset, builder->sections[id].at, builder->sections[id].length);
    }
    *image = made;
    *size = total;
    return 0;
}

int conf_builder_seal(struct conf_builder *builder)
{
    void *image = NULL;
    size_t size = 0;
    int error = conf_builder_image(builder, &image, &size);
    if (error)
        return error;
    int fd = fd_memfd("holdfast-config", 0, 0);
    error = fd < 0 ? fd : fd_write_all(fd, image, size);
    if (!error && fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0)
        error = ERR_IO;
    if (error && fd >= 0)
        fd_close(&fd);
    free(image);
    return error ? error : fd;
}
