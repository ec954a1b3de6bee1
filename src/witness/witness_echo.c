#include "witness_echo.h"

#define ECHO_MAGIC        "hmecho1"
#define ECHO_AT_CHAIN     8
#define ECHO_AT_NONCE     24
#define ECHO_AT_KEY       40
#define ECHO_AT_CLOCK     72
#define ECHO_AT_SIGNATURE 80
#define ECHO_AT_PADDING   144

#define ECHO_SIGNED_ASK       "hypermesh 1 echo ask"
#define ECHO_SIGNED_ANSWER    "hypermesh 1 echo answer"
#define ECHO_SIGNED_MAX_BYTES (32 + ECHO_AT_SIGNATURE + CRYPTO_ED25519_PUBLIC_BYTES)

_Static_assert(ECHO_AT_SIGNATURE + CRYPTO_ED25519_SIGNATURE_BYTES == WITNESS_ECHO_ANSWER_BYTES &&
                   WITNESS_ECHO_ANSWER_BYTES == ECHO_AT_PADDING &&
                   WITNESS_ECHO_ANSWER_BYTES < WITNESS_ECHO_ASK_BYTES,
               "an answer is shorter than its question");

void witness_echo_chain(const char *chain_id, uint8_t out[WITNESS_ECHO_CHAIN_BYTES])
{
    const struct hm_slice parts[] = {hm_slice_str(chain_id)};
    uint8_t hash[CRYPTO_HASH_BYTES];

    crypto_hash_parts("hypermesh 1 echo chain", parts, HM_COUNT_OF(parts), hash);
    memcpy(out, hash, WITNESS_ECHO_CHAIN_BYTES);
}

/* The bytes that the signature is over; how many. */
static size_t echo_signed(const uint8_t *packet, enum witness_echo_kind kind, const uint8_t *asker,
                          uint8_t out[ECHO_SIGNED_MAX_BYTES])
{
    const char *what = kind == WITNESS_ECHO_ASK ? ECHO_SIGNED_ASK : ECHO_SIGNED_ANSWER;
    size_t len = strlen(what);

    memcpy(out, what, len);
    memcpy(out + len, packet, ECHO_AT_SIGNATURE);
    len += ECHO_AT_SIGNATURE;
    if (kind == WITNESS_ECHO_ASK)
        return len;
    memcpy(out + len, asker, CRYPTO_ED25519_PUBLIC_BYTES);
    return len + CRYPTO_ED25519_PUBLIC_BYTES;
}

static void echo_write(const struct crypto_ed25519_key *own, const uint8_t *chain,
                       enum witness_echo_kind kind, const uint8_t *nonce, uint64_t clock_ms,
                       const uint8_t *asker, uint8_t *out)
{
    uint8_t bytes[ECHO_SIGNED_MAX_BYTES];
    size_t len;

    memcpy(out, ECHO_MAGIC, ECHO_AT_CHAIN - 1);
    out[ECHO_AT_CHAIN - 1] = (uint8_t)kind;
    memcpy(out + ECHO_AT_CHAIN, chain, WITNESS_ECHO_CHAIN_BYTES);
    memcpy(out + ECHO_AT_NONCE, nonce, WITNESS_ECHO_NONCE_BYTES);
    memcpy(out + ECHO_AT_KEY, own->public_key, CRYPTO_ED25519_PUBLIC_BYTES);
    hm_put_be64(out + ECHO_AT_CLOCK, clock_ms);
    len = echo_signed(out, kind, asker, bytes);
    crypto_ed25519_sign(own, bytes, len, out + ECHO_AT_SIGNATURE);
}

void witness_echo_write_ask(const struct crypto_ed25519_key *own,
                            const uint8_t chain[WITNESS_ECHO_CHAIN_BYTES],
                            const uint8_t nonce[WITNESS_ECHO_NONCE_BYTES], uint64_t clock_ms,
                            uint8_t out[WITNESS_ECHO_ASK_BYTES])
{
    echo_write(own, chain, WITNESS_ECHO_ASK, nonce, clock_ms, NULL, out);
    memset(out + ECHO_AT_PADDING, 0, WITNESS_ECHO_ASK_BYTES - ECHO_AT_PADDING);
}

void witness_echo_write_answer(const struct crypto_ed25519_key *own,
                               const uint8_t chain[WITNESS_ECHO_CHAIN_BYTES],
                               const struct witness_echo *asked, uint64_t clock_ms,
                               uint8_t out[WITNESS_ECHO_ANSWER_BYTES])
{
    echo_write(own, chain, WITNESS_ECHO_ANSWER, asked->nonce, clock_ms, asked->key, out);
}

static bool echo_is_zero(const uint8_t *bytes, size_t len)
{
    uint8_t any = 0;

    for (size_t i = 0; i < len; i++)
        any |= bytes[i];
    return any == 0;
}

int witness_echo_read(struct hm_slice packet, const uint8_t chain[WITNESS_ECHO_CHAIN_BYTES],
                      enum witness_echo_kind kind, struct witness_echo *out)
{
    size_t len = kind == WITNESS_ECHO_ASK ? WITNESS_ECHO_ASK_BYTES : WITNESS_ECHO_ANSWER_BYTES;

    if (packet.len != len || memcmp(packet.data, ECHO_MAGIC, ECHO_AT_CHAIN - 1) != 0 ||
        packet.data[ECHO_AT_CHAIN - 1] != (uint8_t)kind ||
        !echo_is_zero(packet.data + ECHO_AT_PADDING, len - ECHO_AT_PADDING))
        return HM_EPARSE;
    if (memcmp(packet.data + ECHO_AT_CHAIN, chain, WITNESS_ECHO_CHAIN_BYTES) != 0)
        return HM_ENOTFOUND;
    memcpy(out->nonce, packet.data + ECHO_AT_NONCE, WITNESS_ECHO_NONCE_BYTES);
    memcpy(out->key, packet.data + ECHO_AT_KEY, CRYPTO_ED25519_PUBLIC_BYTES);
    out->clock_ms = hm_get_be64(packet.data + ECHO_AT_CLOCK);
    return 0;
}

int witness_echo_check(struct hm_slice packet, enum witness_echo_kind kind,
                       const uint8_t asker[CRYPTO_ED25519_PUBLIC_BYTES])
{
    uint8_t bytes[ECHO_SIGNED_MAX_BYTES];
    size_t len = echo_signed(packet.data, kind, asker, bytes);

    return crypto_ed25519_verify(packet.data + ECHO_AT_KEY, bytes, len,
                                 packet.data + ECHO_AT_SIGNATURE);
}
