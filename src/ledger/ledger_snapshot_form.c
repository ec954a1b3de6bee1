#include "ledger_snapshot_form.h"

#define MAGIC             "HMSNAP 1"
#define MAGIC_BYTES       8
#define MAGIC_NAME_BYTES  7 /* without the format's number */
#define META_FIXED_BYTES  (MAGIC_BYTES + 8 + 2 * CRYPTO_HASH_BYTES)
#define PART_BYTES        (1 + CRYPTO_HASH_BYTES)
#define ENTRY_FIXED_BYTES (2 + 4)
#define HASHED_AT_ONCE    ((size_t)32)

_Static_assert(sizeof(struct store_tree_part) == PART_BYTES, "parts are borrowed from the bytes");

static int malformed(struct hm_error *error, const char *what)
{
    return hm_fail(error, HM_EPARSE, "snapshot: %s", what);
}

static int cut_short(struct hm_error *error)
{
    return malformed(error, "it is cut short");
}

/* Bytes being read from the front. */
static bool take(struct hm_slice *from, size_t len, struct hm_slice *out)
{
    if (from->len < len)
        return false;
    *out = hm_slice_of(from->data, len);
    from->data += len;
    from->len -= len;
    return true;
}

static bool take_number(struct hm_slice *from, size_t bytes, uint64_t *out)
{
    struct hm_slice field;

    if (!take(from, bytes, &field))
        return false;
    *out = 0;
    for (size_t i = 0; i < bytes; i++)
        *out = *out << 8 | field.data[i];
    return true;
}

static bool take_sized(struct hm_slice *from, size_t limit, struct hm_slice *out)
{
    uint64_t len;

    return take_number(from, 4, &len) && len <= limit && take(from, (size_t)len, out);
}

static int put_number(struct hm_buf *out, size_t bytes, uint64_t number)
{
    uint8_t field[8];

    hm_put_be64(field, number);
    return hm_buf_append(out, field + 8 - bytes, bytes);
}

static int put_sized(struct hm_buf *out, struct hm_slice bytes)
{
    int rc = put_number(out, 4, bytes.len);

    return rc ? rc : hm_buf_append(out, bytes.data, bytes.len);
}

/* --- metadata --- */

static int magic_check(struct hm_slice bytes, struct hm_error *error)
{
    if (bytes.len < META_FIXED_BYTES)
        return cut_short(error);
    if (memcmp(bytes.data, MAGIC, MAGIC_BYTES) == 0)
        return 0;
    if (memcmp(bytes.data, MAGIC, MAGIC_NAME_BYTES) == 0)
        return hm_fail(error, HM_EUNSUPPORTED,
                       "snapshot: it has another format than 1, which is what this version takes");
    return malformed(error, "these bytes are no snapshot's metadata");
}

int ledger_snapshot_meta_parse(struct hm_slice bytes, struct ledger_snapshot_meta *out,
                               struct hm_error *error)
{
    struct ledger_snapshot_meta meta;
    const uint8_t *fixed;
    uint64_t parts;
    int rc;

    if (bytes.len > LEDGER_SNAPSHOT_METADATA_MAX_BYTES)
        return hm_fail(error, HM_ELIMIT, "snapshot: metadata of %zu bytes, at most %zu are allowed",
                       bytes.len, LEDGER_SNAPSHOT_METADATA_MAX_BYTES);
    rc = magic_check(bytes, error);
    if (rc)
        return rc;
    fixed = bytes.data + MAGIC_BYTES;
    meta.height = hm_get_be64(fixed);
    memcpy(meta.state_root, fixed + 8, CRYPTO_HASH_BYTES);
    memcpy(meta.genesis_hash, fixed + 8 + CRYPTO_HASH_BYTES, CRYPTO_HASH_BYTES);
    bytes = hm_slice_of(bytes.data + META_FIXED_BYTES, bytes.len - META_FIXED_BYTES);
    if (meta.height == 0 || meta.height > UINT64_MAX / 4)
        return malformed(error, "its height is out of range");
    if (!take_sized(&bytes, LEDGER_SNAPSHOT_FACTS_MAX_BYTES, &meta.facts) ||
        !take_sized(&bytes, STORE_TREE_PROOF_MAX_BYTES, &meta.facts_proof) ||
        !take_sized(&bytes, LEDGER_SNAPSHOT_FACTS_MAX_BYTES, &meta.params) ||
        !take_sized(&bytes, STORE_TREE_PROOF_MAX_BYTES, &meta.params_proof) ||
        !take_sized(&bytes, LEDGER_HEADER_MAX_BYTES, &meta.header))
        return malformed(error, "it is cut short, or a part of it is too long");
    if (!take_number(&bytes, 4, &parts) || parts == 0 || parts > LEDGER_SNAPSHOT_PARTS_MAX)
        return malformed(error, "its state has no parts, or more than there can be");
    if (bytes.len != parts * PART_BYTES)
        return malformed(error, "it has not one root for each part of the state");
    meta.parts = (const struct store_tree_part *)bytes.data;
    meta.part_count = (uint32_t)parts;
    *out = meta;
    return 0;
}

