#include "conf/parse.h"

#include "base/fd.h"
#include "conf/lexer.h"
#include "conf/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* A file that is being read; `up` is the one that includes it. */
struct source {
    const char *path;
    const char *folder;    /* what its includes start from, as the operator would write it; "" for here */
    const char *directory; /* the same, absolute */
    struct slice text;
    int in_file; /* device and inode mean something */
    dev_t device;
    ino_t inode;
    int depth;
    const struct source *up;
};

/* A block that is not closed yet. */
struct open_block {
    int node;
    struct lexer_word word;
};

struct parse {
    struct conf_builder *builder;
    const struct conf_parse_options *options;
    struct diagnostics *diagnostics;
    int files_read;
    int depth; /* of blocks, over all files */
    struct open_block blocks[CONF_DEPTH_MAX + 1];
};

static int read_file(struct parse *parse, const char *path, const struct diagnostic_place *asked_by,
                     const struct source *up);

/* The place of a file as a whole. */
static struct diagnostic_place whole_file(const struct parse *parse, const char *path)
{
    return (struct diagnostic_place){
        .file = path, .file_order = (uint32_t)parse->files_read, .source = {"", 0}};
}

/* Includes. */

static void add_glob_escaped(struct text *out, const char *path)
{
    for (; *path; path++) {
        if (strchr("*?[]\\", *path))
            text_add_c(out, "\\");
        text_add(out, (struct slice){path, 1});
    }
}

static void report_glob(struct parse *parse, const struct diagnostic_place *place, const char *pattern,
                        int result)
{
    if (result == GLOB_NOSPACE)
        diagnostics_add(parse->diagnostics, place, NULL, "out of memory while looking for \"%s\"", pattern);
    else if (result == GLOB_ABORTED)
        diagnostics_add(parse->diagnostics, place, NULL, "a folder of \"%s\" cannot be read", pattern);
    else
        diagnostics_add(parse->diagnostics, place, "only a name with * or ? may match nothing",
                        "there is no file \"%s\"", pattern);
}

static int include_pattern(struct parse *parse, const struct source *source, const char *pattern,
                           const struct diagnostic_place *place)
{
    char full[PATH_MAX];
    struct text text;
    text_init(&text, full, sizeof full);
    if (pattern[0] != '/')
        add_glob_escaped(&text, source->folder);
    text_add_c(&text, pattern);
    if (text.overflow || !pattern[0]) {
        diagnostics_add(parse->diagnostics, place, NULL, "this is not a path");
        return ERR_SYNTAX;
    }
    glob_t found;
    int result = glob(full, 0, NULL, &found);
    if (result != 0) {
        int may_be_empty = result == GLOB_NOMATCH && pattern[strcspn(pattern, "*?[")];
        if (!may_be_empty)
            report_glob(parse, place, pattern, result);
        return may_be_empty ? 0 : ERR_SYNTAX;
    }
    int worst = 0;
    for (size_t i = 0; i < found.gl_pathc && worst != ERR_NO_MEMORY && worst != ERR_LIMIT; i++) {
        int error = read_file(parse, found.gl_pathv[i], place, source);
        worst = error ? error : worst;
    }
    globfree(&found);
    return worst;
}

static int include(struct parse *parse, const struct source *source, const struct lexer *lexer)
{
    struct diagnostic_place place = lexer_place(lexer, 0);
    if (lexer->broken)
        return ERR_SYNTAX; /* what it would have brought is missing, so the rest cannot be judged */
    if (parse->options->refuse_includes) {
        diagnostics_add(parse->diagnostics, &place, NULL, "include is not possible here");
        return ERR_SYNTAX;
    }
    if (lexer->word_count < 2) {
        diagnostics_add(parse->diagnostics, &place, "usage: include GLOB...", "include needs a file");
        return ERR_SYNTAX;
    }
    int worst = 0;
    for (size_t i = 1; i < lexer->word_count; i++) {
        struct conf_word word = lexer_word(lexer, i);
        char pattern[PATH_MAX];
        struct text text;
        text_init(&text, pattern, sizeof pattern);
        text_add(&text, word.text);
        place = lexer_place(lexer, i);
        int error = include_pattern(parse, source, text.overflow ? "" : pattern, &place);
        if (error == ERR_NO_MEMORY || error == ERR_LIMIT)
            return error;
        worst = error ? error : worst;
    }
    return worst;
}

/* Statements. */

