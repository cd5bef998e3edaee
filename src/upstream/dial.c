#include "upstream/dial.h"

int dial_open(struct worker *worker, const struct pools *pools, uint32_t member, uint8_t class_tag,
              struct record **leg)
{
    struct sockaddr_storage address;
    socklen_t length;
    int result = pools_address(pools, member, &address, &length);

    return result ? result : worker_open_connected(worker, (const struct sockaddr *)&address, class_tag, leg);
}

/* A socket that was never connected tells of its end at once, so it is registered after connect(2). */
int dial_connect(struct worker *worker, const struct pools *pools, struct record *owner, struct record *leg,
                 uint32_t member)
{
    struct sockaddr_storage address;
    socklen_t length;
    int result = pools_address(pools, member, &address, &length);

    worker_turn_to(worker, leg);
    if (!result)
        result = worker_connect(worker, leg, (const struct sockaddr *)&address, length);
    if (!worker_side(worker, leg)->is_watched && (!result || result == ERR_AGAIN || result == ERR_BUSY) &&
        worker_register(worker, leg))
        result = ERR_NO_MEMORY;
    worker_turn_to(worker, owner);
    if (result != ERR_BUSY)
        return result;
    worker_again_later(worker, owner); /* nothing will tell */
    return ERR_AGAIN;
}
