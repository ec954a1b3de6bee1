#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "light_node.h"

#define STATE_HEIGHT  7 /* what GET /state says */
#define REQUEST_BYTES 4096
#define LONG_BYTES    (16u << 20)

/* --- the ledger ----------------------------------------------------------------------------------- */

static const char *const tables[] = {"leaf", "page"};
static const struct store_tree tree = {.leaf_table = 0, .page_table = 1};

static void prove(struct store_txn *txn, struct hm_slice key, struct hm_buf *out)
{
    struct store_tree_proof proof;

    assert_int_equal(store_tree_prove(txn, &tree, key, &proof, NULL), 0);
    assert_int_equal(store_tree_proof_encode(&proof, out), 0);
    store_tree_proof_release(&proof);
}

static struct store_tree_change leaf(const char *key, struct hm_slice value)
{
    struct store_tree_change change;

    crypto_hash(key, strlen(key), change.key_hash);
    crypto_hash(value.data, value.len, change.value_hash);
    return change;
}

/* A tree of four leaves with this value at the key. */
static void make_state(struct hm_slice value, struct hm_slice params,
                       uint8_t root[CRYPTO_HASH_BYTES], struct hm_buf *proof,
                       struct hm_buf *absence, struct hm_buf *params_proof)
{
    const struct store_options options = {.tables = tables, .table_count = HM_COUNT_OF(tables)};
    struct store_tree_change changes[] = {leaf("k" LIGHT_NODE_KEY, value),
                                          leaf("kother", hm_slice_str("1")), leaf("P", params),
                                          leaf("S", hm_slice_str("supply"))};
    struct store_txn *txn;
    struct store *store;

    assert_int_equal(store_open_memory(&options, &store, NULL), 0);
    assert_int_equal(store_begin_write(store, &txn, NULL), 0);
    assert_int_equal(store_tree_update(txn, &tree, changes, HM_COUNT_OF(changes), root, NULL), 0);
    prove(txn, hm_slice_str("k" LIGHT_NODE_KEY), proof);
    if (absence)
        prove(txn, hm_slice_str("knothing"), absence);
    if (params_proof)
        prove(txn, hm_slice_str("P"), params_proof);
    store_abort(txn);
    store_close(store);
}

/* --- blocks ----------------------------------------------------------------------------------------- */

static void *made(struct hm_arena *arena, size_t size)
{
    void *memory = hm_arena_alloc(arena, size);

    assert_non_null(memory);
    return memory;
}

static ProtobufCBinaryData bytes_of(struct hm_arena *arena, const void *data, size_t len)
{
    void *copy = hm_arena_dup(arena, data, len);

    assert_non_null(copy);
    return wire_bytes(copy, len);
}

static ProtobufCBinaryData some_hash(struct hm_arena *arena, int64_t height, char what)
{
    uint8_t bytes[9], hash[LIGHT_HASH_BYTES];

    hm_put_be64(bytes, (uint64_t)height);
    bytes[8] = (uint8_t)what;
    crypto_hash(bytes, sizeof(bytes), hash);
    return bytes_of(arena, hash, sizeof(hash));
}

static Hypermesh__Abci__Timestamp *time_of(uint64_t ms, struct hm_arena *arena)
{
    Hypermesh__Abci__Timestamp *time = made(arena, sizeof(*time));

    hypermesh__abci__timestamp__init(time);
    time->seconds = (int64_t)(ms / 1000);
    time->nanos = (int32_t)(ms % 1000) * 1000000;
    return time;
}

static Hypermesh__Abci__BlockId *block_id(ProtobufCBinaryData hash, int64_t height,
                                          struct hm_arena *arena)
{
    Hypermesh__Abci__BlockId *id = made(arena, sizeof(*id));

    hypermesh__abci__block_id__init(id);
    id->hash = hash;
    id->part_set_header = made(arena, sizeof(*id->part_set_header));
    hypermesh__abci__part_set_header__init(id->part_set_header);
    id->part_set_header->total = 1;
    id->part_set_header->hash = some_hash(arena, height, 'p');
    return id;
}

static Hypermesh__Abci__SimpleValidator *validator_of(const struct crypto_ed25519_key *key,
                                                      struct hm_arena *arena)
{
    Hypermesh__Abci__SimpleValidator *validator = made(arena, sizeof(*validator));

    hypermesh__abci__simple_validator__init(validator);
    validator->pub_key = made(arena, sizeof(*validator->pub_key));
    hypermesh__abci__public_key__init(validator->pub_key);
    validator->pub_key->sum_case = HYPERMESH__ABCI__PUBLIC_KEY__SUM_ED25519;
    validator->pub_key->ed25519 = bytes_of(arena, key->public_key, sizeof(key->public_key));
    validator->voting_power = 10;
    return validator;
}