int ledger_snapshot_meta_write(const struct ledger_snapshot_meta *meta, struct hm_buf *out)
{
    size_t parts = meta->part_count * sizeof *meta->parts;
    int rc = hm_buf_reserve(out, META_FIXED_BYTES + 24 + meta->facts.len + meta->facts_proof.len +
                                     meta->params.len + meta->params_proof.len + meta->header.len +
                                     parts);

    if (rc)
        return rc;
    (void)hm_buf_append(out, MAGIC, MAGIC_BYTES);
    (void)put_number(out, 8, meta->height);
    (void)hm_buf_append(out, meta->state_root, CRYPTO_HASH_BYTES);
    (void)hm_buf_append(out, meta->genesis_hash, CRYPTO_HASH_BYTES);
    (void)put_sized(out, meta->facts);
    (void)put_sized(out, meta->facts_proof);
    (void)put_sized(out, meta->params);
    (void)put_sized(out, meta->params_proof);
    (void)put_sized(out, meta->header);
    (void)put_number(out, 4, meta->part_count);
    return hm_buf_append(out, meta->parts, parts);
}

static int refused(struct hm_error *error, const char *what)
{
    return hm_fail(error, HM_EAUTH, "snapshot refused: %s", what);
}

/* Whatever was wrong with a part of it, it is the snapshot that is not to be believed. */
static int refused_for(int rc, const char *what, struct hm_error *error)
{
    if (rc == 0 || rc == HM_ENOMEM)
        return rc;
    return hm_error_prefix(error, HM_EAUTH, "snapshot refused: %s", what);
}

/* A value of the state, shown by its proof. */
static int value_check(const struct ledger_snapshot_meta *meta, uint8_t key, struct hm_slice value,
                       struct hm_slice shown, const ProtobufCMessageDescriptor *descriptor,
                       struct hm_arena *arena, ProtobufCMessage **out, struct hm_error *error)
{
    HM_CLEANUP(store_tree_proof) struct store_tree_proof proof = {0};
    int rc = store_tree_proof_decode(shown, &proof, error);

    if (rc == 0)
        rc = store_tree_verify(meta->state_root, hm_slice_of(&key, 1), value, &proof, error);
    if (rc == 0)
        rc = wire_unpack(descriptor, value, LEDGER_SNAPSHOT_FACTS_MAX_BYTES, arena, out, error);
    return refused_for(rc, descriptor->short_name, error);
}

int ledger_snapshot_headers(const Hypermesh__Params *params, uint64_t height, uint64_t *headers,
                            uint32_t *chunks, struct hm_error *error)
{
    uint64_t anchors = params->anchor_max_blocks;
    uint64_t count = (anchors < height ? anchors : height) - 1;
    uint64_t parts = count / LEDGER_SNAPSHOT_HEADERS_PER_CHUNK +
                     (count % LEDGER_SNAPSHOT_HEADERS_PER_CHUNK != 0);

    if (anchors == 0 || height == 0 || parts > LEDGER_SNAPSHOT_HEADER_CHUNKS_MAX)
        return hm_fail(error, HM_ELIMIT,
                       "snapshot: the chain's anchors need more headers than one can have");
    *headers = count;
    *chunks = (uint32_t)parts;
    return 0;
}

