#include "main/loader.h"

#include "base/fd.h"
#include "base/packet.h"
#include "conf/builder.h"
#include "conf/parse.h"
#include "main/pages.h"
#include "main/settings.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct load {
    const char *name;         /* of the file, or of the text */
    const struct slice *text; /* NULL: a file */
    enum settings_purpose purpose;
    int json;                        /* the caller tells what is wrong */
    struct conf_builder *builder;    /* owned */
    struct diagnostics *diagnostics; /* owned */
};

static int parse(struct load *load)
{
    struct conf_parse_options options = {.environment = (const char *const *)environ};
    char folder[PATH_MAX];
    if (!load->text)
        return conf_parse_file(load->builder, load->name, &options, load->diagnostics);
    if (!getcwd(folder, sizeof folder))
        return ERR_IO;
    return conf_parse_text(load->builder, load->name, folder, *load->text, &options, load->diagnostics);
}

/* Judges what was parsed; if nothing is wrong with it, adds to it what was looked up. */
static int judge(struct load *load)
{
    struct conf_tree tree = {0};
    struct settings_resolved resolved;
    void *image = NULL;
    size_t size = 0;
    int error = conf_builder_image(load->builder, &image, &size);
    if (!error)
        error = conf_tree_view(&tree, image, size);
    if (!error)
        error = settings_resolve(&tree, load->purpose, &resolved, load->diagnostics);
    if (!error && !load->diagnostics->count)
        error = pages_collect(&tree, load->builder);
    conf_tree_fini(&tree);
    free(image);
    if (error || load->diagnostics->count)
        return error;
    return conf_builder_add_blob(load->builder, SETTINGS_BLOB,
                                 (struct slice){(const char *)&resolved, sizeof resolved});
}

/* Reads and judges. 0: the configuration is good and whole in load->builder; otherwise everything is said. */
static int load_all(struct load *load)
{
    load->diagnostics = malloc(sizeof *load->diagnostics);
    int error = load->diagnostics ? conf_builder_new(&load->builder) : ERR_NO_MEMORY;
    if (error)
        goto out;
    diagnostics_init(load->diagnostics);
    error = parse(load);
    if (!error)
        error = judge(load);
    if (load->diagnostics->count && load->json)
        return ERR_INVALID;
    if (load->diagnostics->count) {
        size_t count = load->diagnostics->count;
        diagnostics_print(load->diagnostics, stderr);
        fprintf(stderr, "%s: %zu error%s\n", load->name, count, count == 1 ? "" : "s");
        return ERR_INVALID;
    }
out:
    if (error)
        fprintf(stderr, "%s: the configuration could not be loaded: %s\n", load->name, err_text(error));
    return error;
}

static void load_fini(struct load *load)
{
    conf_builder_free(&load->builder);
    free(load->diagnostics);
    load->diagnostics = NULL;
}

static int send_snapshot(struct load *load, int result_fd)
{
    struct core_snapshot_message message = {CORE_SNAPSHOT_MESSAGE, CORE_SNAPSHOT_VERSION, 0};
    struct stat status;
    int fd = conf_builder_seal(load->builder);
    if (fd < 0)
        return fd;
    int error = fstat(fd, &status) == 0 ? 0 : ERR_IO;
    if (!error) {
        message.size = (uint64_t)status.st_size;
        error = packet_send(result_fd, &message, sizeof message, fd);
    }
    fd_close(&fd);
    return error;
}

static int load_and_send(struct load *load, int result_fd)
{
    int error = load_all(load);
    if (!error) {
        error = send_snapshot(load, result_fd);
        if (error)
            fprintf(stderr, "%s: the snapshot could not be handed over: %s\n", load->name, err_text(error));
    }
    load_fini(load);
    return error ? 1 : 0;
}

int loader_run(const char *config_path, int result_fd)
{
    struct load load = {.name = config_path, .purpose = SETTINGS_START};
    return load_and_send(&load, result_fd);
}

int loader_run_text(const char *name, struct slice text, int result_fd)
{
    struct load load = {.name = name, .text = &text, .purpose = SETTINGS_START};
    return load_and_send(&load, result_fd);
}

static void print_json(struct load *load, int error)
{
    const size_t count = load->diagnostics ? load->diagnostics->count : 0;

    printf("{\"ok\":%s,\"error_count\":%zu,\"errors\":", error ? "false" : "true", count);
    if (load->diagnostics)
        diagnostics_print_json(load->diagnostics, stdout);
    else
        fputs("[]", stdout);
    puts("}");
}

int loader_check(const char *config_path, int json)
{
    struct load load = {.name = config_path, .purpose = SETTINGS_CHECK, .json = json};
    int error = load_all(&load);
    if (json)
        print_json(&load, error);
    else if (!error)
        printf("%s: ok\n", config_path);
    load_fini(&load);
    return error ? 1 : 0;
}

int loader_read(const char *config_path, struct core_settings *core, struct http_config *http)
{
    struct load load = {.name = config_path, .purpose = SETTINGS_CHECK};
    struct conf_tree tree = {0};
    void *image = NULL;
    size_t size = 0;
    struct l4_config l4;
    int error = load_all(&load);

    if (!error)
        error = conf_builder_image(load.builder, &image, &size);
    if (!error)
        error = conf_tree_view(&tree, image, size);
    if (!error)
        error = settings_build(&tree, core, http, &l4, load.diagnostics);
    conf_tree_fini(&tree);
    free(image);
    load_fini(&load);
    return error;
}
