#include "abci_private.h"

int abci_frame_parse(struct hm_slice bytes, struct hm_slice *message, struct hm_error *error)
{
    uint64_t size = 0;
    size_t at = 0;
    uint8_t byte;

    do {
        if (at == ABCI_FRAME_HEADER_MAX_BYTES)
            return hm_fail(error, HM_EPARSE, "a message's length is longer than %d bytes: not ABCI",
                           ABCI_FRAME_HEADER_MAX_BYTES);
        if (at == bytes.len)
            return 0;
        byte = bytes.data[at];
        /* The tenth byte holds what is left of 64 bits; more is over the limit anyway. */
        if (at == ABCI_FRAME_HEADER_MAX_BYTES - 1 && byte > 1)
            size = UINT64_MAX;
        else
            size |= (uint64_t)(byte & 0x7f) << (7 * at);
        at++;
    } while (byte & 0x80);
    if (size > ABCI_MESSAGE_MAX_BYTES)
        return hm_fail(error, HM_ELIMIT, "a message of %llu bytes, at most %zu are taken",
                       (unsigned long long)size, ABCI_MESSAGE_MAX_BYTES);
    if (bytes.len - at < size)
        return 0;
    *message = hm_slice_of(bytes.data + at, (size_t)size);
    return 1;
}

size_t abci_frame_header(size_t message_bytes, uint8_t out[ABCI_FRAME_HEADER_MAX_BYTES])
{
    size_t len = 0;

    while (message_bytes >= 0x80) {
        out[len++] = (uint8_t)(message_bytes | 0x80);
        message_bytes >>= 7;
    }
    out[len++] = (uint8_t)message_bytes;
    return len;
}
