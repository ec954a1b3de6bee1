/* The public part of an identity: first as a text, then as bytes. What is taken is written again and taken again. */
#include <stdlib.h>

#include "access/packetfs_identity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void again(const struct packetfs_contact *contact)
{
    struct packetfs_contact read;
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    HM_AUTOFREE char *text = NULL;

    if (packetfs_contact_encode(contact, &bytes) != 0 ||
        packetfs_contact_print(contact, &text, NULL) != 0)
        abort();
    struct hm_slice in = hm_buf_slice(&bytes);
    if (packetfs_contact_take(&in, &read, NULL) != 0 || in.len != 0 ||
        memcmp(&read, contact, sizeof(read)) != 0)
        abort();
    if (packetfs_contact_read(hm_slice_str(text), &read, NULL) != 0 ||
        memcmp(&read, contact, sizeof(read)) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct packetfs_contact contact;
    struct hm_slice in = hm_slice_of(data, size);
    struct hm_error error;

    memset(&contact, 0, sizeof(contact));
    if (packetfs_contact_read(in, &contact, &error) == 0)
        again(&contact);
    memset(&contact, 0, sizeof(contact));
    if (packetfs_contact_take(&in, &contact, &error) == 0) {
        if (in.len > size || in.data + in.len != data + size)
            abort();
        again(&contact);
    }
    return 0;
}
