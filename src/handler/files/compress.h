/* Content codings made here: br by libbrotlienc (RFC 7932), zstd by libzstd (RFC 8878), gzip by zlib (RFC 1952).
 *
 * A representation is made whole, in memory, before any of it is sent: so it has a length and a tag, ranges of it can be
 * asked for, and a death in the middle of its sending changes no byte. That is why only files up to COMPRESS_SOURCE_MAX are
 * compressed; larger ones are sent as they are, or from a sibling (`precompressed`).
 *
 * The levels are those where the gain per time bends: what is made is kept and sent often, but the first client waits. */
#ifndef HOLDFAST_HANDLER_FILES_COMPRESS_H
#define HOLDFAST_HANDLER_FILES_COMPRESS_H

#include "base/bytes.h"
#include "http/negotiate.h"

#include <stdint.h>

#define COMPRESS_SOURCE_MAX (4u << 20) /* bytes */
#define COMPRESS_CODINGS (CODING_BIT(CODING_BR) | CODING_BIT(CODING_ZSTD) | CODING_BIT(CODING_GZIP))

/* Compresses the whole of `source` into memory from malloc, the caller's afterwards. `limit` bytes at most: ERR_LIMIT when
 * the result would be longer, so that it is not worth it. 0; ERR_NO_MEMORY; ERR_INVALID: no coding of these. Any thread. */
WARN_UNUSED int compress_bytes(enum coding coding, struct slice source, size_t limit, char **out,
                               size_t *length);

/* 1 if the type ("text/html; charset=utf-8"; parameters do not matter) is one of the list: "text/html", or "text/" and a
 * star for all of a kind; in lower case. */
int compress_type_is_listed(struct slice type, const struct slice *list, size_t count);
/* 1 for types whose contents are text, and those known to be as loose as text. */
int compress_type_is_usual(struct slice type);

/* Which libraries make the codings, in numbers: two versions may make different bytes, so their tags must differ. */
uint32_t compress_version(enum coding coding);

#endif
