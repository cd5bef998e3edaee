/* resolve_once SERVER PORT NAME[:PORT]: looks a name up with one name server and writes what is found, for
 * tests/e2e/test_resolve.py. Without a port it is an SRV. Lines: "failure REASON" or "ttl MS", then "ADDRESS PORT
 * WEIGHT BACKUP". Each try of a server waits 300 ms. */
#include "upstream/resolve.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void write_found(const struct pools_found *found)
{
    const struct sockaddr_in *in = (const void *)&found->address;
    const struct sockaddr_in6 *in6 = (const void *)&found->address;
    char text[INET6_ADDRSTRLEN] = "";
    int is_4 = found->address.ss_family == AF_INET;
    inet_ntop(found->address.ss_family, is_4 ? (const void *)&in->sin_addr : &in6->sin6_addr, text,
              sizeof text);
    printf("%s %u %u %u\n", text, ntohs(is_4 ? in->sin_port : in6->sin6_port), found->weight,
           found->is_backup);
}

int main(int count, char **arguments)
{
    static struct resolve_answer answer;
    struct sockaddr_storage server = {.ss_family = AF_INET};
    struct sockaddr_in *in = (void *)&server;
    if (count != 4)
        return 2;
    in->sin_port = htons((uint16_t)atoi(arguments[2]));
    if (inet_pton(AF_INET, arguments[1], &in->sin_addr) != 1)
        return 2;
    char *colon = strchr(arguments[3], ':');
    struct resolve_question question = {.host = arguments[3],
                                        .port = colon ? (uint16_t)atoi(colon + 1) : 0,
                                        .is_srv = colon == NULL,
                                        .resolvers = &server,
                                        .resolver_count = 1,
                                        .try_ms = 300,
                                        .tries = 1};
    if (colon)
        *colon = '\0';
    resolve(&question, NULL, &answer);
    if (answer.failure != RESOLVE_NOTHING)
        printf("failure %s\n", resolve_reason(answer.failure).at);
    else
        printf("ttl %llu\n", (unsigned long long)answer.ttl_ms);
    for (size_t i = 0; i < answer.count; i++)
        write_found(&answer.found[i]);
    return 0;
}
