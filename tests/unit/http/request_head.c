#include "request_head.h"

#include "proto/guarded.h"
#include "unit.h"

#include <stdio.h>

const struct h1_head *request_head(const char *method, const char *fields)
{
    static struct h1_head head;
    char text[8192];
    enum h1_refusal refusal;
    int length = snprintf(text, sizeof(text), "%s / HTTP/1.1\r\nHost: a\r\n%s\r\n", method, fields);

    assert_in_range(length, 1, sizeof(text) - 1);
    assert_int_equal(h1_head_parse(guarded_copy(text, (size_t)length), (uint32_t)length, &head, &refusal), 0);
    return &head;
}
