#include "http/sites.h"

#include "base/assert.h"

#include <stdlib.h>

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 'a' - 'A') : c;
}

/* FNV-1a, 64 bit (Fowler, Noll, Vo): the names are the operator's, so nobody can choose colliding ones. */
static uint64_t hash(uint32_t listener, struct slice host)
{
    uint64_t hash = 0xcbf29ce484222325u ^ listener;

    for (size_t i = 0; i < host.length; i++)
        hash = (hash ^ (unsigned char)lower(host.at[i])) * 0x100000001b3u;
    return hash ^ hash >> 32;
}

static size_t table_size(size_t entries)
{
    size_t size = 2;

    while (size < 2 * entries)
        size *= 2;
    return size;
}

static void add(struct sites *sites, const struct http_site *site, const struct http_site_address *address)
{
    struct site_entry entry = {site, slice_of(address->host), address->listener};
    size_t at;

    MUST(address->listener < CORE_LISTENERS_MAX);
    if (!entry.host.length) {
        sites->any[address->listener] = site;
        return;
    }
    sites->has_names[address->listener] = 1;
    at = hash(entry.listener, entry.host) & sites->mask;
    while (sites->table[at].site)
        at = (at + 1) & sites->mask;
    sites->table[at] = entry;
}

int sites_init(struct sites *sites, const struct http_config *config)
{
    size_t entries = 0;

    *sites = (struct sites){0};
    for (size_t s = 0; s < config->site_count; s++)
        entries += config->sites[s].address_count;
    sites->mask = table_size(entries) - 1;
    sites->table = calloc(sites->mask + 1, sizeof *sites->table);
    if (!sites->table)
        return ERR_NO_MEMORY;
    for (size_t s = 0; s < config->site_count; s++)
        for (size_t a = 0; a < config->sites[s].address_count; a++)
            add(sites, &config->sites[s], &config->sites[s].addresses[a]);
    return 0;
}

void sites_fini(struct sites *sites)
{
    free(sites->table);
    sites->table = NULL;
}

const struct http_site *sites_find(const struct sites *sites, uint32_t listener, struct slice host)
{
    if (!sites->has_names[listener])
        return sites->any[listener];
    if (host.length > 1 && host.at[host.length - 1] == '.')
        host.length--; /* absolute: the same name */
    for (size_t at = hash(listener, host) & sites->mask; sites->table[at].site; at = (at + 1) & sites->mask) {
        const struct site_entry *entry = &sites->table[at];

        if (entry->listener == listener && slice_equals_nocase(entry->host, host))
            return entry->site;
    }
    return sites->any[listener];
}
