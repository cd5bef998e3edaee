/* An HTTP-date: the first two bytes choose the present moment, the rest are the bytes. What is accepted is a
 * time that can be written, and written again it is read as the same; a two-digit year never leads more than
 * 50 years ahead. */
#include "http/date.h"

#include "base/assert.h"
#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_SECOND (-62167219200LL) /* of the year 0 */
#define LAST_SECOND 253402300800LL    /* a leap second at the end of the year 9999 */
#define FIFTY_YEARS (18263LL * 86400) /* the longest there are */

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    char again[CLOCK_HTTP_DATE_SIZE];
    int64_t seconds = 0, seconds_again = 0;

    if (size < 2)
        return 0;
    int64_t now_s = (int64_t)(input[0] | input[1] << 8) * 3600 * 24;
    char *bytes = malloc(size - 2 + (size == 2)); /* exactly, so that a sanitizer sees a step beyond */
    MUST(bytes != NULL);
    memcpy(bytes, input + 2, size - 2);
    int answer = date_parse_http((struct slice){bytes, size - 2}, now_s, &seconds);
    MUST(answer == 0 || answer == ERR_SYNTAX || answer == ERR_INVALID);
    if (answer == 0) {
        MUST(seconds >= FIRST_SECOND && seconds <= LAST_SECOND);
        MUST(size - 2 == 29 || size - 2 == 24 || seconds <= now_s + FIFTY_YEARS + 1);
    }
    if (answer == 0 && seconds >= 0 && seconds < LAST_SECOND) {
        clock_http_date(seconds, again);
        MUST(date_parse_http(slice_of(again), now_s, &seconds_again) == 0 && seconds_again == seconds);
    }
    free(bytes);
    return 0;
}
