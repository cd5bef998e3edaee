#include "head_driver.h"

#include "guarded.h"
#include "unit.h"

struct end {
    int answer;
    uint32_t length;
};

/* Offers the first `first` bytes, and then, if that did not decide it, all of them. */
static struct end find_end_in_two(struct slice bytes, uint32_t first)
{
    uint32_t scanned = 0;
    struct end end = {0, 0};
    end.answer = h1_head_find_end(guarded_copy(bytes.at, first), first, HEAD_LIMIT, &scanned, &end.length);
    if (end.answer == ERR_PARTIAL) {
        assert_in_range(scanned, first > 0 ? first - 1 : 0, first);
        end.answer = h1_head_find_end(guarded_copy(bytes.at, bytes.length), (uint32_t)bytes.length,
                                      HEAD_LIMIT, &scanned, &end.length);
    }
    return end;
}

static struct end find_end_bytewise(struct slice bytes)
{
    uint32_t scanned = 0;
    struct end end = {ERR_PARTIAL, 0};
    for (uint32_t length = 1; length <= bytes.length && end.answer == ERR_PARTIAL; length++)
        end.answer =
            h1_head_find_end(guarded_copy(bytes.at, length), length, HEAD_LIMIT, &scanned, &end.length);
    return end;
}

static void assert_same_end(struct end a, struct end b)
{
    assert_int_equal(a.answer, b.answer);
    assert_int_equal(a.length, b.length);
}

int head_drive(struct slice bytes, struct h1_head *head, enum h1_refusal *refusal)
{
    struct end whole = find_end_in_two(bytes, (uint32_t)bytes.length);
    assert_same_end(whole, find_end_bytewise(bytes));
    for (uint32_t split = 0; split < bytes.length; split++)
        assert_same_end(whole, find_end_in_two(bytes, split));
    if (whole.answer != 0) {
        assert_int_not_equal(whole.answer, ERR_PARTIAL);
        *refusal = h1_head_explain(guarded_copy(bytes.at, bytes.length), (uint32_t)bytes.length, HEAD_LIMIT);
        return whole.answer;
    }
    assert_int_equal(whole.length, bytes.length);
    for (uint32_t cut = 0; cut < bytes.length; cut++) {
        assert_int_not_equal(h1_head_parse(guarded_copy(bytes.at, cut), cut, head, refusal), 0);
        assert_int_not_equal(*refusal, H1_REFUSE_NOTHING);
    }
    return h1_head_parse(guarded_copy(bytes.at, bytes.length), (uint32_t)bytes.length, head, refusal);
}