static int add_statement(struct parse *parse, const struct lexer *lexer, int file, int has_block)
{
    struct conf_word name = lexer_word(lexer, 0);
    int parent = parse->blocks[parse->depth].node;
    int node = conf_builder_add_node(parse->builder, parent, file, &name, has_block, lexer->broken);
    for (size_t i = 1; i < lexer->word_count && node >= 0; i++) {
        struct conf_word word = lexer_word(lexer, i);
        int error = conf_builder_add_argument(parse->builder, &word);
        node = error ? error : node;
    }
    return node;
}

static int open_block(struct parse *parse, const struct lexer *lexer, int file)
{
    if (parse->depth == CONF_DEPTH_MAX) {
        struct diagnostic_place place = lexer_place(lexer, 0);
        diagnostics_add(parse->diagnostics, &place, NULL, "blocks stand more than %d deep", CONF_DEPTH_MAX);
        return ERR_LIMIT;
    }
    int node = add_statement(parse, lexer, file, 1);
    if (node < 0)
        return node;
    parse->blocks[++parse->depth] = (struct open_block){node, lexer->words[0]};
    return 0;
}

static int close_block(struct parse *parse, const struct lexer *lexer, int base_depth)
{
    if (parse->depth > base_depth) {
        parse->depth--;
        return 0;
    }
    struct diagnostic_place place = lexer_place(lexer, 0);
    diagnostics_add(parse->diagnostics, &place, NULL, "this } closes nothing");
    return ERR_SYNTAX;
}

static int is_include(const struct lexer *lexer)
{
    return !lexer->words[0].quoted && slice_equals(lexer_word(lexer, 0).text, SLICE_LITERAL("include"));
}

static int take_statement(struct parse *parse, const struct source *source, const struct lexer *lexer,
                          enum lexer_event event, int base_depth)
{
    if (event == LEXER_CLOSE)
        return close_block(parse, lexer, base_depth);
    if (event == LEXER_REOPEN) {
        int error = close_block(parse, lexer, base_depth);
        return error ? error : open_block(parse, lexer, (int)lexer->file);
    }
    if (event == LEXER_STATEMENT && is_include(lexer))
        return include(parse, source, lexer);
    if (event == LEXER_OPEN)
        return open_block(parse, lexer, (int)lexer->file);
    int node = add_statement(parse, lexer, (int)lexer->file, 0);
    return node < 0 ? node : 0;
}

/* The rest of a file with a broken structure is read on, for its other mistakes. */
static int read_statements(struct parse *parse, const struct source *source, struct lexer *lexer)
{
    int base_depth = parse->depth, worst = 0;
    for (;;) {
        enum lexer_event event;
        int error = lexer_next(lexer, &event);
        if (!error && event == LEXER_END)
            break;
        if (!error)
            error = take_statement(parse, source, lexer, event, base_depth);
        if (error == ERR_NO_MEMORY || error == ERR_LIMIT)
            return error;
        worst = error ? error : worst;
    }
    while (parse->depth > base_depth) {
        lexer->words[0] = parse->blocks[parse->depth--].word;
        struct diagnostic_place place = lexer_place(lexer, 0);
        diagnostics_add(parse->diagnostics, &place, "its } has a line of its own",
                        "this block is not closed");
        worst = ERR_SYNTAX;
    }
    return worst;
}

static int read_source(struct parse *parse, const struct source *source)
{
    struct slice text = source->text;
    if (slice_starts_with(text, SLICE_LITERAL("\xef\xbb\xbf"))) /* a byte order mark, as some editors leave */
        text = (struct slice){text.at + 3, text.length - 3};
    int file = conf_builder_add_file(parse->builder, source->path, source->directory, text);
    if (file < 0)
        return file;
    parse->files_read++;
    struct lexer lexer;
    lexer_init(&lexer, text, source->path, (uint32_t)file, parse->options->environment, parse->diagnostics);
    int error = read_statements(parse, source, &lexer);
    lexer_fini(&lexer);
    return error;
}

/* Files. */

/* A failure of the file itself: shown where it was asked for, or by its name alone if nothing asked. */
static int refuse_file(struct parse *parse, const struct diagnostic_place *asked_by, const char *path,
                       const char *reason)
{
    if (asked_by) {
        diagnostics_add(parse->diagnostics, asked_by, NULL, "\"%s\" %s", path, reason);
        return ERR_SYNTAX;
    }
    struct diagnostic_place place = whole_file(parse, path);
    diagnostics_add(parse->diagnostics, &place, NULL, "the file %s", reason);
    return ERR_SYNTAX;
}

static int refuse_errno(struct parse *parse, const struct diagnostic_place *asked_by, const char *path,
                        int number)
{
    char reason[128];
    struct text text;
    text_init(&text, reason, sizeof reason);
    text_add_f(&text, "cannot be read: %s", strerror(number));
    return refuse_file(parse, asked_by, path, reason);
}

