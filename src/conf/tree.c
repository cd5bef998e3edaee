#include "conf/tree.h"

#include "base/assert.h"
#include "conf/image.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

static const struct conf_image_header *header_of(const struct conf_tree *tree)
{
    return (const void *)tree->at;
}

static const void *section_of(const struct conf_tree *tree, enum conf_image_section_id id)
{
    return tree->at + header_of(tree)->sections[id].offset;
}

static uint32_t count_of(const struct conf_tree *tree, enum conf_image_section_id id)
{
    return header_of(tree)->sections[id].count;
}

static const char *text_at(const struct conf_tree *tree, uint32_t offset)
{
    return (const char *)section_of(tree, CONF_IMAGE_BYTES) + offset;
}

/* The check of an image that somebody else wrote: everything that the accessors below rely on. */

static int check_header(const struct conf_image_header *header, size_t size)
{
    static const size_t sizes[CONF_IMAGE_SECTIONS] = {
        [CONF_IMAGE_FILES] = sizeof(struct conf_image_file),
        [CONF_IMAGE_NODES] = sizeof(struct conf_image_node),
        [CONF_IMAGE_WORDS] = sizeof(struct conf_image_word),
        [CONF_IMAGE_BLOBS] = sizeof(struct conf_image_blob),
        [CONF_IMAGE_BYTES] = 1,
    };
    if (memcmp(header->magic, CONF_IMAGE_MAGIC, sizeof header->magic) != 0)
        return ERR_SYNTAX;
    if (header->version != CONF_IMAGE_VERSION)
        return ERR_VERSION;
    if (header->size != size)
        return ERR_SYNTAX;
    for (int id = 0; id < CONF_IMAGE_SECTIONS; id++) {
        const struct conf_image_section *section = &header->sections[id];
        uint64_t end = (uint64_t)section->offset + (uint64_t)section->count * sizes[id];
        if (section->offset < sizeof *header || section->offset % CONF_IMAGE_ALIGN || end > size)
            return ERR_SYNTAX;
        if (id == CONF_IMAGE_BYTES && (section->count == 0 || end != size))
            return ERR_SYNTAX;
    }
    return header->sections[CONF_IMAGE_NODES].count ? 0 : ERR_SYNTAX;
}

/* [at, at + length) lies in `bytes`, and one byte behind it, too: the NUL. */
static int is_inside(const struct conf_tree *tree, uint32_t at, uint32_t length)
{
    uint32_t all = count_of(tree, CONF_IMAGE_BYTES);
    return at < all && length < all - at;
}

static int check_node(const struct conf_tree *tree, uint32_t index)
{
    const struct conf_image_node *nodes = section_of(tree, CONF_IMAGE_NODES), *node = &nodes[index];
    uint32_t count = count_of(tree, CONF_IMAGE_NODES), words = count_of(tree, CONF_IMAGE_WORDS);
    if (index ? node->parent >= index : node->parent || node->next)
        return ERR_SYNTAX;
    if (node->first_child) {
        if (node->first_child <= index || node->first_child >= count ||
            nodes[node->first_child].parent != index)
            return ERR_SYNTAX;
    }
    if (node->next) {
        if (node->next <= index || node->next >= count || nodes[node->next].parent != node->parent)
            return ERR_SYNTAX;
    }
    if (node->first_word > words || node->word_count > words - node->first_word)
        return ERR_SYNTAX;
    if (node->word_count > CONF_ARGUMENTS_MAX || node->file >= count_of(tree, CONF_IMAGE_FILES))
        return ERR_SYNTAX;
    return is_inside(tree, node->name.text, 0) ? 0 : ERR_SYNTAX;
}

/* The walks below recurse, so depth is bounded, too: at most CONF_DEPTH_MAX steps up from each node. */
static int check_depth(const struct conf_tree *tree, uint32_t index)
{
    const struct conf_image_node *nodes = section_of(tree, CONF_IMAGE_NODES);
    for (int depth = 0; index; depth++) {
        if (depth > CONF_DEPTH_MAX)
            return ERR_SYNTAX;
        index = nodes[index].parent;
    }
    return 0;
}

