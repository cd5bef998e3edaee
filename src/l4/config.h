/* What the TCP proxy needs to know from a configuration. Built by src/main, read-only afterwards. Times in milliseconds. */
#ifndef HOLDFAST_L4_CONFIG_H
#define HOLDFAST_L4_CONFIG_H

#include "core/settings.h"
#include "upstream/config.h"

#include <stddef.h>
#include <stdint.h>

#define L4_BLOCKS_MAX CORE_LISTENERS_MAX /* each has a listener of its own at least */
#define L4_IDLE_MS 600000u

enum l4_log_format { L4_LOG_TEXT, L4_LOG_JSON };

/* One `tcp` block. */
struct l4_block {
    uint32_t pool;            /* index in the pools of the configuration */
    uint64_t connect_ms;      /* 0: the pool's */
    uint64_t idle_ms;         /* without a byte either way; 0: no limit */
    uint32_t max_connections; /* of one worker; 0: no limit */
    uint16_t access_log;      /* number of the log and 1; 0: none */
    enum l4_log_format access_log_format;
};

struct l4_config {
    struct l4_block blocks[L4_BLOCKS_MAX];
    size_t block_count;
    uint8_t block_of[CORE_LISTENERS_MAX]; /* by listener: the block's number and 1; 0: a site's */
};
_Static_assert(L4_BLOCKS_MAX < UINT8_MAX, "a block's number fits");

#endif