static Hypermesh__Abci__Header *header_of(const struct light_node *node, int64_t height,
                                          const struct crypto_ed25519_key *key,
                                          struct hm_arena *arena)
{
    Hypermesh__Abci__SimpleValidator *validator = validator_of(key, arena);
    Hypermesh__Abci__Header *header = made(arena, sizeof(*header));
    uint8_t hash[LIGHT_HASH_BYTES], address[LIGHT_ADDRESS_BYTES];

    assert_int_equal(light_validators_hash(&validator, 1, hash, NULL), 0);
    assert_int_equal(light_validator_address(key->public_key, address, NULL), 0);
    hypermesh__abci__header__init(header);
    header->version = made(arena, sizeof(*header->version));
    hypermesh__abci__version_consensus__init(header->version);
    header->version->block = LIGHT_BLOCK_PROTOCOL;
    header->version->app = 1;
    header->chain_id = hm_arena_strdup(arena, LIGHT_NODE_CHAIN);
    header->height = height;
    header->time = time_of(node->time_ms + (uint64_t)height * 1000, arena);
    if (height > 1)
        header->last_block_id = block_id(some_hash(arena, height, 'b'), height - 1, arena);
    header->last_commit_hash = some_hash(arena, height, 'c');
    header->data_hash = some_hash(arena, height, 'd');
    header->validators_hash = bytes_of(arena, hash, sizeof(hash));
    header->next_validators_hash = bytes_of(arena, hash, sizeof(hash));
    header->consensus_hash = some_hash(arena, 0, 'o');
    header->app_hash = bytes_of(arena, node->root, sizeof(node->root));
    header->last_results_hash = some_hash(arena, height, 'r');
    header->evidence_hash = some_hash(arena, height, 'e');
    header->proposer_address = bytes_of(arena, address, sizeof(address));
    return header;
}

/* What an engine signs: the vote's canonical form behind its length. */
static ProtobufCBinaryData sign(const Hypermesh__Abci__Commit *commit,
                                const Hypermesh__Abci__CommitSig *entry,
                                const struct crypto_ed25519_key *key, struct hm_arena *arena)
{
    Hypermesh__Abci__CanonicalVote vote = HYPERMESH__ABCI__CANONICAL_VOTE__INIT;
    uint8_t signature[CRYPTO_ED25519_SIGNATURE_BYTES], len;
    HM_CLEANUP(hm_buf) struct hm_buf packed = {0};
    HM_CLEANUP(hm_buf) struct hm_buf whole = {0};

    vote.type = 2;
    vote.height = commit->height;
    vote.block_id = commit->block_id;
    vote.timestamp = entry->timestamp;
    vote.chain_id = (char *)(uintptr_t)LIGHT_NODE_CHAIN;
    assert_int_equal(wire_pack(&vote.base, &packed), 0);
    assert_true(packed.len < 128); /* a varint of one byte */
    len = (uint8_t)packed.len;
    assert_int_equal(hm_buf_append(&whole, &len, 1), 0);
    assert_int_equal(hm_buf_append(&whole, packed.data, packed.len), 0);
    crypto_ed25519_sign(key, whole.data, whole.len, signature);
    return bytes_of(arena, signature, sizeof(signature));
}

Hypermesh__Abci__LightBlock *light_node_block(const struct light_node *node, int64_t height,
                                              bool forged, struct hm_arena *arena)
{
    const struct crypto_ed25519_key *key = forged ? &node->false_key : &node->key;
    Hypermesh__Abci__LightBlock *block = made(arena, sizeof(*block));
    Hypermesh__Abci__SignedHeader *both = made(arena, sizeof(*both));
    Hypermesh__Abci__Commit *commit = made(arena, sizeof(*commit));
    Hypermesh__Abci__CommitSig *entry = made(arena, sizeof(*entry));
    uint8_t hash[LIGHT_HASH_BYTES], address[LIGHT_ADDRESS_BYTES];

    hypermesh__abci__light_block__init(block);
    hypermesh__abci__signed_header__init(both);
    hypermesh__abci__commit__init(commit);
    hypermesh__abci__commit_sig__init(entry);
    both->header = header_of(node, height, key, arena);
    both->commit = commit;
    assert_int_equal(light_header_hash(both->header, hash, NULL), 0);
    assert_int_equal(light_validator_address(key->public_key, address, NULL), 0);
    commit->height = height;
    commit->block_id = block_id(bytes_of(arena, hash, sizeof(hash)), height, arena);
    commit->signatures = made(arena, sizeof(*commit->signatures));
    commit->signatures[0] = entry;
    commit->n_signatures = 1;
    entry->flag = HYPERMESH__ABCI__BLOCK_ID_FLAG__FLAG_COMMIT;
    entry->validator_address = bytes_of(arena, address, sizeof(address));
    entry->timestamp = time_of(node->time_ms + (uint64_t)height * 1000 + 1, arena);
    entry->signature = sign(commit, entry, key, arena);
    block->signed_header = both;
    block->validators = made(arena, sizeof(*block->validators));
    block->validators[0] = validator_of(key, arena);
    block->n_validators = 1;
    return block;
}

