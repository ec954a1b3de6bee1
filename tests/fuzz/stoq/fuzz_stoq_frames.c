/* Frames of a peer that has the keys. First byte: bit 0, whether the server is the victim; bits 1 and 2, the level: 0
 * Initial, 1 Handshake, else 1-RTT. Then packets: a length of two bytes, and frames. The victim may end that
 * connection; its other one works afterwards. */
#include "test_core_hostile.h"

#define PACKETS_MAX 32

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool meet(struct hostile *hostile, struct world *world)
{
    if (!hostile_meet(hostile))
        return false;
    (void)world_until(world, 200 * MS, hostile_complete, hostile);
    return hostile->complete && !hostile->over;
}

static void send_all(struct hostile *hostile, struct world *world, const uint8_t *data, size_t size)
{
    size_t at = 0;

    for (unsigned i = 0; i < PACKETS_MAX && at + 2 < size && !hostile->over; i++) {
        size_t len = (size_t)data[at] << 8 | data[at + 1];
        at += 2;
        len = len < size - at ? len : size - at;
        len = len < HOSTILE_FRAMES_MAX ? len : HOSTILE_FRAMES_MAX;
        hostile_send(hostile, HOSTILE_SHORT, data + at, len);
        at += len;
        (void)world_until(world, 12 * MS, hostile_over, hostile);
    }
}

static void play(struct world *world, struct pki *pki, const uint8_t *data, size_t size)
{
    bool to_server = (data[0] & 1) != 0;
    unsigned level = data[0] >> 1 & 3, victim = to_server ? SERVER : CLIENT;
    struct stoq_conn *kept[2] = {world->apps[0].conn, world->apps[1].conn};
    struct hostile hostile;

    hostile_init(&hostile, world, !to_server, victim, pki);
    if (level < 2 && size > 1)
        hostile_send(&hostile, level == 0 ? HOSTILE_INITIAL : HOSTILE_HANDSHAKE, data + 1,
                     size - 1 < HOSTILE_FRAMES_MAX ? size - 1 : HOSTILE_FRAMES_MAX);
    world->apps[victim].lazy = true;
    if (meet(&hostile, world) && level >= 2)
        send_all(&hostile, world, data + 1, size - 1);
    (void)world_until(world, 100 * MS, NULL, NULL);
    hostile_part(&hostile, victim, kept);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct world world;
    struct pki pki;

    if (size == 0)
        return 0;
    world_init(&world, 1);
    pki_init(&pki);
    world.apps[SERVER].config.stream_tags = world.apps[CLIENT].config.stream_tags = (data[0] & 8) !=
                                                                                    0;
    world_join(&world);
    play(&world, &pki, data, size);
    pki_release(&pki);
    return 0;
}
