/* `error_page`: the directive, and how its files get into the snapshot: each as a blob named "page:" and its absolute
 * path. A response is sent from there, from memory or by sendfile from the snapshot's descriptor, which all workers of a
 * generation have under the same number. */
#include "main/pages.h"

#include "base/fd.h"
#include "handler/files/types.h"
#include "main/directives.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE_MAX (256u << 10)
#define BLOB_PREFIX "page:"
#define BLOB_NAME_SIZE (sizeof BLOB_PREFIX + PATH_MAX)

/* --- the loader's part --- */

static void check_file(const struct conf_statement *statement, const struct conf_value *value,
                       const char *path)
{
    struct stat status;

    if (stat(path, &status) || access(path, R_OK))
        conf_refuse_value(statement, value, NULL, "\"%.200s\": %s", value->text, strerror(errno));
    else if (!S_ISREG(status.st_mode))
        conf_refuse_value(statement, value, NULL, "\"%.200s\" is not a file", value->text);
    else if (status.st_size > PAGE_MAX)
        conf_refuse_value(statement, value, NULL, "\"%.200s\" is larger than the 256k that a page may have",
                          value->text);
}

/* Reads it whole. 0 and *length; ERR_IO. */
static int read_page(const char *path, char *bytes, size_t *length)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t count;

    if (fd < 0)
        return ERR_IO;
    *length = 0;
    while ((count = read(fd, bytes + *length, PAGE_MAX + 1 - *length)) > 0)
        *length += (size_t)count;
    fd_close(&fd);
    return count < 0 || *length > PAGE_MAX ? ERR_IO : 0;
}

static int add_page(struct conf_node node, struct conf_builder *builder, char *bytes)
{
    char name[BLOB_NAME_SIZE] = BLOB_PREFIX;
    char *path = name + sizeof BLOB_PREFIX - 1;
    size_t length;
    int error = conf_path_resolve(node, conf_arg(node, 1), path, PATH_MAX);

    if (!error)
        error = read_page(path, bytes, &length);
    if (!error)
        error = conf_builder_add_blob(builder, name, (struct slice){bytes, length});
    return error == ERR_EXISTS ? 0 : error; /* named twice, read once */
}

static int collect(struct conf_node parent, struct conf_builder *builder, char *bytes)
{
    int error = 0;

    for (struct conf_node node = conf_first_child(parent); !error && conf_node_exists(node);
         node = conf_next(node)) {
        if (!strcmp(conf_name(node), "error_page"))
            error = add_page(node, builder, bytes);
        else
            error = collect(node, builder, bytes);
    }
    return error;
}

int pages_collect(const struct conf_tree *tree, struct conf_builder *builder)
{
    char *bytes = malloc(PAGE_MAX + 1);
    int error = bytes ? collect(conf_root(tree), builder, bytes) : ERR_NO_MEMORY;

    free(bytes);
    return error;
}

/* --- the directive --- */

/* Where the snapshot has it; nowhere as long as there is none. */
static void find_page(const struct conf_tree *tree, const char *path, struct route_error_page *page)
{
    char name[BLOB_NAME_SIZE];
    struct slice bytes;
    struct text text;

    text_init(&text, name, sizeof name);
    text_add_f(&text, BLOB_PREFIX "%s", path);
    if (text.overflow || conf_tree_blob(tree, name, &bytes))
        return;
    page->offset = (uint64_t)((const unsigned char *)bytes.at - tree->at);
    page->length = bytes.length;
}

static int has_page(const struct http_route *route, int status)
{
    const struct route_error_page *page = route->error_pages;

    while (page && page->status != status)
        page = page->next;
    return page != NULL;
}

static int apply_error_page(void *into, const struct conf_statement *statement, void **child)
{
    struct block_build *block = into;
    struct storage *storage = &block->build->http->storage;
    struct route_error_page *page = storage_take(storage, sizeof *page);
    const struct conf_value *file = conf_value(statement, 1);
    char path[PATH_MAX];
    (void)child;

    if (!page)
        return ERR_NO_MEMORY;
    *page =
        (struct route_error_page){.next = block->route->error_pages, .status = (int)NUMBER_OF(statement, 0)};
    if (has_page(block->route, page->status))
        conf_refuse_value(statement, conf_value(statement, 0), NULL,
                          "there is a page for %d in this block already", page->status);
    if (conf_value_path(statement, file, path, sizeof path)) {
        conf_refuse_value(statement, file, NULL, "the path is too long");
        return 0;
    }
    if (block->build->lookup)
        check_file(statement, file, path);
    find_page(statement->node.tree, path, page);
    page->type = types_of_path(slice_of(path));
    block->route->error_pages = page;
    return 0;
}

static const struct directive directives[] = {
    {
        .name = "error_page",
        .contexts = AT_TOP | IN_SITE | IN_ROUTE,
        .arguments = {{.name = "STATUS", .kind = CONF_COUNT, .min = 400, .max = 599},
                      {.name = "FILE", .kind = CONF_PATH}},
        .repeat = 1,
        .doc = "What is sent with errors of this status, instead of a line of text. The file, of at most "
               "256k, is "
               "read with the configuration, and stays as it was then. A `respond` without a text has it, "
               "too. What "
               "is refused before its site is known has the page of the top level.",
        .example = "site :8080 {\n    files /srv/www\n    error_page 404 /srv/errors/404.html\n}",
        .apply = apply_error_page,
    },
};

const struct directive_table page_directives = {directives, COUNT_OF(directives)};