int ledger_snapshot_meta_check(const struct ledger_snapshot_meta *meta, uint64_t *starts,
                               struct hm_arena *arena, struct ledger_snapshot_facts *out,
                               struct hm_error *error)
{
    struct ledger_snapshot_facts facts;
    uint8_t root[CRYPTO_HASH_BYTES];
    ProtobufCMessage *params;
    ProtobufCMessage *chain;
    int rc = store_tree_part_join(meta->parts, meta->part_count, starts, root, error);

    if (rc)
        return refused_for(rc, "its parts", error);
    if (memcmp(root, meta->state_root, sizeof root) != 0)
        return refused(error, "the roots of its parts do not give its state root");
    rc = value_check(meta, LEDGER_KEY_CHAIN, meta->facts, meta->facts_proof,
                     &hypermesh__chain_facts__descriptor, arena, &chain, error);
    if (rc == 0)
        rc = value_check(meta, LEDGER_KEY_PARAMS, meta->params, meta->params_proof,
                         &hypermesh__params__descriptor, arena, &params, error);
    if (rc)
        return rc;
    facts.chain = (Hypermesh__ChainFacts *)chain;
    if (facts.chain->hash.len != CRYPTO_HASH_BYTES || facts.chain->height != meta->height)
        return refused(error, "the state's facts are of another block");
    rc = ledger_snapshot_headers((const Hypermesh__Params *)params, meta->height, &facts.headers,
                                 &facts.header_chunks, error);
    if (rc == 0)
        rc = ledger_snapshot_header_check(meta->header, facts.chain->hash.data, meta->height, NULL,
                                          arena, &facts.header, error);
    if (rc)
        return rc;
    if (facts.header->time_ms != facts.chain->time_ms)
        return refused(error, "its header has another time than the state says");
    *out = facts;
    return 0;
}

/* --- state --- */

void ledger_snapshot_entries_release(struct ledger_snapshot_entries *entries)
{
    if (!entries)
        return;
    hm_free(entries->list);
    hm_free(entries->leaves);
    *entries = (struct ledger_snapshot_entries){0};
}

int ledger_snapshot_entry_write(const struct ledger_snapshot_entry *entry, struct hm_buf *out)
{
    int rc = hm_buf_reserve(out, ENTRY_FIXED_BYTES + entry->key.len + entry->value.len);

    if (rc)
        return rc;
    (void)put_number(out, 2, entry->key.len);
    (void)put_number(out, 4, entry->value.len);
    (void)hm_buf_append(out, entry->key.data, entry->key.len);
    return hm_buf_append(out, entry->value.data, entry->value.len);
}

static int entry_next(struct hm_slice *chunk, struct ledger_snapshot_entry *out,
                      struct hm_error *error)
{
    uint64_t key_len;
    uint64_t value_len;

    if (!take_number(chunk, 2, &key_len) || !take_number(chunk, 4, &value_len))
        return cut_short(error);
    if (key_len == 0 || key_len > STORE_KEY_MAX_BYTES)
        return malformed(error, "a key has no bytes, or more than a key may have");
    if (!take(chunk, (size_t)key_len, &out->key) || !take(chunk, (size_t)value_len, &out->value))
        return cut_short(error);
    return 0;
}

static int entries_count(struct hm_slice chunk, size_t *out, struct hm_error *error)
{
    size_t count = 0;

    while (chunk.len > 0) {
        struct ledger_snapshot_entry entry;
        int rc = entry_next(&chunk, &entry, error);

        if (rc)
            return rc;
        if (++count > LEDGER_SNAPSHOT_ENTRIES_MAX)
            return hm_fail(error, HM_ELIMIT, "snapshot: a chunk has more than %zu entries",
                           LEDGER_SNAPSHOT_ENTRIES_MAX);
    }
    *out = count;
    return 0;
}

