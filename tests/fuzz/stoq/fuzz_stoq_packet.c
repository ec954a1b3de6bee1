/* Datagrams of anybody. First byte: bit 0, whether the endpoints have a connection already; bit 1, whether the datagrams
 * go to the client; bit 2, whether they come from the peer's address. Then datagrams, each with a length of two bytes. */
#include "test_core_world.h"

#define DATAGRAMS_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct world world;
    struct sockaddr_in6 from, to;
    uint8_t mode = size > 0 ? data[0] : 0;
    size_t at = 1;

    world_init(&world, 1);
    if ((mode & 1) != 0) {
        world_join(&world);
    } else {
        world_start(&world.apps[SERVER]);
        world_start(&world.apps[CLIENT]);
        if ((mode & 2) != 0)
            (void)world_connect(&world, CLIENT, SERVER, (struct stoq_bytes){NULL, 0});
    }
    to = stoq_net_address(world.net, (mode & 2) != 0 ? CLIENT : SERVER, 0);
    from = stoq_net_address(world.net, (mode & 2) != 0 ? SERVER : CLIENT, 0);
    if ((mode & 4) == 0)
        from.sin6_addr.s6_addr[15] = 0x77;
    for (unsigned i = 0; i < DATAGRAMS_MAX && at + 2 <= size; i++) {
        size_t len = (size_t)data[at] << 8 | data[at + 1];
        at += 2;
        len = len < size - at ? len : size - at;
        if (len > 0)
            stoq_net_inject(world.net, &from, &to, data + at, len);
        at += len;
        if (i % 4 == 3)
            (void)world_until(&world, MS, NULL, NULL);
    }
    (void)world_until(&world, 50 * MS, NULL, NULL);
    if ((mode & 1) != 0)
        world_works(&world, CLIENT, SERVER); /* nobody without the keys can end it */
    world_release(&world);
    return 0;
}