static int check_records(const struct conf_tree *tree)
{
    const struct conf_image_file *files = section_of(tree, CONF_IMAGE_FILES);
    for (uint32_t i = 0; i < count_of(tree, CONF_IMAGE_FILES); i++) {
        if (!is_inside(tree, files[i].path, 0) || !is_inside(tree, files[i].directory, 0) ||
            !is_inside(tree, files[i].source, files[i].source_length))
            return ERR_SYNTAX;
    }
    const struct conf_image_word *words = section_of(tree, CONF_IMAGE_WORDS);
    for (uint32_t i = 0; i < count_of(tree, CONF_IMAGE_WORDS); i++) {
        if (!is_inside(tree, words[i].text, 0))
            return ERR_SYNTAX;
    }
    const struct conf_image_blob *blobs = section_of(tree, CONF_IMAGE_BLOBS);
    for (uint32_t i = 0; i < count_of(tree, CONF_IMAGE_BLOBS); i++) {
        if (!is_inside(tree, blobs[i].name, 0) || !is_inside(tree, blobs[i].at, blobs[i].length) ||
            blobs[i].at % CONF_IMAGE_ALIGN)
            return ERR_SYNTAX;
    }
    for (uint32_t i = 0; i < count_of(tree, CONF_IMAGE_NODES); i++) {
        if (check_node(tree, i) || check_depth(tree, i))
            return ERR_SYNTAX;
    }
    return 0;
}

int conf_tree_view(struct conf_tree *tree, const void *image, size_t size)
{
    *tree = (struct conf_tree){.magic = CONF_TREE_MAGIC, .at = image, .size = size};
    if (size < sizeof(struct conf_image_header) || size > CONF_IMAGE_MAX ||
        (uintptr_t)image % CONF_IMAGE_ALIGN)
        return ERR_SYNTAX;
    int error = check_header(header_of(tree), size);
    if (error)
        return error;
    if (tree->at[size - 1] != '\0') /* every text ends inside the image */
        return ERR_SYNTAX;
    return check_records(tree);
}

int conf_tree_map(struct conf_tree *tree, int fd)
{
    const int needed = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK;
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & needed) != needed)
        return ERR_PERMISSION;
    struct stat status;
    if (fstat(fd, &status) != 0)
        return err_from_errno(errno);
    if (status.st_size < (off_t)sizeof(struct conf_image_header) || status.st_size > (off_t)CONF_IMAGE_MAX)
        return ERR_SYNTAX;
    size_t size = (size_t)status.st_size;
    void *image = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (image == MAP_FAILED)
        return err_from_errno(errno);
    int error = conf_tree_view(tree, image, size);
    tree->mapped = 1;
    if (error)
        conf_tree_fini(tree);
    return error;
}

void conf_tree_fini(struct conf_tree *tree)
{
    if (tree->mapped)
        munmap((void *)(uintptr_t)tree->at, tree->size);
    *tree = (struct conf_tree){0};
}

/* Access. */

static const struct conf_image_node *record_of(struct conf_node node)
{
    MUST(node.tree && node.tree->magic == CONF_TREE_MAGIC);
    return (const struct conf_image_node *)section_of(node.tree, CONF_IMAGE_NODES) + node.index;
}

static const struct conf_image_word *word_of(struct conf_node node, size_t index)
{
    const struct conf_image_node *record = record_of(node);
    MUST(index < record->word_count);
    return (const struct conf_image_word *)section_of(node.tree, CONF_IMAGE_WORDS) + record->first_word +
           index;
}

static const struct conf_image_file *file_of(const struct conf_tree *tree, size_t index)
{
    MUST(index < count_of(tree, CONF_IMAGE_FILES));
    return (const struct conf_image_file *)section_of(tree, CONF_IMAGE_FILES) + index;
}

struct conf_node conf_root(const struct conf_tree *tree)
{
    MUST(tree->magic == CONF_TREE_MAGIC);
    return (struct conf_node){tree, 0};
}

static struct conf_node node_or_none(const struct conf_tree *tree, uint32_t index)
{
    return (struct conf_node){index ? tree : NULL, index};
}

struct conf_node conf_first_child(struct conf_node node)
{
    return node_or_none(node.tree, record_of(node)->first_child);
}

