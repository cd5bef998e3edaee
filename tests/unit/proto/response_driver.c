#include "response_driver.h"

#include "guarded.h"
#include "unit.h"

struct end {
    int answer;
    uint32_t length;
};

/* Offers the first `first` bytes, then `step` more at a time, until that decides it or all are offered. */
static struct end find_end(struct slice bytes, uint32_t first, uint32_t step)
{
    uint32_t scanned = 0, length = first;
    struct end end = {0, 0};
    for (;;) {
        end.answer = h1_response_find_end(guarded_copy(bytes.at, length), length, RESPONSE_LIMIT, &scanned,
                                          &end.length);
        if (end.answer != ERR_PARTIAL || length == bytes.length)
            return end;
        assert_in_range(scanned, length > 0 ? length - 1 : 0, length);
        length = step < bytes.length - length ? length + step : (uint32_t)bytes.length;
    }
}

int response_drive(struct slice bytes, int is_head_request, struct h1_response *response,
                   enum h1_refusal *refusal)
{
    uint32_t length = (uint32_t)bytes.length;
    struct end whole = find_end(bytes, length, 1);
    for (uint32_t split = 0; split < length; split++) {
        struct end other = find_end(bytes, split, split == 0 ? 1 : length);
        assert_int_equal(whole.answer, other.answer);
        assert_int_equal(whole.length, other.length);
    }
    if (whole.answer != 0) {
        assert_int_not_equal(whole.answer, ERR_PARTIAL);
        *refusal = h1_response_explain(guarded_copy(bytes.at, length), length, RESPONSE_LIMIT);
        return whole.answer;
    }
    assert_int_equal(whole.length, length);
    for (uint32_t cut = 0; cut < length; cut++) {
        assert_int_not_equal(
            h1_response_parse(guarded_copy(bytes.at, cut), cut, is_head_request, response, refusal), 0);
        assert_int_not_equal(*refusal, H1_REFUSE_NOTHING);
    }
    return h1_response_parse(guarded_copy(bytes.at, length), length, is_head_request, response, refusal);
}
