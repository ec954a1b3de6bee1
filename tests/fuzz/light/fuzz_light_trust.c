/* Any bytes as a file of trust, and, up to the first zero byte, as an anchor's text. What is refused must leave the output
 * alone and say why; what is taken must be written the same again. */
#include <stdlib.h>

#include "light_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void try_file(struct hm_slice bytes)
{
    HM_CLEANUP(light_trust) struct light_trust trust = {0};
    HM_CLEANUP(light_trust) struct light_trust again = {0};
    HM_CLEANUP(hm_buf) struct hm_buf packed = {0};
    struct hm_error error = {0};
    int rc = light_trust_unpack(&trust, bytes, &error);

    if (rc != 0) {
        require(error.code == rc && error.text[0] != '\0' && trust.block.message == NULL);
        return;
    }
    require(light_trust_pack(&trust, &packed, NULL) == 0);
    require(light_trust_unpack(&again, hm_buf_slice(&packed), NULL) == 0);
    require(memcmp(again.block.hash, trust.block.hash, LIGHT_HASH_BYTES) == 0);
}

static void try_anchor(struct hm_slice bytes)
{
    char text[256], written[LIGHT_ANCHOR_TEXT_MAX];
    size_t len = bytes.len < sizeof(text) - 1 ? bytes.len : sizeof(text) - 1;
    struct light_anchor anchor = {0}, again = {0};
    struct hm_error error = {0};
    int rc;

    if (len > 0)
        memcpy(text, bytes.data, len);
    text[len] = '\0';
    rc = light_anchor_parse(text, &anchor, &error);
    if (rc != 0) {
        require(error.code == rc && error.text[0] != '\0' && anchor.height == 0);
        return;
    }
    light_anchor_format(&anchor, written);
    require(light_anchor_parse(written, &again, NULL) == 0);
    require(again.height == anchor.height &&
            memcmp(again.hash, anchor.hash, LIGHT_HASH_BYTES) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    require(crypto_setup(NULL) == 0);
    try_file(hm_slice_of(data, size));
    try_anchor(hm_slice_of(data, size));
    return 0;
}
