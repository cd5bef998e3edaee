/* Which site a request is for: by listener and Host.
 *
 * An index of all addresses of all sites, made once in each worker: a configuration with a thousand names costs a request
 * no more than one with a single site. Private memory; made again from the configuration by the next worker. */
#ifndef HOLDFAST_HTTP_SITES_H
#define HOLDFAST_HTTP_SITES_H

#include "base/bytes.h"
#include "core/settings.h"
#include "http/config.h"

struct site_entry {
    const struct http_site *site; /* NULL: free */
    struct slice host;            /* lower case */
    uint32_t listener;
};

struct sites {
    struct site_entry *table; /* owned; open addressing */
    size_t mask;              /* its size - 1 */
    const struct http_site
        *any[CORE_LISTENERS_MAX];          /* borrowed; by listener: who answers every other name, or NULL */
    uint8_t has_names[CORE_LISTENERS_MAX]; /* the listener has sites with a name */
};

/* Borrows the sites of `config`, which must outlive it. 0 or ERR_NO_MEMORY; sites_fini in both cases. */
WARN_UNUSED int sites_init(struct sites *sites, const struct http_config *config);
void sites_fini(struct sites *sites);

/* The site of a host (no port; case and a final dot do not matter) on a listener, otherwise the one that answers every
 * name there, otherwise NULL (RFC 9112 section 3.2). */
const struct http_site *sites_find(const struct sites *sites, uint32_t listener, struct slice host);

#endif
