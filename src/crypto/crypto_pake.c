/* CPace in its initiator/responder form over ristretto255 with SHA-512: draft-irtf-cfrg-cpace, sections "CPace protocol
 * instructions", "CPace group objects G_Ristretto255" and "Key confirmation". */
#include <sodium/crypto_auth_hmacsha512.h>
#include <sodium/crypto_core_ristretto255.h>
#include <sodium/crypto_hash_sha512.h>
#include <sodium/crypto_scalarmult_ristretto255.h>

#include "crypto.h"

#define HASH_BYTES       crypto_hash_sha512_BYTES
#define HASH_BLOCK_BYTES 128 /* of SHA-512's input: s_in_bytes */
#define SCALAR_TOP_MASK  0x0f /* scalars have 252 bits */
#define LENGTH_MAX_BYTES 2 /* LEB128 of up to CRYPTO_PAKE_FIELD_MAX_BYTES */

_Static_assert(CRYPTO_PAKE_SHARE_BYTES == crypto_scalarmult_ristretto255_BYTES, "element");
_Static_assert(CRYPTO_PAKE_TAG_BYTES == crypto_auth_hmacsha512_BYTES, "tag");
_Static_assert(CRYPTO_PAKE_KEY_BYTES == HASH_BYTES, "key");

static const char group_name[] = "CPaceRistretto255";
static const char key_name[] = "CPaceRistretto255_ISK";
static const char mac_name[] = "CPaceMac";

struct field {
    uint8_t bytes[CRYPTO_PAKE_FIELD_MAX_BYTES];
    size_t len;
};

enum pake_step { PAKE_BEGUN, PAKE_MET, PAKE_OVER };

struct crypto_pake {
    enum crypto_pake_role role;
    enum pake_step step;
    struct field session;
    struct field data; /* ours */
    uint8_t scalar[crypto_scalarmult_ristretto255_SCALARBYTES];
    uint8_t share[CRYPTO_PAKE_SHARE_BYTES];
    uint8_t key[CRYPTO_PAKE_KEY_BYTES];
    uint8_t peer_tag[CRYPTO_PAKE_TAG_BYTES]; /* what the peer's must be */
};

/* --- strings ---------------------------------------------------------------------------------------------------------- */

/* LEB128. */
static size_t length_write(size_t len, uint8_t out[LENGTH_MAX_BYTES])
{
    if (len < 128) {
        out[0] = (uint8_t)len;
        return 1;
    }
    out[0] = (uint8_t)(len & 0x7f) | 0x80;
    out[1] = (uint8_t)(len >> 7);
    return 2;
}

static void hash_field(crypto_hash_sha512_state *hash, const void *data, size_t len)
{
    uint8_t head[LENGTH_MAX_BYTES];

    (void)crypto_hash_sha512_update(hash, head, length_write(len, head));
    if (len > 0)
        (void)crypto_hash_sha512_update(hash, data, len);
}

/* The generator is the code's hash as an element. The first block of the hash holds the code and zeros alone, so that the time it takes
 * says nothing of the code's length. */
static void generator_make(struct hm_slice password, struct hm_slice channel,
                           struct hm_slice session, uint8_t out[crypto_core_ristretto255_BYTES])
{
    static const uint8_t zeros[HASH_BLOCK_BYTES];
    const size_t name_len = sizeof(group_name) - 1;
    uint8_t head[LENGTH_MAX_BYTES];
    size_t used = 1 + length_write(name_len, head) + name_len + length_write(password.len, head) +
                  password.len;
    crypto_hash_sha512_state hash;
    uint8_t digest[HASH_BYTES];

    (void)crypto_hash_sha512_init(&hash);
    hash_field(&hash, group_name, name_len);
    hash_field(&hash, password.data, password.len);
    hash_field(&hash, zeros, used < HASH_BLOCK_BYTES ? HASH_BLOCK_BYTES - used : 0);
    hash_field(&hash, channel.data, channel.len);
    hash_field(&hash, session.data, session.len);
    (void)crypto_hash_sha512_final(&hash, digest);
    (void)crypto_core_ristretto255_from_hash(out, digest);
    hm_wipe(&hash, sizeof(hash));
    hm_wipe(digest, sizeof(digest));
}

