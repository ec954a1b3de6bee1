/* Numbers of 1 to 10 bytes, seven bits a byte, lowest first (LEB128); one form only: the shortest. */
#ifndef HM_PACKETFS_VARINT_H
#define HM_PACKETFS_VARINT_H

#include "base.h"

#define PACKETFS_VARINT_MAX_BYTES 10

/* Writes at most PACKETFS_VARINT_MAX_BYTES; gives how many. */
static inline size_t packetfs_varint_write(uint64_t value, uint8_t *out)
{
    size_t len = 0;

    while (value >= 0x80) {
        out[len++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    out[len++] = (uint8_t)value;
    return len;
}

static inline int packetfs_varint_append(struct hm_buf *out, uint64_t value)
{
    uint8_t bytes[PACKETFS_VARINT_MAX_BYTES];

    return hm_buf_append(out, bytes, packetfs_varint_write(value, bytes));
}

/* Takes one off the front of *in. false: cut short, longer than need be, or past 64 bits; *in is then as it was. */
static inline bool packetfs_varint_take(struct hm_slice *in, uint64_t *value)
{
    uint64_t got = 0;

    for (size_t i = 0; i < in->len && i < PACKETFS_VARINT_MAX_BYTES; i++) {
        uint8_t byte = in->data[i];
        if (i == PACKETFS_VARINT_MAX_BYTES - 1 && byte > 1)
            return false;
        got |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            if (byte == 0 && i > 0)
                return false;
            *value = got;
            *in = hm_slice_of(in->data + i + 1, in->len - i - 1);
            return true;
        }
    }
    return false;
}

#endif
