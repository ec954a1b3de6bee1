/* Messages of a handover. The first byte picks one; what is taken must be what is written again. A share of the exchange of keys is met,
 * too: nobody without the code gets a key out of it. */
#include <stdlib.h>

#include "sync/packetfs_send_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void same(const struct hm_buf *written, struct hm_slice body)
{
    if (!hm_slice_equal(hm_buf_slice(written), body))
        abort();
}

static void meet(const uint8_t share[CRYPTO_PAKE_SHARE_BYTES])
{
    const struct crypto_pake_inputs inputs = {.password = hm_slice_str("4821-harbor-violin"),
                                              .data = hm_slice_str("sender")};
    struct hm_random_seeded state;
    struct hm_random random = hm_random_seeded_source(&state, 1);
    uint8_t tag[CRYPTO_PAKE_TAG_BYTES], key[CRYPTO_PAKE_KEY_BYTES];
    struct crypto_pake *pake;

    if (crypto_pake_new(CRYPTO_PAKE_SECOND, &inputs, &random, &pake, NULL) != 0)
        abort();
    if (crypto_pake_meet(pake, share, hm_slice_str("receiver"), tag, NULL) == 0 &&
        (crypto_pake_confirm(pake, tag, key, NULL) != HM_EAUTH || /* our own is not his */
         crypto_pake_confirm(pake, tag, key, NULL) != HM_EINVAL))
        abort();
    crypto_pake_free(pake);
}

static void try_knock(struct hm_slice body)
{
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};
    struct packetfs_knock knock;

    if (packetfs_knock_read(body, &knock, NULL) != 0)
        return;
    if (packetfs_knock_write(&knock, &out) != 0)
        abort();
    same(&out, body);
    if (knock.way == PACKETFS_BY_CODE)
        meet(knock.share);
}

static void try_offer(struct hm_slice body)
{
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};
    struct packetfs_offer offer;

    if (packetfs_offer_read(body, &offer, NULL) != 0)
        return;
    if (packetfs_offer_write(&offer, &out) != 0)
        abort();
    same(&out, body);
}

static void try_progress(struct hm_slice body)
{
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};
    struct packetfs_handover_progress progress;

    if (packetfs_handover_progress_read(body, &progress, NULL) != 0)
        return;
    if (packetfs_handover_progress_write(&progress, &out) != 0)
        abort();
    same(&out, body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hm_slice body;

    if (size == 0)
        return 0;
    body = hm_slice_of(data + 1, size - 1);
    switch (data[0]) {
    case PACKETFS_WIRE_KNOCK:
        try_knock(body);
        break;
    case PACKETFS_WIRE_OFFER:
        try_offer(body);
        break;
    case PACKETFS_WIRE_PROGRESS:
        try_progress(body);
        break;
    default:
        if (body.len >= CRYPTO_PAKE_SHARE_BYTES)
            meet(body.data);
    }
    return 0;
}
