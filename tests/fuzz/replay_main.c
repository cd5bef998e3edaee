/* Replays inputs through a fuzz target without libFuzzer, under any compiler: each argument is a file, or a
 * folder whose files are taken in the order of their names (a folder that is not there has none). One line
 * for each, as the Test Anything Protocol wants them; the empty input is always the first.
 *
 * A target that finds something wrong aborts, and then the lines it owes are missing: that is the failure. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char **paths;
static size_t path_count;

static void fail(const char *what)
{
    fprintf(stderr, "replay: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void add_path(const char *path)
{
    paths = realloc(paths, (path_count + 1) * sizeof(*paths));
    if (paths == NULL || (paths[path_count++] = strdup(path)) == NULL)
        fail("no memory");
}

static void add_argument(const char *argument)
{
    struct stat status;
    struct dirent **entries;
    char path[PATH_MAX];

    if (stat(argument, &status) < 0) {
        if (errno != ENOENT)
            fail(argument);
        return;
    }
    if (!S_ISDIR(status.st_mode)) {
        add_path(argument);
        return;
    }
    int count = scandir(argument, &entries, NULL, alphasort);
    if (count < 0)
        fail(argument);
    for (int i = 0; i < count; i++) {
        if (entries[i]->d_name[0] != '.') {
            snprintf(path, sizeof(path), "%s/%s", argument, entries[i]->d_name);
            add_path(path);
        }
        free(entries[i]);
    }
    free(entries);
}

/* The bytes lie in memory of exactly their size, so that a sanitizer sees every step beyond it. */
static void replay(const char *path)
{
    struct stat status;
    FILE *file = fopen(path, "re");

    if (file == NULL || fstat(fileno(file), &status) < 0)
        fail(path);
    size_t size = (size_t)status.st_size;
    uint8_t *data = malloc(size);
    if (size > 0 && (data == NULL || fread(data, 1, size, file) != size))
        fail(path);
    LLVMFuzzerTestOneInput(data, size);
    free(data);
    fclose(file);
}

int main(int count, char **arguments)
{
    static const uint8_t nothing[1];

    for (int i = 1; i < count; i++)
        add_argument(arguments[i]);
    printf("1..%zu\n", path_count + 1);
    fflush(stdout);
    LLVMFuzzerTestOneInput(nothing, 0);
    printf("ok 1 - the empty input\n");
    for (size_t i = 0; i < path_count; i++) {
        replay(paths[i]);
        printf("ok %zu - %s\n", i + 2, paths[i]);
        fflush(stdout);
        free(paths[i]);
    }
    free(paths);
    return 0;
}
