#include "proto/address.h"

#include <arpa/inet.h>
#include <string.h>

int address_parse(struct slice text, int is_ipv6, uint8_t address[16])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    char copy[INET6_ADDRSTRLEN];

    if (!text.length || text.length >= sizeof copy || memchr(text.at, '\0', text.length))
        return ERR_SYNTAX;
    memcpy(copy, text.at, text.length);
    copy[text.length] = '\0';
    if (is_ipv6)
        return inet_pton(AF_INET6, copy, address) == 1 ? 0 : ERR_SYNTAX;
    memcpy(address, mapped, sizeof mapped);
    return inet_pton(AF_INET, copy, address + sizeof mapped) == 1 ? 0 : ERR_SYNTAX;
}