/* --- beginning -------------------------------------------------------------------------------------------------------- */

static int field_set(struct field *field, struct hm_slice value, const char *what,
                     struct hm_error *error)
{
    if (value.len > sizeof(field->bytes))
        return hm_fail(error, HM_EINVAL, "the %s has %zu bytes, at most %zu go", what, value.len,
                       sizeof(field->bytes));
    if (value.len > 0)
        memcpy(field->bytes, value.data, value.len);
    field->len = value.len;
    return 0;
}

static int share_make(struct crypto_pake *pake, const struct crypto_pake_inputs *inputs,
                      const struct hm_random *random, struct hm_error *error)
{
    uint8_t generator[crypto_core_ristretto255_BYTES];
    int rc;

    if (random->fill(random->ctx, pake->scalar, sizeof(pake->scalar)) != 0)
        return hm_fail(error, HM_EIO, "the source of random bytes failed");
    pake->scalar[sizeof(pake->scalar) - 1] &= SCALAR_TOP_MASK;
    generator_make(inputs->password, inputs->channel, inputs->session, generator);
    rc = crypto_scalarmult_ristretto255(pake->share, pake->scalar, generator);
    hm_wipe(generator, sizeof(generator));
    /* a scalar of zeros: not by chance */
    return rc != 0 ? hm_fail(error, HM_EIO, "the source of random bytes gives zeros") : 0;
}

int crypto_pake_new(enum crypto_pake_role role, const struct crypto_pake_inputs *inputs,
                    const struct hm_random *random, struct crypto_pake **out,
                    struct hm_error *error)
{
    struct crypto_pake *pake;
    int rc;

    if (inputs->password.len == 0 || inputs->password.len > CRYPTO_PAKE_FIELD_MAX_BYTES ||
        inputs->channel.len > CRYPTO_PAKE_FIELD_MAX_BYTES)
        return hm_fail(error, HM_EINVAL, "a code has 1 to %d bytes", CRYPTO_PAKE_FIELD_MAX_BYTES);
    pake = hm_calloc(1, sizeof(*pake));
    if (pake == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for an exchange of keys");
    pake->role = role;
    rc = field_set(&pake->session, inputs->session, "session", error);
    if (rc == 0)
        rc = field_set(&pake->data, inputs->data, "associated data", error);
    if (rc == 0)
        rc = share_make(pake, inputs, random, error);
    if (rc != 0) {
        crypto_pake_free(pake);
        return rc;
    }
    *out = pake;
    return 0;
}

void crypto_pake_free(struct crypto_pake *pake)
{
    if (pake == NULL)
        return;
    hm_wipe(pake, sizeof(*pake));
    hm_free(pake);
}

void crypto_pake_share(const struct crypto_pake *pake, uint8_t out[CRYPTO_PAKE_SHARE_BYTES])
{
    memcpy(out, pake->share, sizeof(pake->share));
}

/* --- meeting ---------------------------------------------------------------------------------------------------------- */

struct said { /* one side's message */
    const uint8_t *share;
    struct hm_slice data;
};

static void hash_said(crypto_hash_sha512_state *hash, const struct said *said)
{
    hash_field(hash, said->share, CRYPTO_PAKE_SHARE_BYTES);
    hash_field(hash, said->data.data, said->data.len);
}

static void key_make(struct crypto_pake *pake, const uint8_t secret[CRYPTO_PAKE_SHARE_BYTES],
                     const struct said *first, const struct said *second)
{
    crypto_hash_sha512_state hash;

    (void)crypto_hash_sha512_init(&hash);
    hash_field(&hash, key_name, sizeof(key_name) - 1);
    hash_field(&hash, pake->session.bytes, pake->session.len);
    hash_field(&hash, secret, CRYPTO_PAKE_SHARE_BYTES);
    hash_said(&hash, first);
    hash_said(&hash, second);
    (void)crypto_hash_sha512_final(&hash, pake->key);
    hm_wipe(&hash, sizeof(hash));
}

static void mac_field(crypto_auth_hmacsha512_state *mac, const void *data, size_t len)
{
    uint8_t head[LENGTH_MAX_BYTES];

    (void)crypto_auth_hmacsha512_update(mac, head, length_write(len, head));
    if (len > 0)
        (void)crypto_auth_hmacsha512_update(mac, data, len);
}

/* Of a message that this side sent. */
static void tag_make(const uint8_t mac_key[HASH_BYTES], const struct said *said,
                     uint8_t out[CRYPTO_PAKE_TAG_BYTES])
{
    crypto_auth_hmacsha512_state mac;

    (void)crypto_auth_hmacsha512_init(&mac, mac_key, HASH_BYTES);
    mac_field(&mac, said->share, CRYPTO_PAKE_SHARE_BYTES);
    mac_field(&mac, said->data.data, said->data.len);
    (void)crypto_auth_hmacsha512_final(&mac, out);
    hm_wipe(&mac, sizeof(mac));
}

static void tags_make(struct crypto_pake *pake, const struct said *ours, const struct said *theirs,
                      uint8_t tag[CRYPTO_PAKE_TAG_BYTES])
{
    crypto_hash_sha512_state hash;
    uint8_t mac_key[HASH_BYTES];

    (void)crypto_hash_sha512_init(&hash);
    (void)crypto_hash_sha512_update(&hash, (const uint8_t *)mac_name, sizeof(mac_name) - 1);
    if (pake->session.len > 0)
        (void)crypto_hash_sha512_update(&hash, pake->session.bytes, pake->session.len);
    (void)crypto_hash_sha512_update(&hash, pake->key, sizeof(pake->key));
    (void)crypto_hash_sha512_final(&hash, mac_key);
    tag_make(mac_key, ours, tag);
    tag_make(mac_key, theirs, pake->peer_tag);
    hm_wipe(&hash, sizeof(hash));
    hm_wipe(mac_key, sizeof(mac_key));
}

int crypto_pake_meet(struct crypto_pake *pake, const uint8_t share[CRYPTO_PAKE_SHARE_BYTES],
                     struct hm_slice data, uint8_t tag[CRYPTO_PAKE_TAG_BYTES],
                     struct hm_error *error)
{
    const struct said ours = {pake->share, hm_slice_of(pake->data.bytes, pake->data.len)};
    const struct said theirs = {share, data};
    uint8_t secret[CRYPTO_PAKE_SHARE_BYTES];

