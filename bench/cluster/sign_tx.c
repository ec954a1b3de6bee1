#include "sign_tx.h"

#include <jansson.h>
#include <stdio.h>

#include "proof.h"

#define SIGN_HYPER       UINT64_C(1000000000)
#define SIGN_FEE_LIMIT   (1000 * SIGN_HYPER) /* what is not used is not paid */
#define SIGN_AMOUNT      UINT64_C(1000)
#define SIGN_SESSION_MS  (UINT64_C(20) * 3600 * 1000)
#define SIGN_KEY_BYTES   32
#define SIGN_SEED_BYTES  128
#define SIGN_SIZE_HEADER 256

/* --- accounts ---------------------------------------------------------------------------------------------- */

static void sign_seed(const char *seed, const char *what, uint64_t number,
                      uint8_t out[CRYPTO_HASH_BYTES])
{
    char text[SIGN_SEED_BYTES];
    int len = snprintf(text, sizeof(text), "%.64s/%s/%llu", seed, what, (unsigned long long)number);

    crypto_hash(text, (size_t)len, out);
}

int sign_account_init(struct sign_account *account, const char *seed, uint64_t number,
                      struct hm_error *error)
{
    uint8_t first[CRYPTO_HASH_BYTES], second[CRYPTO_HASH_BYTES];

    *account = (struct sign_account){0};
    sign_seed(seed, "ed25519", number, first);
    sign_seed(seed, "mldsa65", number, second);
    int rc = crypto_root_key_new(first, second, &account->root, error);
    if (rc != 0)
        return rc;
    crypto_root_key_public(account->root, &account->root_public);
    proof_account_id(&account->root_public, account->id);
    sign_seed(seed, "session", number, first);
    crypto_ed25519_from_seed(&account->session, first);
    return 0;
}

void sign_account_release(struct sign_account *account)
{
    crypto_root_key_free(account->root);
    crypto_ed25519_wipe(&account->session);
    account->root = NULL;
}

/* --- the chain --------------------------------------------------------------------------------------------- */

static int sign_read_hash(const json_t *object, const char *name, uint8_t out[CRYPTO_HASH_BYTES],
                          struct hm_error *error)
{
    const char *text = json_string_value(json_object_get(object, name));

    if (text == NULL || strlen(text) != 2 * (size_t)CRYPTO_HASH_BYTES)
        return hm_fail(error, HM_EPARSE, "the node's answer has no %s", name);
    return hm_hex_decode(text, strlen(text), out, CRYPTO_HASH_BYTES, error);
}

int sign_chain_read(struct hm_slice json, struct sign_chain *chain, struct sign_account *account,
                    struct hm_error *error)
{
    json_t *object = NULL;
    int rc = hm_json_parse(json, 0, &object, NULL);
    const char *id = json_string_value(json_object_get(object, "chain_id"));

    if (rc != 0 || id == NULL || strlen(id) >= sizeof(chain->id))
        rc = hm_fail(error, HM_EPARSE, "what the node says of the account is not JSON: %.200s",
                     (const char *)json.data);
    if (rc == 0)
        rc = sign_read_hash(object, "presence", account->presence, error);
    if (rc == 0)
        rc = sign_read_hash(object, "anchor_hash", chain->anchor_hash, error);
    if (rc == 0) {
        memcpy(chain->id, id, strlen(id) + 1);
        chain->anchor_height = (uint64_t)json_integer_value(
            json_object_get(object, "anchor_height"));
        chain->work_bits = (unsigned)json_integer_value(json_object_get(object, "work_bits"));
    }
    json_decref(object);
    return rc;
}

/* --- transactions ------------------------------------------------------------------------------------------ */

static int sign_root(const struct sign_account *account, const uint8_t digest[CRYPTO_HASH_BYTES],
                     struct crypto_root_signature *signature, Hypermesh__RootAuth *root,
                     struct hm_error *error)
{
    const struct crypto_root_public *keys = &account->root_public;
    int rc = crypto_root_sign(account->root, digest, CRYPTO_HASH_BYTES, signature, error);

    hypermesh__root_auth__init(root);
    root->ed25519_public = wire_bytes(keys->ed25519, sizeof(keys->ed25519));
    root->mldsa65_public = wire_bytes(keys->mldsa65, sizeof(keys->mldsa65));
    root->ed25519_signature = wire_bytes(signature->ed25519, sizeof(signature->ed25519));
    root->mldsa65_signature = wire_bytes(signature->mldsa65, sizeof(signature->mldsa65));
    return rc;
}

static int sign_pack(const struct sign_chain *chain, struct sign_account *account, bool by_root,
                     struct hm_slice body, struct hm_buf *out, struct hm_error *error)
{
    Hypermesh__Tx tx = HYPERMESH__TX__INIT;
    Hypermesh__RootAuth root;
    struct crypto_root_signature hybrid;
    uint8_t signature[CRYPTO_ED25519_SIGNATURE_BYTES];
    uint8_t body_digest[CRYPTO_HASH_BYTES], digest[CRYPTO_HASH_BYTES];