static void entries_hash(struct ledger_snapshot_entries *entries)
{
    uint8_t hashes[2 * HASHED_AT_ONCE][CRYPTO_HASH_BYTES];
    struct hm_slice bytes[2 * HASHED_AT_ONCE];

    for (size_t i = 0; i < entries->count; i += HASHED_AT_ONCE) {
        size_t count = entries->count - i < HASHED_AT_ONCE ? entries->count - i : HASHED_AT_ONCE;

        for (size_t j = 0; j < count; j++) {
            bytes[2 * j] = entries->list[i + j].key;
            bytes[2 * j + 1] = entries->list[i + j].value;
        }
        crypto_hash_each(bytes, 2 * count, hashes[0]);
        memcpy(entries->leaves + i, hashes, count * sizeof *entries->leaves);
    }
}

int ledger_snapshot_entries_parse(struct hm_slice chunk, struct ledger_snapshot_entries *out,
                                  struct hm_error *error)
{
    HM_CLEANUP(ledger_snapshot_entries) struct ledger_snapshot_entries entries = {0};
    size_t count = 0;
    int rc;

    if (chunk.len > LEDGER_SNAPSHOT_CHUNK_MAX_BYTES)
        return hm_fail(error, HM_ELIMIT, "snapshot: a chunk of %zu bytes, at most %zu are allowed",
                       chunk.len, LEDGER_SNAPSHOT_CHUNK_MAX_BYTES);
    rc = entries_count(chunk, &count, error);
    if (rc)
        return rc;
    entries.list = hm_calloc(count + 1, sizeof *entries.list);
    entries.leaves = hm_calloc(count + 1, sizeof *entries.leaves);
    if (!entries.list || !entries.leaves)
        return hm_fail(error, HM_ENOMEM, "no memory for a snapshot's chunk");
    while (entries.count < count)
        (void)entry_next(&chunk, &entries.list[entries.count++], NULL);
    entries_hash(&entries);
    for (size_t i = 1; i < count; i++) {
        if (memcmp(entries.leaves[i - 1].key_hash, entries.leaves[i].key_hash, CRYPTO_HASH_BYTES) >=
            0)
            return malformed(error, "a chunk's entries are not in the order of their key's hash");
    }
    *out = entries;
    entries = (struct ledger_snapshot_entries){0};
    return 0;
}

/* --- headers --- */

int ledger_snapshot_header_write(struct hm_slice header, struct hm_buf *out)
{
    int rc = hm_buf_reserve(out, 4 + header.len);

    return rc ? rc : put_sized(out, header);
}

int ledger_snapshot_header_next(struct hm_slice *chunk, struct hm_slice *header,
                                struct hm_error *error)
{
    if (chunk->len > LEDGER_SNAPSHOT_CHUNK_MAX_BYTES)
        return hm_fail(error, HM_ELIMIT, "snapshot: a chunk of %zu bytes, at most %zu are allowed",
                       chunk->len, LEDGER_SNAPSHOT_CHUNK_MAX_BYTES);
    if (chunk->len == 0)
        return HM_ENOTFOUND;
    if (!take_sized(chunk, LEDGER_HEADER_MAX_BYTES, header))
        return malformed(error, "a header is cut short, or too long");
    return 0;
}

int ledger_snapshot_header_check(struct hm_slice bytes, const uint8_t hash[CRYPTO_HASH_BYTES],
                                 uint64_t height, const char *chain_id, struct hm_arena *arena,
                                 Hypermesh__BlockHeader **out, struct hm_error *error)
{
    uint8_t digest[CRYPTO_HASH_BYTES];
    Hypermesh__BlockHeader *header;
    int rc;

    proof_block_hash(bytes, digest);
    if (memcmp(digest, hash, sizeof digest) != 0)
        return hm_fail(error, HM_EAUTH, "snapshot refused: its header %llu is not that block's",
                       (unsigned long long)height);
    rc = WIRE_UNPACK(hypermesh__block_header, bytes, LEDGER_HEADER_MAX_BYTES, arena, &header,
                     error);
    if (rc)
        return refused_for(rc, "a header", error);
    if (header->height != height || header->previous_hash.len != CRYPTO_HASH_BYTES ||
        (chain_id && strcmp(header->chain_id, chain_id) != 0))
        return hm_fail(error, HM_EAUTH,
                       "snapshot refused: its header %llu says another height or another chain",
                       (unsigned long long)height);
    *out = header;
    return 0;
}
