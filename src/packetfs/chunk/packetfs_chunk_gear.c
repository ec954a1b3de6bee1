/* The fast chunker: gear (FastCDC, Xia and others, USENIX ATC 2016), a shift and an addition a byte. The highest bits
 * hold the newest 64 bytes, so the sum is compared as a whole. */
#include "chunk/packetfs_chunk_inner.h"

/* Four bytes a turn: the sum of four entries is ready before the state is, which so waits for one shift and one
 * addition a turn, not for four. */
size_t packetfs_chunk_gear_plain(const struct packetfs_cutter *cutter, const uint8_t *data,
                                 size_t from, size_t to, uint64_t threshold)
{
    const uint64_t *table = cutter->gear.table;
    uint64_t state = 0;
    size_t e = from;

    for (size_t i = from - PACKETFS_CHUNK_WINDOW_BYTES; i < from; i++)
        state = (state << 1) + table[data[i]];
    if (state < threshold)
        return from;
    for (; to - e >= 4; e += 4) {
        uint64_t one = table[data[e]], two = (one << 1) + table[data[e + 1]];
        uint64_t three = (two << 1) + table[data[e + 2]];
        uint64_t four = (three << 1) + table[data[e + 3]];

        if ((state << 1) + one < threshold)
            return e + 1;
        if ((state << 2) + two < threshold)
            return e + 2;
        if ((state << 3) + three < threshold)
            return e + 3;
        state = (state << 4) + four;
        if (state < threshold)
            return e + 4;
    }
    while (e < to) {
        state = (state << 1) + table[data[e++]];
        if (state < threshold)
            return e;
    }
    return 0;
}
