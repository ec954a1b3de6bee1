#include "sync/packetfs_send_proof.h"

#include "access/packetfs_message.h"

#define PAKE_CHANNEL  "packetfs-h/1 receiver sender"
#define PAKE_RECEIVER "receiver"
#define PAKE_SENDER   "sender"
/* A context a side, so that what one says is of no use as what the other says. */
#define BOUND_RECEIVER "hypermesh packetfs 1 handover receiver"
#define BOUND_SENDER   "hypermesh packetfs 1 handover sender"
/* An offer and what stands before it, in one piece of memory from the start: one that grew would leave the volume's key behind. */
#define OFFER_BYTES ((size_t)PACKETFS_HANDOVER_VOLUME_FILE_MAX_BYTES + 1024)

static void bytes_wipe(struct hm_buf *buf)
{
    if (buf->data != NULL)
        hm_wipe(buf->data, buf->cap);
    hm_buf_release(buf);
}

/* --- by code ---------------------------------------------------------------------------------------------------------- */

static int pake_begin(const char *code, bool receiver, const uint8_t *shown,
                      struct crypto_pake **out, struct hm_error *error)
{
    const struct crypto_pake_inputs inputs = {
        .password = hm_slice_str(code),
        .channel = hm_slice_str(PAKE_CHANNEL),
        .session = hm_slice_of(shown, PACKETFS_SHOWN_BYTES),
        .data = hm_slice_str(receiver ? PAKE_RECEIVER : PAKE_SENDER)};

    return crypto_pake_new(receiver ? CRYPTO_PAKE_FIRST : CRYPTO_PAKE_SECOND, &inputs,
                           hm_random_system(), out, error);
}

static void offer_key(const uint8_t key[CRYPTO_PAKE_KEY_BYTES], uint8_t out[CRYPTO_KEY_BYTES])
{
    const struct hm_slice part = hm_slice_of(key, CRYPTO_PAKE_KEY_BYTES);

    crypto_hash_parts("hypermesh packetfs 1 handover offer", &part, 1, out);
}

/* One guess. Those who guess at once wait for each other, so that there are never more than are allowed. */
static int guess(struct packetfs_gate *gate, struct crypto_pake *pake, const uint8_t *tag,
                 uint8_t key[CRYPTO_PAKE_KEY_BYTES], struct hm_error *error)
{
    int rc;

    (void)pthread_mutex_lock(&gate->lock);
    if (gate->wrong_guesses >= PACKETFS_SEND_GUESSES_MAX)
        rc = hm_fail(error, HM_EAUTH, "there were %d wrong codes; this offer has ended",
                     PACKETFS_SEND_GUESSES_MAX);
    else
        rc = crypto_pake_confirm(pake, tag, key, NULL);
    if (rc == HM_EAUTH && gate->wrong_guesses < PACKETFS_SEND_GUESSES_MAX) {
        gate->wrong_guesses++;
        (void)hm_fail(error, HM_EAUTH, "that was a wrong code, guess %u of %d", gate->wrong_guesses,
                      PACKETFS_SEND_GUESSES_MAX);
    }
    (void)pthread_mutex_unlock(&gate->lock);
    return rc;
}

unsigned packetfs_gate_wrong(struct packetfs_gate *gate)
{
    unsigned wrong;

    (void)pthread_mutex_lock(&gate->lock);
    wrong = gate->wrong_guesses;
    (void)pthread_mutex_unlock(&gate->lock);
    return wrong;
}

/* Our tag, then the offer under the key that both have now. */
static int offer_by_code(const struct packetfs_gate *gate, const uint8_t *shown,
                         const uint8_t tag[CRYPTO_PAKE_TAG_BYTES],
                         const uint8_t pake_key[CRYPTO_PAKE_KEY_BYTES], struct packetfs_talk *talk,
                         struct hm_error *error)
{
    struct hm_buf plain = {0};
    HM_CLEANUP(hm_buf) struct hm_buf body = {0};
    uint8_t key[CRYPTO_KEY_BYTES];
    int rc = hm_buf_append(&body, tag, CRYPTO_PAKE_TAG_BYTES);

