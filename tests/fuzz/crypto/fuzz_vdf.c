/* Claims of the delay function as they come from the wire: input, be64 steps, output, proof. What is accepted must be
 * what the squarings give. */
#include <stdlib.h>

#include "crypto.h"

#define CLAIM_BYTES (CRYPTO_VDF_INPUT_BYTES + 8 + 2 * CRYPTO_VDF_ELEMENT_BYTES)
#define STEPS_TRIED 4096 /* so many squarings are done to compare */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t padded[CLAIM_BYTES] = {0};
    const uint8_t *output = padded + CRYPTO_VDF_INPUT_BYTES + 8;
    uint8_t made[CRYPTO_VDF_ELEMENT_BYTES];
    struct hm_error error = {0};
    uint64_t steps;

    memcpy(padded, data, size < CLAIM_BYTES ? size : CLAIM_BYTES);
    steps = hm_get_be64(padded + CRYPTO_VDF_INPUT_BYTES);
    if (crypto_vdf_verify(padded, steps, output, output + CRYPTO_VDF_ELEMENT_BYTES, &error))
        return 0;
    if (steps > STEPS_TRIED)
        return 0;
    if (crypto_vdf_eval(padded, steps, NULL, NULL, made, &error) ||
        memcmp(made, output, sizeof(made)) != 0)
        abort();
    return 0;
}