    proof_body_digest(body, body_digest);
    int rc = proof_work_solve(body_digest, chain->work_bits, &tx.work_nonce, digest, error);
    if (rc == 0 && by_root) {
        rc = sign_root(account, digest, &hybrid, &root, error);
        tx.root = &root;
    } else if (rc == 0) {
        crypto_ed25519_sign(&account->session, digest, sizeof(digest), signature);
        tx.signature = wire_bytes(signature, sizeof(signature));
    }
    if (rc != 0)
        return rc;
    tx.body = wire_bytes(body.data, body.len);
    if (wire_pack(&tx.base, out) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory for a transaction");
    proof_presence_next(account->presence, digest, account->presence);
    return 0;
}

static int sign_ops(const struct sign_chain *chain, struct sign_account *account, bool by_root,
                    Hypermesh__Operation **ops, size_t count, struct hm_buf *out,
                    struct hm_error *error)
{
    Hypermesh__TxBody body = HYPERMESH__TX_BODY__INIT;
    HM_CLEANUP(hm_buf) struct hm_buf packed = {0};

    body.chain_id = (char *)(uintptr_t)chain->id;
    body.account = wire_bytes(account->id, sizeof(account->id));
    if (!by_root)
        body.session_key = wire_bytes(account->session.public_key,
                                      sizeof(account->session.public_key));
    body.presence = wire_bytes(account->presence, sizeof(account->presence));
    body.fee_limit = SIGN_FEE_LIMIT;
    body.anchor_height = chain->anchor_height;
    body.anchor_hash = wire_bytes(chain->anchor_hash, sizeof(chain->anchor_hash));
    body.timestamp_ms = hm_wall_ms(hm_clock_system());
    body.n_ops = count;
    body.ops = ops;
    if (wire_pack(&body.base, &packed) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory for a transaction");
    return sign_pack(chain, account, by_root, hm_buf_slice(&packed), out, error);
}

int sign_grant(const struct sign_chain *chain, struct sign_account *account, struct hm_buf *out,
               struct hm_error *error)
{
    Hypermesh__SessionGrant grant = HYPERMESH__SESSION_GRANT__INIT;
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT, *ops[] = {&op};

    grant.session_key = wire_bytes(account->session.public_key,
                                   sizeof(account->session.public_key));
    grant.scope = (UINT64_C(1) << HYPERMESH__OPERATION__OP_KV_PUT) |
                  (UINT64_C(1) << HYPERMESH__OPERATION__OP_TRANSFER);
    grant.expires_ms = hm_wall_ms(hm_clock_system()) + SIGN_SESSION_MS;
    op.op_case = HYPERMESH__OPERATION__OP_SESSION_GRANT;
    op.session_grant = &grant;
    return sign_ops(chain, account, true, ops, 1, out, error);
}

/* Room for the operations of one transaction. */
struct sign_room {
    Hypermesh__Operation op;
    Hypermesh__KvPut put;
    Hypermesh__Transfer transfer;
    char key[SIGN_KEY_BYTES];
    uint8_t to[WIRE_ID_BYTES];
};

static void sign_put(struct sign_room *room, const struct sign_work *work, uint64_t number)
{
    static uint8_t value[SIGN_VALUE_MAX];

    value[0] = 'x';
    snprintf(room->key, sizeof(room->key), "bench/%08llu",
             (unsigned long long)(number % work->keys));
    hypermesh__kv_put__init(&room->put);
    room->put.key = wire_bytes(room->key, strlen(room->key));
    room->put.value = wire_bytes(value, work->value_bytes);
    room->op.op_case = HYPERMESH__OPERATION__OP_KV_PUT;
    room->op.kv_put = &room->put;
}

static void sign_transfer(struct sign_room *room, const struct sign_work *work, uint64_t number)
{
    sign_seed(work->seed, "to", number, room->to);
    hypermesh__transfer__init(&room->transfer);
    room->transfer.to = wire_bytes(room->to, sizeof(room->to));
    room->transfer.amount = SIGN_AMOUNT;
    room->op.op_case = HYPERMESH__OPERATION__OP_TRANSFER;
    room->op.transfer = &room->transfer;
}

int sign_work(const struct sign_chain *chain, struct sign_account *account,
              const struct sign_work *work, uint64_t first, struct hm_buf *out,
              struct hm_error *error)
{
    static struct sign_room rooms[SIGN_OPS_MAX];
    Hypermesh__Operation *ops[SIGN_OPS_MAX];

    for (size_t i = 0; i < work->ops; i++) {
        hypermesh__operation__init(&rooms[i].op);
        (work->kind == SIGN_PUT ? sign_put : sign_transfer)(&rooms[i], work, first + i);
        ops[i] = &rooms[i].op;
    }
    return sign_ops(chain, account, false, ops, work->ops, out, error);
}
