/* Any bytes as what the ledger reads from outside. The first byte picks the message. What is taken must
 * pack again, and the packed form must be a fixed point: taken, and packed to the same bytes. */
#include <stdlib.h>

#include "wire.h"

#define FUZZ_MESSAGE_MAX_BYTES ((size_t)1 << 20)
#define FUZZ_MEMORY_MAX_BYTES  ((size_t)64 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const ProtobufCMessageDescriptor *const messages[] = {
    &hypermesh__batch__descriptor,   &hypermesh__batch_head__descriptor,
    &hypermesh__tx__descriptor,      &hypermesh__tx_body__descriptor,
    &hypermesh__genesis__descriptor, &hypermesh__block__descriptor,
};

static void require(int holds)
{
    if (!holds)
        abort();
}

static int unpack(const ProtobufCMessageDescriptor *descriptor, struct hm_slice bytes,
                  struct hm_arena *arena, struct hm_buf *packed)
{
    ProtobufCMessage *message = NULL;
    struct hm_error error = {0};
    int rc = wire_unpack(descriptor, bytes, FUZZ_MESSAGE_MAX_BYTES, arena, &message, &error);

    if (rc) {
        require(!message && error.code == rc && error.text[0] != '\0');
        return rc;
    }
    require(message->descriptor == descriptor && message->n_unknown_fields == 0);
    require(wire_pack(message, packed) == 0);
    return 0;
}

static void check_message(const ProtobufCMessageDescriptor *descriptor, struct hm_slice bytes)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
    HM_CLEANUP(hm_buf) struct hm_buf once = {0};
    HM_CLEANUP(hm_buf) struct hm_buf twice = {0};

    hm_arena_init(&arena, FUZZ_MEMORY_MAX_BYTES);
    if (unpack(descriptor, bytes, &arena, &once))
        return;
    /* never longer: what was taken holds nothing that packing would not write, but defaults */
    require(once.len <= bytes.len || bytes.len == 0);
    require(unpack(descriptor, hm_buf_slice(&once), &arena, &twice) == 0);
    require(hm_slice_equal(hm_buf_slice(&once), hm_buf_slice(&twice)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0)
        check_message(messages[data[0] % HM_COUNT_OF(messages)], hm_slice_of(data + 1, size - 1));
    return 0;
}
