#include "tools/documents.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATTERN_PERIOD ((1u << 20) + 7) /* prime */
#define DOCUMENT_STRIDE 104729u         /* prime: where the next document starts in the table */

static unsigned char pattern[PATTERN_PERIOD];

uint64_t random_next(struct random *random)
{
    uint64_t z = (random->state += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

uint64_t random_below(struct random *random, uint64_t limit)
{
    return random_next(random) % limit;
}

void documents_init(void)
{
    struct random random = {.state = 1};
    for (size_t i = 0; i < PATTERN_PERIOD; i++)
        pattern[i] = (unsigned char)random_next(&random);
}

uint64_t document_size(unsigned number)
{
    static const uint64_t edges[] = {0,    1,    2,    100,  511,  512,  1023,  1024,  1460,  2047,
                                     2048, 4095, 4096, 4097, 8191, 8192, 16383, 16384, 16385, 20000};
    if (number == DOCUMENT_BIG_2M)
        return 2u << 20;
    if (number == DOCUMENT_BIG_50M)
        return 50u << 20;
    if (number < sizeof edges / sizeof edges[0])
        return edges[number];
    struct random random = {.state = number};
    return random_below(&random, 20001);
}

void document_path(unsigned number, char out[DOCUMENT_PATH_SIZE])
{
    if (number == DOCUMENT_BIG_2M)
        snprintf(out, DOCUMENT_PATH_SIZE, "/big-2m");
    else if (number == DOCUMENT_BIG_50M)
        snprintf(out, DOCUMENT_PATH_SIZE, "/big-50m");
    else
        snprintf(out, DOCUMENT_PATH_SIZE, "/small-%03u", number);
}

const unsigned char *document_bytes(unsigned number, uint64_t offset, size_t wanted, size_t *run)
{
    size_t at = (size_t)((offset + (uint64_t)number * DOCUMENT_STRIDE) % PATTERN_PERIOD);
    size_t left = PATTERN_PERIOD - at;
    *run = left < wanted ? left : wanted;
    return pattern + at;
}

int64_t document_mismatch(unsigned number, uint64_t offset, const void *bytes, size_t length)
{
    const unsigned char *got = bytes;
    size_t done = 0;
    while (done < length) {
        size_t run;
        const unsigned char *want = document_bytes(number, offset + done, length - done, &run);
        if (memcmp(got + done, want, run) != 0) {
            while (got[done] == *want) {
                done++;
                want++;
            }
            return (int64_t)done;
        }
        done += run;
    }
    return -1;
}

uint64_t fnv1a64(uint64_t hash, const void *bytes, size_t length)
{
    const unsigned char *at = bytes;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ at[i]) * 1099511628211ULL;
    return hash;
}

static int document_write(int fd, unsigned number)
{
    uint64_t size = document_size(number), done = 0;
    while (done < size) {
        size_t run;
        const unsigned char *bytes = document_bytes(number, done, (size_t)(size - done), &run);
        ssize_t written = write(fd, bytes, run);
        if (written < 0)
            return -1;
        done += (uint64_t)written;
    }
    return 0;
}

char document_text_byte(size_t offset)
{
    static const char line[] = " and this line is long enough to be worth it\n";
    const size_t width = 8 + sizeof line - 1, row = offset / width, column = offset % width;

    return column < 8 ? (char)('0' + (row >> (28 - 4 * column)) % 16) : line[column - 8];
}

static int text_make(const char *directory, const char *path, size_t size)
{
    static char bytes[DOCUMENT_TEXT_SIZE];
    char file[4096];
    struct stat found;
    snprintf(file, sizeof file, "%s%s", directory, path);
    if (stat(file, &found) == 0 && (size_t)found.st_size == size)
        return 0;
    for (size_t i = 0; i < size; i++)
        bytes[i] = document_text_byte(i);
    int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return -1;
    ssize_t written = write(fd, bytes, size);
    return close(fd) == 0 && written == (ssize_t)size ? 0 : -1;
}

int documents_make(const char *directory)
{
    if (text_make(directory, DOCUMENT_TEXT_PATH, DOCUMENT_TEXT_SIZE) ||
        text_make(directory, DOCUMENT_SHORT_TEXT_PATH, DOCUMENT_SHORT_TEXT_SIZE))
        return -1;
    for (unsigned number = 0; number < DOCUMENT_COUNT; number++) {
        char path[DOCUMENT_PATH_SIZE], file[4096];
        struct stat found;
        document_path(number, path);
        if ((size_t)snprintf(file, sizeof file, "%s%s", directory, path) >= sizeof file) {
            errno = ENAMETOOLONG;
            return -1;
        }
        if (stat(file, &found) == 0 && (uint64_t)found.st_size == document_size(number))
            continue;
        int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        if (fd < 0)
            return -1;
        int result = document_write(fd, number);
        if (close(fd) != 0 || result != 0)
            return -1;
    }
    return 0;
}
