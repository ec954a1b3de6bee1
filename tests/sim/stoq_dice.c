/* OpenSSL's randomness made to follow from a seed, so that a simulated handshake is the same each time. The interface
 * is deprecated, and the only one that also reaches key generation without a provider of one's own. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/rand.h>

#include "base.h"
#include "stoq_net.h"

static struct hm_random_seeded dice_seeded;
static struct hm_random dice;

static int dice_bytes(unsigned char *out, int len)
{
    return len >= 0 && dice.fill(dice.ctx, out, (size_t)len) == 0;
}

static int dice_status(void)
{
    return 1;
}

void stoq_net_fix_openssl(uint64_t seed)
{
    static const RAND_METHOD method = {
        .bytes = dice_bytes, .pseudorand = dice_bytes, .status = dice_status};

    dice = hm_random_seeded_source(&dice_seeded, seed);
    (void)RAND_set_rand_method(&method);
}
