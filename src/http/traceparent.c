#include "http/traceparent.h"

#include "base/assert.h"

#define VERSION_FORBIDDEN 0xff

/* Takes lower-case hex digits (at most 16) at *at. */
static int take_hex(struct slice text, size_t *at, unsigned digits, uint64_t *value)
{
    *value = 0;
    if (text.length - *at < digits)
        return ERR_SYNTAX;
    for (unsigned i = 0; i < digits; i++) {
        char c = text.at[(*at)++];
        if (c >= '0' && c <= '9')
            *value = *value << 4 | (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            *value = *value << 4 | (uint64_t)(c - 'a' + 10);
        else
            return ERR_SYNTAX;
    }
    return 0;
}

static int take_dash(struct slice text, size_t *at)
{
    return *at < text.length && text.at[(*at)++] == '-' ? 0 : ERR_SYNTAX;
}

int traceparent_parse(struct slice value, struct traceparent *traceparent)
{
    uint64_t version, high, low, parent, flags;
    size_t at = 0;

    if (take_hex(value, &at, 2, &version) || take_dash(value, &at) || take_hex(value, &at, 16, &high) ||
        take_hex(value, &at, 16, &low) || take_dash(value, &at) || take_hex(value, &at, 16, &parent) ||
        take_dash(value, &at) || take_hex(value, &at, 2, &flags))
        return ERR_SYNTAX;
    if (version == VERSION_FORBIDDEN || (high | low) == 0 || parent == 0)
        return ERR_SYNTAX;
    if (at < value.length && (version == 0 || value.at[at] != '-'))
        return ERR_SYNTAX;
    *traceparent = (struct traceparent){high, low, parent, (uint8_t)(flags & TRACEPARENT_SAMPLED)};
    return 0;
}

void traceparent_write(const struct traceparent *traceparent, char out[TRACEPARENT_SIZE])
{
    struct text text;

    text_init(&text, out, TRACEPARENT_SIZE);
    text_add(&text, SLICE_LITERAL("00-"));
    text_add_hex(&text, traceparent->trace_high, 16);
    text_add_hex(&text, traceparent->trace_low, 16);
    text_add(&text, SLICE_LITERAL("-"));
    text_add_hex(&text, traceparent->parent, 16);
    text_add(&text, SLICE_LITERAL("-"));
    text_add_hex(&text, traceparent->flags, 2);
    MUST(!text.overflow && text.length == TRACEPARENT_LENGTH);
}

int traceparent_choose(const struct h1_head *request, uint64_t trace_high, uint64_t trace_low,
                       uint64_t own_step, struct traceparent *chosen)
{
    struct slice value = {"", 0};
    unsigned count = 0;
    int goes_on;

    for (uint32_t i = 0; i < request->field_count; i++) {
        if (slice_equals_nocase(request->fields[i].name, SLICE_LITERAL("traceparent"))) {
            value = request->fields[i].value;
            count++;
        }
    }
    goes_on = count == 1 && traceparent_parse(value, chosen) == 0;
    if (!goes_on)
        *chosen = (struct traceparent){trace_high, trace_low | ((trace_high | trace_low) == 0), 0, 0};
    chosen->parent = own_step != 0 ? own_step : 1;
    return goes_on;
}