struct conf_node conf_next(struct conf_node node)
{
    return node_or_none(node.tree, record_of(node)->next);
}

int conf_node_exists(struct conf_node node)
{
    return node.tree != NULL;
}

const char *conf_name(struct conf_node node)
{
    return text_at(node.tree, record_of(node)->name.text);
}

size_t conf_arg_count(struct conf_node node)
{
    return record_of(node)->word_count;
}

const char *conf_arg(struct conf_node node, size_t index)
{
    return text_at(node.tree, word_of(node, index)->text);
}

int conf_arg_quoted(struct conf_node node, size_t index)
{
    return word_of(node, index)->quoted != 0;
}

int conf_has_block(struct conf_node node)
{
    return (record_of(node)->flags & CONF_IMAGE_NODE_BLOCK) != 0;
}

int conf_is_broken(struct conf_node node)
{
    return (record_of(node)->flags & CONF_IMAGE_NODE_BROKEN) != 0;
}

const char *conf_file(struct conf_node node)
{
    return conf_file_path(node.tree, record_of(node)->file);
}

uint32_t conf_line(struct conf_node node)
{
    return record_of(node)->name.line;
}

uint32_t conf_column(struct conf_node node)
{
    return record_of(node)->name.column;
}

const char *conf_directory(struct conf_node node)
{
    return text_at(node.tree, file_of(node.tree, record_of(node)->file)->directory);
}

/* A line of a source without its line break; empty if there is no such line. */
static struct slice source_line(struct slice source, uint32_t line)
{
    const char *at = source.at, *end = source.at + source.length;
    while (line > 1 && at < end) {
        const char *feed = memchr(at, '\n', (size_t)(end - at));
        at = feed ? feed + 1 : end;
        line--;
    }
    const char *feed = memchr(at, '\n', (size_t)(end - at));
    size_t length = (size_t)((feed ? feed : end) - at);
    if (length && at[length - 1] == '\r')
        length--;
    return (struct slice){at, length};
}

static struct diagnostic_place place_of(struct conf_node node, const struct conf_image_word *word)
{
    uint32_t file = record_of(node)->file;
    return (struct diagnostic_place){
        .file = conf_file_path(node.tree, file),
        .file_order = file,
        .line = word->line,
        .column = word->column,
        .width = word->width,
        .source = word->line ? source_line(conf_file_source(node.tree, file), word->line) : SLICE_LITERAL(""),
    };
}

struct diagnostic_place conf_place(struct conf_node node)
{
    return place_of(node, &record_of(node)->name);
}

struct diagnostic_place conf_arg_place(struct conf_node node, size_t index)
{
    return place_of(node, word_of(node, index));
}

int conf_path_resolve(struct conf_node node, const char *path, char *out, size_t capacity)
{
    struct text text;
    text_init(&text, out, capacity);
    if (path[0] != '/') {
        const char *directory = conf_directory(node);
        text_add_c(&text, directory);
        if (directory[0] && directory[strlen(directory) - 1] != '/')
            text_add_c(&text, "/");
    }
    text_add_c(&text, path);
    return text.overflow ? ERR_LIMIT : 0;
}

int conf_tree_blob(const struct conf_tree *tree, const char *name, struct slice *bytes)
{
    const struct conf_image_blob *blobs = section_of(tree, CONF_IMAGE_BLOBS);
    for (uint32_t i = 0; i < count_of(tree, CONF_IMAGE_BLOBS); i++) {
        if (strcmp(text_at(tree, blobs[i].name), name) != 0)
            continue;
        *bytes = (struct slice){text_at(tree, blobs[i].at), blobs[i].length};
        return 0;
    }
    return ERR_NOT_FOUND;
}

size_t conf_file_count(const struct conf_tree *tree)
{
    return count_of(tree, CONF_IMAGE_FILES);
}

const char *conf_file_path(const struct conf_tree *tree, size_t index)
{
    return text_at(tree, file_of(tree, index)->path);
}

struct slice conf_file_source(const struct conf_tree *tree, size_t index)
{
    const struct conf_image_file *file = file_of(tree, index);
    return (struct slice){text_at(tree, file->source), file->source_length};
}