    offer_key(pake_key, key);
    if (rc == 0)
        rc = hm_buf_reserve(&plain, OFFER_BYTES);
    if (rc == 0)
        rc = packetfs_offer_write(gate->offer, &plain);
    if (rc != 0)
        (void)hm_fail(error, rc, "no memory for an offer");
    if (rc == 0)
        rc = crypto_seal(key, hm_slice_of(shown, PACKETFS_SHOWN_BYTES), hm_buf_slice(&plain),
                         hm_random_system(), &body, error);
    hm_wipe(key, sizeof(key));
    bytes_wipe(&plain);
    if (rc == 0)
        rc = packetfs_talk_send(talk, PACKETFS_WIRE_OFFER, hm_buf_slice(&body), error);
    return rc == 0 ? packetfs_talk_flush(talk, error) : rc;
}

static int gate_by_code(struct packetfs_gate *gate, const uint8_t *shown,
                        const struct packetfs_knock *knock, struct packetfs_talk *talk,
                        struct hm_error *error)
{
    struct crypto_pake *pake = NULL;
    uint8_t share[CRYPTO_PAKE_SHARE_BYTES], tag[CRYPTO_PAKE_TAG_BYTES];
    uint8_t peer_tag[CRYPTO_PAKE_TAG_BYTES], key[CRYPTO_PAKE_KEY_BYTES] = {0};
    struct hm_slice body;
    int rc = pake_begin(gate->code, false, shown, &pake, error);

    if (rc == 0)
        rc = crypto_pake_meet(pake, knock->share, hm_slice_str(PAKE_RECEIVER), tag, error);
    if (rc == 0) {
        crypto_pake_share(pake, share);
        rc = packetfs_talk_send(talk, PACKETFS_WIRE_SHARE, hm_slice_of(share, sizeof(share)),
                                error);
    }
    /* Who came confirms first: with our tag he could test his guess and then hang up, and it would not be counted. */
    if (rc == 0)
        rc = packetfs_talk_expect(talk, PACKETFS_WIRE_CONFIRM, &body, error);
    if (rc == 0)
        rc = packetfs_handover_bytes_read(body, peer_tag, sizeof(peer_tag), error);
    if (rc == 0)
        rc = guess(gate, pake, peer_tag, key, error);
    crypto_pake_free(pake);
    if (rc == 0)
        rc = offer_by_code(gate, shown, tag, key, talk, error);
    hm_wipe(key, sizeof(key));
    return rc;
}

/* The offer that follows the sender's tag. */
static int offer_open(struct hm_slice body, struct crypto_pake *pake, const uint8_t *shown,
                      struct hm_buf *bytes, struct hm_error *error)
{
    uint8_t pake_key[CRYPTO_PAKE_KEY_BYTES], key[CRYPTO_KEY_BYTES];
    int rc;

    if (body.len < CRYPTO_PAKE_TAG_BYTES)
        return hm_fail(error, HM_EPARSE, "the peer's offer follows no format");
    if (crypto_pake_confirm(pake, body.data, pake_key, NULL) != 0)
        return hm_fail(error, HM_EAUTH,
                       "the sender does not know this code, or somebody is in between");
    offer_key(pake_key, key);
    rc = crypto_open(
        key, hm_slice_of(shown, PACKETFS_SHOWN_BYTES),
        hm_slice_of(body.data + CRYPTO_PAKE_TAG_BYTES, body.len - CRYPTO_PAKE_TAG_BYTES), bytes,
        error);
    hm_wipe(pake_key, sizeof(pake_key));
    hm_wipe(key, sizeof(key));
    return rc;
}

