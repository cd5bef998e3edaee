/* Borders of WebSocket frames, wherever the stream is cut; and close frames. */
#include "proto/ws_frames.h"

#include "guarded.h"
#include "unit.h"

#include <string.h>

#define STREAM_MAX 70000u

static char stream[STREAM_MAX * 4];
static size_t stream_length, ends[64], end_count;

/* `length_form`: how the length is written, 0, 2 or 8 bytes. */
static void add_frame(unsigned first, int is_masked, unsigned length_form, size_t length)
{
    char *at = stream + stream_length;

    *at++ = (char)first;
    *at++ = (char)((is_masked ? 0x80 : 0) | (length_form == 8 ? 127 : length_form == 2 ? 126 : (int)length));
    for (unsigned i = length_form; i-- > 0;)
        *at++ = (char)(length >> 8 * i);
    if (is_masked) {
        memcpy(at, "\xff\x88\x7f\xfe", 4);
        at += 4;
    }
    memset(at, (int)0x88, length); /* as a close frame begins */
    stream_length = (size_t)(at - stream) + length;
    ends[end_count++] = stream_length;
}

/* All forms of a length, masked and not, with nothing in it and with something. */
static void make_stream(void)
{
    static const size_t lengths[] = {0, 1, 125, 126, 300, 65536};

    stream_length = end_count = 0;
    for (int is_masked = 0; is_masked < 2; is_masked++)
        for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
            const size_t length = lengths[i];

            if (length < 126)
                add_frame(0x82, is_masked, 0, length);
            if (length < 65536 && length != 125)
                add_frame(0x01, is_masked, 2,
                          length); /* longer than it has to be, but what it says is clear */
            if (length != 300)
                add_frame(0x80, is_masked, 8, length);
        }
    add_frame(0x89, 0, 0, 3);
}

static int is_end(size_t at)
{
    for (size_t i = 0; i < end_count; i++)
        if (ends[i] == at)
            return 1;
    return at == 0;
}

static void borders_are_found_wherever_the_stream_is_cut(void **state)
{
    struct ws_frames frames = {0};
    (void)state;

    make_stream();
    for (size_t at = 0; at <= stream_length; at++) {
        assert_int_equal(ws_frames_are_between(&frames), is_end(at));
        if (at < stream_length)
            ws_frames_follow(&frames, guarded_copy(stream + at, 1), 1);
    }
    assert_false(frames.is_closed);
    for (size_t piece = 2; piece < 9000; piece = piece * 3 / 2 + 1) {
        frames = (struct ws_frames){0};
        for (size_t at = 0; at < stream_length; at += piece) {
            const size_t length = stream_length - at < piece ? stream_length - at : piece;

            ws_frames_follow(&frames, guarded_copy(stream + at, length), length);
            assert_int_equal(ws_frames_are_between(&frames), is_end(at + length));
        }
    }
}

static void the_present_frame_is_followed_to_its_end_and_no_further(void **state)
{
    (void)state;
    make_stream();
    for (size_t cut = 1, frame = 0; cut < stream_length; cut += cut < 2000 ? 1 : 997) {
        struct ws_frames frames = {0};
        size_t taken;

        ws_frames_follow(&frames, stream, cut);
        while (ends[frame] < cut)
            frame++;
        taken = ws_frames_follow_to_end(&frames, stream + cut, stream_length - cut);
        assert_int_equal(taken, ends[frame] - cut);
        assert_true(ws_frames_are_between(&frames));
        assert_int_equal(ws_frames_follow_to_end(&frames, stream + cut + taken, stream_length - cut - taken),
                         0);
    }
}

static void a_close_frame_is_seen_when_its_header_is_over(void **state)
{
    char frame[WS_CLOSE_MAX];
    struct ws_frames frames = {0};
    const size_t length = ws_close_make(WS_GOING_AWAY, NULL, frame);
    (void)state;

    assert_int_equal(length, 4);
    assert_memory_equal(frame, "\x88\x02\x03\xe9", 4);
    ws_frames_follow(&frames, frame, 1);
    assert_false(frames.is_closed);
    ws_frames_follow(&frames, frame + 1, 1);
    assert_true(frames.is_closed);
    assert_false(ws_frames_are_between(&frames));
    ws_frames_follow(&frames, frame + 2, 2);
    assert_true(ws_frames_are_between(&frames));
}

static void a_client_s_close_frame_is_masked(void **state)
{
    static const uint8_t mask[4] = {1, 2, 3, 4};
    char frame[WS_CLOSE_MAX];
    (void)state;

    assert_int_equal(ws_close_make(WS_GOING_AWAY, mask, frame), 8);
    assert_memory_equal(frame, "\x88\x82\1\2\3\4\x02\xeb", 8);
}

/* RFC 6455 section 5.2: the most significant bit must be 0. */
static void behind_a_length_that_cannot_be_there_are_no_borders(void **state)
{
    static const char impossible[] = "\x82\x7f\x80\0\0\0\0\0\0\0";
    struct ws_frames frames = {0};
    (void)state;

    ws_frames_follow(&frames, impossible, sizeof impossible - 1);
    assert_true(frames.is_lost);
    for (int i = 0; i < 100; i++) {
        assert_false(ws_frames_are_between(&frames));
        ws_frames_follow(&frames, "\x88\0", 2);
        assert_int_equal(ws_frames_follow_to_end(&frames, "\x88\0", 2), 2);
    }
    assert_false(frames.is_closed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(borders_are_found_wherever_the_stream_is_cut),
        cmocka_unit_test(the_present_frame_is_followed_to_its_end_and_no_further),
        cmocka_unit_test(a_close_frame_is_seen_when_its_header_is_over),
        cmocka_unit_test(a_client_s_close_frame_is_masked),
        cmocka_unit_test(behind_a_length_that_cannot_be_there_are_no_borders),
    };

    return cmocka_run_group_tests_name("ws_frames", tests, NULL, NULL);
}