static const char *limit_reached(const struct parse *parse, const struct source *source)
{
    if (source->depth > CONF_INCLUDE_DEPTH_MAX)
        return "would be the 11th include inside an include";
    if (parse->files_read >= CONF_FILES_MAX)
        return "would be more than the 1000 files that a configuration may have";
    for (const struct source *above = source->up; above; above = above->up) {
        if (above->in_file && above->device == source->device && above->inode == source->inode)
            return "includes itself";
    }
    return NULL;
}

/* Reads an open file into new memory. Reports; 0 or an error. */
static int load_text(struct parse *parse, int fd, struct source *source,
                     const struct diagnostic_place *asked_by, char **memory)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return refuse_errno(parse, asked_by, source->path, errno);
    if (!S_ISREG(status.st_mode))
        return refuse_file(parse, asked_by, source->path,
                           S_ISDIR(status.st_mode) ? "is a folder" : "is not a regular file");
    if (status.st_size > (off_t)CONF_FILE_SIZE_MAX)
        return refuse_file(parse, asked_by, source->path, "is larger than 4 MiB");
    source->in_file = 1;
    source->device = status.st_dev;
    source->inode = status.st_ino;
    const char *limit = limit_reached(parse, source);
    if (limit)
        return refuse_file(parse, asked_by, source->path, limit);
    size_t capacity = (size_t)status.st_size + 1;
    *memory = malloc(capacity);
    if (!*memory)
        return ERR_NO_MEMORY;
    int error = fd_read_all(fd, *memory, capacity, &source->text.length);
    if (error)
        return refuse_file(parse, asked_by, source->path, "cannot be read to its end");
    if (source->text.length == capacity)
        return refuse_file(parse, asked_by, source->path, "grew while it was read");
    source->text.at = *memory;
    return 0;
}

/* "conf.d/site.conf" -> "conf.d/"; "site.conf" -> "". */
static int folder_of(const char *path, char out[PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    size_t length = slash ? (size_t)(slash - path) + 1 : 0;
    if (length >= PATH_MAX)
        return ERR_LIMIT;
    memcpy(out, path, length);
    out[length] = '\0';
    return 0;
}

static int read_open_file(struct parse *parse, int fd, struct source *source,
                          const struct diagnostic_place *asked_by)
{
    char folder[PATH_MAX], directory[PATH_MAX];
    char *memory = NULL;
    if (folder_of(source->path, folder) || !realpath(folder[0] ? folder : ".", directory))
        return refuse_errno(parse, asked_by, source->path, errno);
    source->folder = folder;
    source->directory = directory;
    int error = load_text(parse, fd, source, asked_by, &memory);
    if (!error)
        error = read_source(parse, source);
    free(memory);
    return error;
}

static int read_file(struct parse *parse, const char *path, const struct diagnostic_place *asked_by,
                     const struct source *up)
{
    struct source source = {.path = path, .depth = up ? up->depth + 1 : 0, .up = up};
    /* Without O_NONBLOCK the open of a FIFO would wait for a writer. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return refuse_errno(parse, asked_by, path, errno);
    int error = read_open_file(parse, fd, &source, asked_by);
    fd_close(&fd);
    return error;
}

/* The builder's own limit has no place in the text. */
static int finish(struct parse *parse, const char *name, int error)
{
    if (conf_builder_error(parse->builder) == ERR_LIMIT) {
        struct diagnostic_place place = whole_file(parse, name);
        diagnostics_add(parse->diagnostics, &place, NULL, "the configuration is larger than 16 MiB in all");
    }
    return error;
}

int conf_parse_file(struct conf_builder *builder, const char *path, const struct conf_parse_options *options,
                    struct diagnostics *diagnostics)
{
    struct parse parse = {.builder = builder, .options = options, .diagnostics = diagnostics};
    return finish(&parse, path, read_file(&parse, path, NULL, NULL));
}

int conf_parse_text(struct conf_builder *builder, const char *name, const char *directory, struct slice text,
                    const struct conf_parse_options *options, struct diagnostics *diagnostics)
{
    struct parse parse = {.builder = builder, .options = options, .diagnostics = diagnostics};
    char folder[PATH_MAX];
    struct text start;
    text_init(&start, folder, sizeof folder);
    text_add_c(&start, directory);
    text_add_c(&start, "/");
    if (start.overflow)
        return ERR_LIMIT;
    struct source source = {.path = name, .folder = folder, .directory = directory, .text = text};
    if (!text.at)
        source.text = SLICE_LITERAL("");
    return finish(&parse, name, read_source(&parse, &source));
}
