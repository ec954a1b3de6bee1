/* A handshake that is the same each time, changed. First byte: bit 0, whether the server is the victim; bit 1, whether
 * packets are changed on the wire, or their content before it is sealed. Then changes of five bytes each: which packet,
 * what to do, where (two bytes), with what. Whatever happens, the victim's other connection works afterwards. */
#include "test_core_hostile.h"

#define CHANGES_MAX  64
#define CHANGE_BYTES 5

static const uint8_t *changes;
static size_t change_count;
static uint8_t packet_number;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void change(uint8_t *data, size_t len)
{
    for (size_t i = 0; i < change_count; i++) {
        const uint8_t *one = changes + i * CHANGE_BYTES;
        size_t at = ((size_t)one[2] << 8 | one[3]) % (len > 0 ? len : 1);
        if (one[0] != packet_number || len == 0)
            continue;
        switch (one[1] & 3) {
        case 0:
            data[at] = one[4];
            break;
        case 1:
            data[at] ^= one[4];
            break;
        case 2:
            memset(data + at, one[4], len - at < 16 ? len - at : 16);
            break;
        default:
            memmove(data + at, data, len - at);
            break;
        }
    }
    packet_number++;
}

static void on_plain(struct hostile *hostile, enum hostile_level level, uint8_t *plain, size_t len)
{
    (void)hostile;
    (void)level;
    change(plain, len);
}

/* The datagrams of the pair that is new. */
static bool on_wire(void *ctx, unsigned from, const struct sockaddr_in6 *to, uint8_t *data,
                    size_t len)
{
    (void)ctx;
    (void)from;
    (void)to;
    change(data, len);
    return true;
}

static void play(struct world *world, struct pki *pki, bool to_server, bool on_the_wire)
{
    unsigned victim = to_server ? SERVER : CLIENT;
    struct stoq_conn *kept[2] = {world->apps[0].conn, world->apps[1].conn};
    struct hostile hostile;

    hostile_init(&hostile, world, !to_server, victim, pki);
    if (on_the_wire)
        stoq_net_tap(world->net, on_wire, NULL);
    else
        hostile.mutate = on_plain;
    (void)hostile_meet(&hostile);
    world->apps[victim].lazy = true; /* what its streams carry follows no pattern */
    (void)world_until(world, 300 * MS, hostile_over, &hostile);
    hostile_part(&hostile, victim, kept);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct world world;
    struct pki pki;

    if (size == 0)
        return 0;
    changes = data + 1;
    change_count = (size - 1) / CHANGE_BYTES;
    change_count = change_count < CHANGES_MAX ? change_count : CHANGES_MAX;
    packet_number = 0;
    world_init(&world, 1);
    pki_init(&pki);
    world_join(&world);
    play(&world, &pki, (data[0] & 1) != 0, (data[0] & 2) != 0);
    pki_release(&pki);
    return 0;
}