void light_node_anchor(const struct light_node *node, int64_t height, struct light_anchor *out)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;

    hm_arena_init(&arena, 0);
    out->height = height;
    assert_int_equal(
        light_header_hash(light_node_block(node, height, false, &arena)->signed_header->header,
                          out->hash, NULL),
        0);
}

/* --- answers ------------------------------------------------------------------------------------------ */

static void append_base64(struct hm_buf *out, const char *name, const struct hm_buf *bytes)
{
    assert_int_equal(hm_buf_printf(out, "\"%s\":\"", name), 0);
    assert_int_equal(hm_base64_encode(bytes->data, bytes->len, out), 0);
    assert_int_equal(hm_buf_append_str(out, "\","), 0);
}

static void answer_state(struct light_node *node, const char *key, struct hm_buf *out)
{
    static const char known[] = "6b636f6c6f7572"; /* "kcolour" */
    bool there = strncmp(key, known, strlen(known)) == 0, params = strcmp(key, "50") == 0;
    enum light_lie lie = (enum light_lie)atomic_load(&node->lie);
    char root[2 * CRYPTO_HASH_BYTES + 1];
    struct hm_buf changed = {0};

    hm_hex_encode(lie == LIGHT_LIE_ROOT ? node->false_root : node->root, CRYPTO_HASH_BYTES, root);
    assert_int_equal(hm_buf_append(&changed, node->proof.data, node->proof.len), 0);
    changed.data[changed.len - 1] ^= 1;
    assert_int_equal(hm_buf_append_str(out, "{"), 0);
    if (params) {
        append_base64(out, "value", &node->params);
    } else if (!there || lie == LIGHT_LIE_ABSENT) {
        assert_int_equal(hm_buf_append_str(out, "\"value\":null,"), 0);
    } else {
        struct hm_buf other = {.data = (uint8_t *)(uintptr_t) "red", .len = 3};

        append_base64(out, "value",
                      lie == LIGHT_LIE_VALUE || lie == LIGHT_LIE_ROOT ? &other : &node->value);
    }
    append_base64(out, "proof",
                  params                   ? &node->params_proof
                  : !there                 ? &node->absence
                  : lie == LIGHT_LIE_ROOT  ? &node->false_proof
                  : lie == LIGHT_LIE_PROOF ? &changed
                                           : &node->proof);
    assert_int_equal(hm_buf_printf(out, "\"root\":\"%s\",\"height\":%d}", root, STATE_HEIGHT), 0);
    hm_buf_release(&changed);
}

static bool answer_block(struct light_node *node, const char *name, struct hm_buf *out)
{
    enum light_lie lie = (enum light_lie)atomic_load(&node->lie);
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    int64_t height = strtoll(name, NULL, 10);

    if (strstr(name, "wait_ms="))
        atomic_fetch_add(&node->asked_to_wait, 1);
    if (strncmp(name, "latest", 6) == 0)
        height = LIGHT_NODE_TOP;
    if (height > LIGHT_NODE_TOP)
        return false;
    if (lie == LIGHT_LIE_HEIGHT)
        height++;
    hm_arena_init(&arena, 0);
    return wire_pack(
               &light_node_block(node, height, lie == LIGHT_LIE_VALIDATORS && height > 5, &arena)
                    ->base,
               out) == 0;
}