    if (pake->step != PAKE_BEGUN)
        return hm_fail(error, HM_EINVAL, "this exchange of keys was used already");
    pake->step = PAKE_OVER; /* unless all goes well: a scalar meets one share */
    if (data.len > CRYPTO_PAKE_FIELD_MAX_BYTES)
        return hm_fail(error, HM_EAUTH, "the peer's associated data is too long");
    /* Whoever sends our own message back could send our tag back as well. */
    if (hm_equal_ct(share, pake->share, sizeof(pake->share)))
        return hm_fail(error, HM_EAUTH, "the peer sent our own message back");
    /* Refuses what is no element, and the identity. */
    if (crypto_scalarmult_ristretto255(secret, pake->scalar, share) != 0)
        return hm_fail(error, HM_EAUTH, "what the peer sent is no element of the group");
    if (pake->role == CRYPTO_PAKE_FIRST)
        key_make(pake, secret, &ours, &theirs);
    else
        key_make(pake, secret, &theirs, &ours);
    hm_wipe(secret, sizeof(secret));
    hm_wipe(pake->scalar, sizeof(pake->scalar));
    tags_make(pake, &ours, &theirs, tag);
    pake->step = PAKE_MET;
    return 0;
}

int crypto_pake_confirm(struct crypto_pake *pake, const uint8_t tag[CRYPTO_PAKE_TAG_BYTES],
                        uint8_t key[CRYPTO_PAKE_KEY_BYTES], struct hm_error *error)
{
    if (pake->step != PAKE_MET)
        return hm_fail(error, HM_EINVAL, "nobody was met, or confirmed already");
    pake->step = PAKE_OVER; /* one guess */
    if (!hm_equal_ct(tag, pake->peer_tag, sizeof(pake->peer_tag))) {
        hm_wipe(pake->key, sizeof(pake->key));
        return hm_fail(error, HM_EAUTH, "the peer does not know the code");
    }
    memcpy(key, pake->key, sizeof(pake->key));
    hm_wipe(pake->key, sizeof(pake->key));
    return 0;
}
