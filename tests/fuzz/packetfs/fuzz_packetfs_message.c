/* What lies inside a message's seal, as a sender may write anything there; and the outside, as anybody may. */
#include <stdlib.h>

#include "access/packetfs_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct packetfs_identity *identity;
    struct packetfs_message_inside inside;
    struct packetfs_message_parts parts;
    HM_CLEANUP(hm_buf) struct hm_buf plain = {0};
    struct hm_slice in = hm_slice_of(data, size);
    struct hm_error error;

    if (identity == NULL &&
        packetfs_identity_make((const uint8_t[CRYPTO_KEY_BYTES]){1}, "me", &identity, NULL) != 0)
        abort();
    if (packetfs_message_parse_inside(in, &inside, &error) == 0 &&
        (inside.parts.content.len > size || inside.parts.content.data < data ||
         inside.parts.content.data + inside.parts.content.len > data + size))
        abort();
    if (size > 0 && data[0] == 'P')
        (void)packetfs_message_read(identity, in, &plain, &parts, &error);
    return 0;
}