static void answer(struct light_node *node, int fd, const char *target)
{
    enum light_lie lie = (enum light_lie)atomic_load(&node->lie);
    HM_CLEANUP(hm_buf) struct hm_buf body = {0};
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};
    unsigned status = 200;

    if (lie == LIGHT_SLOW)
        (void)usleep(LIGHT_NODE_SLOW_MS * 1000);
    if (lie == LIGHT_AWAY || (lie == LIGHT_STARTS && atomic_fetch_sub(&node->starting, 1) > 0)) {
        status = 503;
        (void)hm_buf_append_str(&body, "{\"code\":\"HM_EBUSY\",\"detail\":\"it is starting\"}");
    } else if (lie == LIGHT_TOO_MANY) {
        status = 429;
        (void)hm_buf_append_str(&body, "{\"code\":\"HM_ELIMIT\",\"detail\":\"too many\"}");
    } else if (lie == LIGHT_LIE_NOISE) {
        (void)hm_buf_append_str(&body, "\x0a\xff noise");
    } else if (lie == LIGHT_LIE_LONG) {
        assert_int_equal(hm_buf_reserve(&body, LONG_BYTES), 0);
        memset(body.data, ' ', LONG_BYTES);
        body.len = LONG_BYTES;
    } else if (strncmp(target, "/state/", 7) == 0) {
        answer_state(node, target + 7, &body);
    } else if (strncmp(target, "/light/", 7) != 0 || !answer_block(node, target + 7, &body)) {
        status = 404;
        (void)hm_buf_append_str(&body, "{\"code\":\"HM_ENOTFOUND\",\"detail\":\"no such block\"}");
    }
    assert_int_equal(hm_buf_printf(&out,
                                   "HTTP/1.1 %u X\r\nContent-Length: %zu\r\nConnection: "
                                   "close\r\n\r\n",
                                   status, body.len),
                     0);
    assert_int_equal(hm_buf_append(&out, body.data, body.len), 0);
    (void)hm_write_all(fd, out.data, out.len, NULL);
}

static void serve(struct light_node *node, int fd)
{
    char request[REQUEST_BYTES + 1];
    size_t len = 0;
    ssize_t got;

    while (len < REQUEST_BYTES && (got = read(fd, request + len, REQUEST_BYTES - len)) > 0) {
        char *end;

        len += (size_t)got;
        request[len] = '\0';
        if (!strstr(request, "\r\n\r\n"))
            continue;
        end = strchr(request + 4, ' ');
        if (strncmp(request, "GET ", 4) == 0 && end) {
            *end = '\0';
            answer(node, fd, request + 4);
        }
        return;
    }
}

static void *node_main(void *ctx)
{
    struct light_node *node = ctx;

    while (!atomic_load(&node->stop)) {
        struct pollfd waiting = {.fd = node->fd, .events = POLLIN};
        int fd = poll(&waiting, 1, 20) > 0 ? accept(node->fd, NULL, NULL) : -1;

        if (fd >= 0) {
            serve(node, fd);
            (void)close(fd);
        }
    }
    return NULL;
}

void light_node_open(struct light_node *node)
{
    uint8_t seed[CRYPTO_SEED_BYTES] = "validator of a test";
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    Hypermesh__KvEntry entry = HYPERMESH__KV_ENTRY__INIT;
    Hypermesh__Params params = HYPERMESH__PARAMS__INIT;

    memset(node, 0, sizeof(*node));
    node->time_ms = hm_wall_ms(hm_clock_system()) - (uint64_t)LIGHT_NODE_TOP * 1000;
    crypto_ed25519_from_seed(&node->key, seed);
    seed[0] = 'V';
    crypto_ed25519_from_seed(&node->false_key, seed);
    entry.value = wire_bytes("green", 5);
    entry.version = 1;
    assert_int_equal(wire_pack(&entry.base, &node->value), 0);
    params.unbond_delay_ms = LIGHT_NODE_UNBOND_MS;
    assert_int_equal(wire_pack(&params.base, &node->params), 0);
    make_state(hm_buf_slice(&node->value), hm_buf_slice(&node->params), node->root, &node->proof,
               &node->absence, &node->params_proof);
    make_state(hm_slice_str("red"), hm_buf_slice(&node->params), node->false_root,
               &node->false_proof, NULL, NULL);
    (void)snprintf(node->folder, sizeof(node->folder), "/tmp/hm-light-XXXXXX");
    assert_non_null(mkdtemp(node->folder));
    (void)snprintf(node->path, sizeof(node->path), "%s/sock", node->folder);
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", node->path);
    node->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(node->fd >= 0);
    assert_int_equal(bind(node->fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(node->fd, 8), 0);
    assert_int_equal(pthread_create(&node->thread, NULL, node_main, node), 0);
}

void light_node_close(struct light_node *node)
{
    atomic_store(&node->stop, true);
    (void)pthread_join(node->thread, NULL);
    (void)close(node->fd);
    (void)hm_remove_tree(node->folder, NULL);
    hm_buf_release(&node->value);
    hm_buf_release(&node->proof);
    hm_buf_release(&node->false_proof);
    hm_buf_release(&node->absence);
    hm_buf_release(&node->params);
    hm_buf_release(&node->params_proof);
}