static int knock_send(const struct packetfs_knock *knock, struct packetfs_talk *talk,
                      struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf body = {0};

    if (packetfs_knock_write(knock, &body) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory for a greeting");
    return packetfs_talk_send(talk, PACKETFS_WIRE_KNOCK, hm_buf_slice(&body), error);
}

static int claim_by_code(const struct packetfs_claim *claim, const uint8_t *shown,
                         struct packetfs_talk *talk, struct hm_buf *bytes, struct hm_error *error)
{
    struct packetfs_knock knock = {.way = PACKETFS_BY_CODE};
    struct crypto_pake *pake = NULL;
    uint8_t share[CRYPTO_PAKE_SHARE_BYTES], tag[CRYPTO_PAKE_TAG_BYTES];
    struct hm_slice body;
    int rc = pake_begin(claim->code, true, shown, &pake, error);

    if (rc == 0) {
        crypto_pake_share(pake, knock.share);
        rc = knock_send(&knock, talk, error);
    }
    if (rc == 0)
        rc = packetfs_talk_expect(talk, PACKETFS_WIRE_SHARE, &body, error);
    if (rc == 0)
        rc = packetfs_handover_bytes_read(body, share, sizeof(share), error);
    if (rc == 0)
        rc = crypto_pake_meet(pake, share, hm_slice_str(PAKE_SENDER), tag, error);
    if (rc == 0)
        rc = packetfs_talk_send(talk, PACKETFS_WIRE_CONFIRM, hm_slice_of(tag, sizeof(tag)), error);
    if (rc == 0) {
        rc = packetfs_talk_expect(talk, PACKETFS_WIRE_OFFER, &body, error);
        /* Who only wants to try a code on ours hangs up here; each such end is a guess that nobody counted. */
        if (rc == HM_EUNAVAILABLE || rc == HM_ETIMEOUT)
            rc = hm_error_prefix(error, rc,
                                 "no offer followed our code (somebody may be trying codes: after "
                                 "two such ends, ask the sender for a new one)");
    }
    if (rc == 0)
        rc = offer_open(body, pake, shown, bytes, error);
    crypto_pake_free(pake);
    return rc;
}

/* --- by identity ------------------------------------------------------------------------------------------------------ */

static void bound_to(const char *context, const uint8_t *shown, uint8_t out[CRYPTO_HASH_BYTES])
{
    const struct hm_slice part = hm_slice_of(shown, PACKETFS_SHOWN_BYTES);

    crypto_hash_parts(context, &part, 1, out);
}

static int proof_seal(const struct packetfs_identity *from, const struct packetfs_contact *to,
                      struct hm_slice content, struct hm_buf *out, struct hm_error *error)
{
    return packetfs_message_write(from, to, PACKETFS_MESSAGE_HANDOVER,
                                  hm_wall_ms(hm_clock_system()) * 1000000u, content,
                                  hm_random_system(), out, error);
}

/* Sealed to us, signed by who is expected, and said on this connection. *rest: what follows the binding, in plain. */
static int proof_open(const struct packetfs_identity *identity, const struct packetfs_contact *from,
                      const char *context, const uint8_t *shown, struct hm_slice sealed,
                      struct hm_buf *plain, struct hm_slice *rest, struct hm_error *error)
{
    struct packetfs_message_parts parts;
    uint8_t bound[CRYPTO_HASH_BYTES];
    int rc = packetfs_message_read(identity, sealed, plain, &parts, error);

    if (rc != 0)
        return rc;
    bound_to(context, shown, bound);
    if (!hm_equal_ct(parts.from.id, from->id, sizeof(from->id)))
        return hm_fail(error, HM_EAUTH, "it is meant for %s, and %s is here", from->id_text,
                       parts.from.id_text);
    if (parts.kind != PACKETFS_MESSAGE_HANDOVER || parts.content.len < sizeof(bound) ||
        !hm_equal_ct(parts.content.data, bound, sizeof(bound)))
        return hm_fail(error, HM_EAUTH,
                       "%s said this on another connection: somebody is in between",
                       parts.from.id_text);
    *rest = hm_slice_of(parts.content.data + sizeof(bound), parts.content.len - sizeof(bound));
    return 0;
}

static int offer_by_identity(const struct packetfs_gate *gate, const uint8_t *shown,
                             struct packetfs_talk *talk, struct hm_error *error)
{
    struct hm_buf content = {0};
    HM_CLEANUP(hm_buf) struct hm_buf body = {0};
    uint8_t bound[CRYPTO_HASH_BYTES];
    int rc;

    bound_to(BOUND_SENDER, shown, bound);
    rc = hm_buf_reserve(&content, OFFER_BYTES);
    if (rc == 0)
        rc = hm_buf_append(&content, bound, sizeof(bound));
    if (rc == 0)
        rc = packetfs_offer_write(gate->offer, &content);
    if (rc != 0)
        (void)hm_fail(error, rc, "no memory for an offer");
    if (rc == 0)
        rc = proof_seal(gate->identity, gate->to, hm_buf_slice(&content), &body, error);
    bytes_wipe(&content);
    if (rc == 0)
        rc = packetfs_talk_send(talk, PACKETFS_WIRE_OFFER, hm_buf_slice(&body), error);
    return rc == 0 ? packetfs_talk_flush(talk, error) : rc;
}

static int gate_by_identity(const struct packetfs_gate *gate, const uint8_t *shown,
                            const struct packetfs_knock *knock, struct packetfs_talk *talk,
                            struct hm_error *error)
{
    struct hm_buf plain = {0};
    struct hm_slice rest;
    int rc = proof_open(gate->identity, gate->to, BOUND_RECEIVER, shown, knock->proof, &plain,
                        &rest, error);

    bytes_wipe(&plain);
    return rc == 0 ? offer_by_identity(gate, shown, talk, error) : rc;
}

static int claim_by_identity(const struct packetfs_claim *claim, const uint8_t *shown,
                             struct packetfs_talk *talk, struct hm_buf *bytes,
                             struct hm_error *error)
{
    struct packetfs_knock knock = {.way = PACKETFS_BY_IDENTITY};
    HM_CLEANUP(hm_buf) struct hm_buf sealed = {0};
    struct hm_buf plain = {0};
    struct hm_slice body, rest;
    uint8_t bound[CRYPTO_HASH_BYTES];
    int rc;

    bound_to(BOUND_RECEIVER, shown, bound);
    rc = proof_seal(claim->identity, claim->from, hm_slice_of(bound, sizeof(bound)), &sealed,
                    error);
    knock.proof = hm_buf_slice(&sealed);
    if (rc == 0)
        rc = knock_send(&knock, talk, error);
    if (rc == 0)
        rc = packetfs_talk_expect(talk, PACKETFS_WIRE_OFFER, &body, error);
    if (rc == 0)
        rc = proof_open(claim->identity, claim->from, BOUND_SENDER, shown, body, &plain, &rest,
                        error);
    if (rc == 0 && hm_buf_append(bytes, rest.data, rest.len) != 0)
        rc = hm_fail(error, HM_ENOMEM, "no memory for an offer");
    bytes_wipe(&plain);
    return rc;
}

/* --- both ------------------------------------------------------------------------------------------------------------- */

int packetfs_gate_open(struct packetfs_gate *gate, const uint8_t shown[PACKETFS_SHOWN_BYTES],
                       struct packetfs_talk *talk, struct hm_error *error)
{
    struct packetfs_knock knock;
    struct hm_slice body;
    int rc = packetfs_talk_expect(talk, PACKETFS_WIRE_KNOCK, &body, error);

    if (rc == 0)
        rc = packetfs_knock_read(body, &knock, error);
    if (rc != 0)
        return rc;
    if (knock.way == PACKETFS_BY_CODE)
        return gate->code != NULL
                   ? gate_by_code(gate, shown, &knock, talk, error)
                   : hm_fail(error, HM_EPERM, "this is for an identity: no code opens it");
    return gate->to != NULL ? gate_by_identity(gate, shown, &knock, talk, error)
                            : hm_fail(error, HM_EPERM, "this needs its code");
}

int packetfs_claim_make(const struct packetfs_claim *claim,
                        const uint8_t shown[PACKETFS_SHOWN_BYTES], struct packetfs_talk *talk,
                        struct hm_buf *bytes, struct packetfs_offer *offer, struct hm_error *error)
{
    int rc = claim->code != NULL ? claim_by_code(claim, shown, talk, bytes, error)
                                 : claim_by_identity(claim, shown, talk, bytes, error);

    return rc == 0 ? packetfs_offer_read(hm_buf_slice(bytes), offer, error) : rc;
}
