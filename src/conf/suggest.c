#include "conf/suggest.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define NAME_MAX_LETTERS 64

/* One is the beginning of the other: "warning" and "warn". */
static int begins_alike(const char *a, const char *b)
{
    size_t a_length = strlen(a), b_length = strlen(b), shorter = a_length < b_length ? a_length : b_length;
    return shorter >= 3 && a_length != b_length && strncmp(a, b, shorter) == 0;
}

void suggestion_init(struct suggestion *suggestion, const char *wanted)
{
    suggestion->wanted = wanted;
    suggestion->best = NULL;
    /* One slip in three letters: more finds names that nobody meant. */
    size_t letters = strlen(wanted);
    suggestion->distance = letters < 6 ? 2 : letters / 3 + 1;
}

void suggestion_offer(struct suggestion *suggestion, const char *name)
{
    size_t distance = suggestion_distance(suggestion->wanted, name);
    if (begins_alike(suggestion->wanted, name))
        distance = 1;
    /* A word of which every letter would have to change is not a misspelling. */
    if (distance >= suggestion->distance || distance >= strlen(suggestion->wanted))
        return;
    suggestion->best = name;
    suggestion->distance = distance;
}

const char *suggestion_text(const struct suggestion *suggestion, char *out, size_t capacity)
{
    if (!suggestion->best)
        return NULL;
    snprintf(out, capacity, "did you mean \"%s\"?", suggestion->best);
    return out;
}

static char lower(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

static size_t smallest(size_t a, size_t b, size_t c)
{
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

/* Optimal string alignment with three rows of the table: the swap looks back two rows. */
size_t suggestion_distance(const char *a, const char *b)
{
    size_t a_length = strlen(a), b_length = strlen(b);
    if (a_length > NAME_MAX_LETTERS || b_length > NAME_MAX_LETTERS)
        return SIZE_MAX;
    size_t rows[3][NAME_MAX_LETTERS + 1];
    for (size_t j = 0; j <= b_length; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a_length; i++) {
        size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *two_above = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            size_t differs = lower(a[i - 1]) != lower(b[j - 1]);
            row[j] = smallest(above[j] + 1, row[j - 1] + 1, above[j - 1] + differs);
            int swapped =
                i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) && lower(a[i - 2]) == lower(b[j - 1]);
            if (swapped && two_above[j - 2] + 1 < row[j])
                row[j] = two_above[j - 2] + 1;
        }
    }
    return rows[a_length % 3][b_length];
}
