/* What a validator says with its vote, and what the engine signs of it. */
#include "ledger_witness.h"

#define DIGEST_CONTEXT "hypermesh 1 witness"
/* A tag and the length of a field, the numbers of CanonicalVoteExtension, the chain's name. */
#define SIGN_HEAD_MAX_BYTES 96
#define SIGN_TAG_BYTES      0x0a /* field 1, bytes */
#define SIGN_TAG_HEIGHT     0x11 /* field 2, eight bytes */
#define SIGN_TAG_ROUND      0x19 /* field 3, eight bytes */
#define SIGN_TAG_CHAIN      0x22 /* field 4, bytes */

/* --- what is signed --- */

static size_t put_varint(uint8_t *out, uint64_t value)
{
    size_t len = 0;

    for (; value > 0x7f; value >>= 7)
        out[len++] = (uint8_t)(value | 0x80);
    out[len++] = (uint8_t)value;
    return len;
}

/* sfixed64; 0 is left out, as everything that is 0 or empty. */
static size_t put_fixed(uint8_t *out, uint8_t tag, uint64_t value)
{
    if (value == 0)
        return 0;
    out[0] = tag;
    for (unsigned i = 0; i < 8; i++)
        out[1 + i] = (uint8_t)(value >> 8 * i);
    return 9;
}

int ledger_witness_sign_bytes(const char *chain_id, uint64_t height, uint32_t round,
                              struct hm_slice extension, struct hm_buf *out)
{
    size_t name = strnlen(chain_id, LEDGER_ENGINE_CHAIN_MAX_BYTES);
    uint8_t tail[SIGN_HEAD_MAX_BYTES];
    uint8_t head[16];
    uint8_t whole[10];
    size_t before = out->len;
    size_t tail_len;
    size_t head_len = 0;
    int rc;

    tail_len = put_fixed(tail, SIGN_TAG_HEIGHT, height);
    tail_len += put_fixed(tail + tail_len, SIGN_TAG_ROUND, round);
    if (name > 0) {
        tail[tail_len++] = SIGN_TAG_CHAIN;
        tail_len += put_varint(tail + tail_len, name);
        memcpy(tail + tail_len, chain_id, name);
        tail_len += name;
    }
    if (extension.len > 0) {
        head[head_len++] = SIGN_TAG_BYTES;
        head_len += put_varint(head + head_len, extension.len);
    }
    rc = hm_buf_append(out, whole, put_varint(whole, head_len + extension.len + tail_len));
    if (rc == 0)
        rc = hm_buf_append(out, head, head_len);
    if (rc == 0)
        rc = hm_buf_append(out, extension.data, extension.len);
    if (rc == 0)
        rc = hm_buf_append(out, tail, tail_len);
    if (rc)
        out->len = before;
    return rc;
}

void ledger_witness_digest(const uint8_t chain_hash[CRYPTO_HASH_BYTES],
                           const uint8_t address[LEDGER_WITNESS_NODE_BYTES],
                           uint8_t out[CRYPTO_HASH_BYTES])
{
    const struct hm_slice parts[] = {hm_slice_of(chain_hash, CRYPTO_HASH_BYTES),
                                     hm_slice_of(address, LEDGER_WITNESS_NODE_BYTES)};

    crypto_hash_parts(DIGEST_CONTEXT, parts, HM_COUNT_OF(parts), out);
}

/* --- what is said --- */

static int bad(struct hm_error *error, const char *what)
{
    return hm_fail(error, HM_EINVAL, "witness: %s", what);
}

static bool is_node(ProtobufCBinaryData id)
{
    return id.len == LEDGER_WITNESS_NODE_BYTES;
}

static int echoes_check(const Hypermesh__VoteWitness *said, struct hm_error *error)
{
    if (said->n_echoes > LEDGER_WITNESS_ECHOES_MAX)
        return hm_fail(error, HM_ELIMIT, "witness: %zu echoes, at most %d are allowed",
                       said->n_echoes, LEDGER_WITNESS_ECHOES_MAX);
    for (size_t i = 0; i < said->n_echoes; i++) {
        const Hypermesh__WitnessEcho *echo = said->echoes[i];

        if (!is_node(echo->node) ||
            (i > 0 &&
             hm_slice_compare(wire_slice(said->echoes[i - 1]->node), wire_slice(echo->node)) >= 0))
            return bad(error, "echoes must be in the order of node ids of 20 bytes, each once");
        if (hm_slice_equal(wire_slice(echo->node), wire_slice(said->node)))
            return bad(error, "an echo of oneself");
        if (echo->rtt_us > LEDGER_WITNESS_RTT_MAX_US ||
            echo->clock_ms > LEDGER_WITNESS_CLOCK_MAX_MS ||
            echo->clock_ms < -LEDGER_WITNESS_CLOCK_MAX_MS)
            return bad(error, "a time or difference of clocks past all measure");
    }
    return 0;
}

int ledger_witness_said(struct hm_slice extension, struct hm_arena *arena,
                        Hypermesh__VoteWitness **out, struct hm_error *error)
{
    Hypermesh__VoteWitness *said;
    int rc = WIRE_UNPACK(hypermesh__vote_witness, extension, LEDGER_WITNESS_MAX_BYTES, arena, &said,
                         error);

    if (rc)
        return rc;
    if (!is_node(said->node))
        return bad(error, "node must have 20 bytes");
    if (said->clock_ms > (uint64_t)LEDGER_WITNESS_CLOCK_MAX_MS)
        return bad(error, "clock_ms is out of range");
    if (said->key.len != said->proof.len / 2 ||
        (said->key.len != 0 && said->key.len != CRYPTO_ED25519_PUBLIC_BYTES) ||
        (said->proof.len != 0 && said->proof.len != CRYPTO_ED25519_SIGNATURE_BYTES))
        return bad(error, "key and proof have 32 and 64 bytes, or none");
    rc = echoes_check(said, error);
    if (rc == 0)
        *out = said;
    return rc;
}

int ledger_witness_check(struct hm_slice extension, struct hm_error *error)
{
    Hypermesh__VoteWitness *said;
    struct hm_arena arena;
    int rc;

    hm_arena_init(&arena, LEDGER_STATE_MAX_BYTES);
    rc = ledger_witness_said(extension, &arena, &said, error);
    hm_arena_release(&arena);
    return rc;
}
