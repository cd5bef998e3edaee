#include "core/client_net.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

/* The bytes of an address, 4 or 16; 0: it has none. */
static unsigned bytes_of(const struct sockaddr_storage *address, const uint8_t **bytes)
{
    if (address && address->ss_family == AF_INET) {
        *bytes = (const uint8_t *)&((const struct sockaddr_in *)(const void *)address)->sin_addr;
        return 4;
    }
    if (!address || address->ss_family != AF_INET6)
        return 0;
    const struct in6_addr *ipv6 = &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
    int mapped = IN6_IS_ADDR_V4MAPPED(ipv6);
    *bytes = ipv6->s6_addr + (mapped ? 12 : 0);
    return mapped ? 4 : 16;
}

static uint8_t mask_of(unsigned bits, unsigned byte)
{
    if (bits >= 8 * byte + 8)
        return 0xff;
    return bits <= 8 * byte ? 0 : (uint8_t)(0xff00u >> (bits - 8 * byte));
}

/* Clears what lies behind the length. 1: there was something. */
static int clear_rest(struct client_net *net)
{
    int was_set = 0;
    for (unsigned i = 0; i < sizeof net->bytes; i++) {
        uint8_t kept = net->bytes[i] & mask_of(net->bits, i);
        was_set |= kept != net->bytes[i];
        net->bytes[i] = kept;
    }
    return was_set;
}

/* ::ffff:10.0.0.0/104 is 10.0.0.0/8, because the addresses that it is compared with are taken so, too. */
static void unmap(struct client_net *net)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    if (!net->is_ipv6 || net->bits < 96 || memcmp(net->bytes, mapped, sizeof mapped) != 0)
        return;
    net->is_ipv6 = 0;
    net->bits = (uint8_t)(net->bits - 96);
    memmove(net->bytes, net->bytes + 12, 4);
    memset(net->bytes + 4, 0, 12);
}

int client_net_parse(const char *text, struct client_net *net)
{
    char address[INET6_ADDRSTRLEN];
    size_t length = strcspn(text, "/");
    *net = (struct client_net){0};
    if (length >= sizeof address)
        return ERR_SYNTAX;
    memcpy(address, text, length);
    address[length] = '\0';
    net->is_ipv6 = strchr(address, ':') != NULL;
    if (inet_pton(net->is_ipv6 ? AF_INET6 : AF_INET, address, net->bytes) != 1)
        return ERR_SYNTAX;
    uint64_t bits = net->is_ipv6 ? 128 : 32, most = bits;
    if (text[length] == '/' && (slice_to_u64(slice_of(text + length + 1), &bits) || bits > most))
        return ERR_SYNTAX;
    net->bits = (uint8_t)bits;
    unmap(net);
    return clear_rest(net) ? ERR_INVALID : 0;
}

void client_net_format(const struct client_net *net, struct text *out)
{
    char address[INET6_ADDRSTRLEN] = "";
    inet_ntop(net->is_ipv6 ? AF_INET6 : AF_INET, net->bytes, address, sizeof address);
    text_add_f(out, "%s/%u", address, net->bits);
}

/* The first `length` bytes begin as the network does. */
static int begins_with(const uint8_t *bytes, unsigned length, const struct client_net *net)
{
    for (unsigned i = 0; i < length; i++) {
        if ((bytes[i] & mask_of(net->bits, i)) != net->bytes[i])
            return 0;
    }
    return 1;
}

int client_net_contains(const struct client_net *outer, const struct client_net *inner)
{
    return outer->is_ipv6 == inner->is_ipv6 && outer->bits <= inner->bits &&
           begins_with(inner->bytes, sizeof inner->bytes, outer);
}

int client_net_has(const struct client_net *net, const struct sockaddr_storage *address)
{
    const uint8_t *bytes = NULL;
    unsigned length = bytes_of(address, &bytes);
    return length == (net->is_ipv6 ? 16u : 4u) && begins_with(bytes, length, net);
}

struct sockaddr_storage client_sockaddr(const uint8_t address[16], uint16_t port)
{
    struct sockaddr_storage client = {.ss_family = AF_INET6};
    struct sockaddr_in6 *ipv6 = (struct sockaddr_in6 *)&client;
    ipv6->sin6_port = htons(port);
    memcpy(&ipv6->sin6_addr, address, sizeof ipv6->sin6_addr);
    return client;
}

void client_address_format(const struct sockaddr_storage *address, struct text *out)
{
    char text[INET6_ADDRSTRLEN] = "";
    const uint8_t *bytes = NULL;
    unsigned length = bytes_of(address, &bytes);
    if (length == 4) { /* inet_ntop would use printf, and this is asked for with every proxied request */
        for (unsigned i = 0; i < 4; i++) {
            if (i)
                text_add(out, SLICE_LITERAL("."));
            text_add_u64(out, bytes[i]);
        }
    } else if (length && inet_ntop(AF_INET6, bytes, text, sizeof text)) {
        text_add_c(out, text);
    }
}

unsigned client_port(const struct sockaddr_storage *address)
{
    if (address && address->ss_family == AF_INET)
        return ntohs(((const struct sockaddr_in *)(const void *)address)->sin_port);
    if (address && address->ss_family == AF_INET6)
        return ntohs(((const struct sockaddr_in6 *)(const void *)address)->sin6_port);
    return 0;
}
