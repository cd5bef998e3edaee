#include "death.h"

#include "unit.h"
#include "witness.h"

#include <poll.h>
#include <sys/socket.h>

int death_in_accept(struct rig *rig, enum record_life life)
{
    int fd;

    rig->worker.intent->listener = 0;
    rig->worker.intent->call = INTENT_ACCEPT;
    assert_true(rig_await(FD_LISTENERS, POLLIN));
    fd = accept4(FD_LISTENERS, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_in_range(fd, FD_LISTENERS + 1, RIG_RECORDS - 1);
    arena_record(&rig->worker.arena, (uint32_t)fd)->life = life;
    return fd;
}

void death_in_receive(struct rig *rig, struct record *record, int client, size_t length)
{
    int fd = (int)arena_number(&rig->worker.arena, record);
    char bytes[64] = {0};

    assert_int_equal(send(client, bytes, length, 0), length);
    assert_true(rig_await(fd, POLLIN));
    assert_int_equal(recv(fd, bytes, length, 0), length);
    rig->worker.intent->record = (uint32_t)fd + 1;
}

void death_and_revival(struct rig *rig)
{
    rig_forget(rig);
    witness_reset();
    rig_revive(rig);
}
