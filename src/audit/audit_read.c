/* From lines to "nothing is missing": the chain of headers, the roots over items and transactions,
 * and every line written again from its bytes. */
#include "audit_reader.h"

#define DEPTH_MAX 64

int audit_reader_new(const uint8_t *known, struct audit_reader **out)
{
    struct audit_reader *reader = hm_calloc(1, sizeof(*reader));

    if (!reader)
        return HM_ENOMEM;
    if (known)
        memcpy(reader->known, known, CRYPTO_HASH_BYTES);
    reader->has_known = known != NULL;
    crypto_hasher_init(&reader->written);
    hm_arena_init(&reader->arena, 8 * AUDIT_LINE_MAX_BYTES);
    hm_arena_init(&reader->batch_arena, 8 * AUDIT_LINE_MAX_BYTES);
    *out = reader;
    return 0;
}

void audit_reader_free(struct audit_reader *reader)
{
    if (!reader)
        return;
    hm_buf_release(&reader->item_hashes);
    hm_buf_release(&reader->digests);
    hm_buf_release(&reader->rendered);
    hm_arena_release(&reader->arena);
    hm_arena_release(&reader->batch_arena);
    hm_free(reader);
}

int audit_no_memory(struct hm_error *error)
{
    return hm_fail(error, HM_ENOMEM, "no memory to check a line");
}

int audit_reader_compare(struct audit_reader *reader, const json_t *line, struct hm_slice text,
                         int rc, struct hm_error *error)
{
    if (rc)
        return audit_no_memory(error);
    return audit_fields_compare(line, text, hm_buf_slice(&reader->rendered), error);
}

/* --- the first line --------------------------------------------------------------------------------- */

static int check_known(const struct audit_reader *reader, struct hm_error *error)
{
    if (reader->has_known &&
        memcmp(reader->known, reader->summary.head_hash, CRYPTO_HASH_BYTES) != 0)
        return hm_fail(error, HM_ECORRUPT,
                       "the export does not begin at the genesis or block that it must begin at");
    return 0;
}

static int read_genesis(struct audit_reader *reader, const json_t *line, struct hm_slice text,
                        struct hm_error *error)
{
    Hypermesh__Genesis *genesis = NULL;
    struct hm_slice bytes = {0};
    int rc = audit_field_bytes(line, "bytes", &reader->arena, &bytes, error);

    if (rc == 0)
        rc = WIRE_UNPACK(hypermesh__genesis, bytes, AUDIT_GENESIS_MAX_BYTES, &reader->arena,
                         &genesis, error);
    if (rc)
        return rc;
    crypto_hash(bytes.data, bytes.len, reader->summary.head_hash);
    reader->summary.from = 1;
    rc = audit_reader_compare(reader, line, text, audit_line_genesis(bytes, &reader->rendered),
                              error);
    return rc ? rc : check_known(reader, error);
}

static int read_from(struct audit_reader *reader, const json_t *line, struct hm_slice text,
                     struct hm_error *error)
{
    uint64_t height = 0;
    int rc = audit_field_u64(line, "height", &height, error);

    if (rc == 0)
        rc = audit_field_hash(line, "hash", reader->summary.head_hash, error);
    if (rc)
        return rc;
    reader->summary.from = height + 1;
    reader->summary.to = height;
    rc = audit_reader_compare(reader, line, text,
                              audit_line_from(height, reader->summary.head_hash, &reader->rendered),
                              error);
    return rc ? rc : check_known(reader, error);
}

/* --- the rest ----------------------------------------------------------------------------------------- */

static int read_ended(struct audit_reader *reader, const json_t *line, struct hm_slice text,
                      struct hm_error *error)
{
    bool lease = json_object_get(line, "lease") != NULL;
    const char *id_text = NULL;
    uint8_t id[WIRE_ID_BYTES];
    int rc;

    if (reader->in_batch || reader->items_seen < reader->items ||
        reader->ended_seen >= reader->ended)
        return hm_fail(error, HM_ECORRUPT,
                       "the end of a thing stands where the block has none or has batches to come");
    rc = audit_field_text(line, lease ? "lease" : "challenge", &id_text, error);
    if (rc == 0)
        rc = lease ? wire_lease_parse(id_text, id, error)
                   : wire_challenge_parse(id_text, id, error);
    if (rc)
        return rc == HM_ENOMEM ? rc : HM_ECORRUPT;
    rc = audit_reader_compare(reader, line, text,
                              audit_line_ended(reader->summary.to,
                                               lease ? AUDIT_ENDED_LEASE : AUDIT_ENDED_CHALLENGE,
                                               hm_slice_of(id, sizeof(id)), &reader->rendered),
                              error);
    if (rc == 0)
        reader->ended_seen++;
    return rc;
}

static int read_end(struct audit_reader *reader, const json_t *line, struct hm_slice text,
                    struct hm_error *error)
{
    uint8_t lines_hash[CRYPTO_HASH_BYTES];
    int rc = audit_read_complete(reader, error);

    if (rc)
        return rc;
    crypto_hasher_final(&reader->written, lines_hash);
    rc = audit_reader_compare(
        reader, line, text, audit_line_end(&reader->summary, lines_hash, &reader->rendered), error);
    if (rc == 0)
        reader->place = PLACE_END;
    return rc;
}

static int read_any(struct audit_reader *reader, const json_t *line, struct hm_slice text,
                    struct hm_error *error)
{
    static const struct {
        const char *type;
        enum place place;
        int (*read)(struct audit_reader *, const json_t *, struct hm_slice, struct hm_error *);
    } kinds[] = {
        {"genesis", PLACE_FIRST, read_genesis},    {"from", PLACE_FIRST, read_from},
        {"block", PLACE_BLOCKS, audit_read_block}, {"batch", PLACE_BLOCKS, audit_read_batch},
        {"tx", PLACE_BLOCKS, audit_read_tx},       {"ended", PLACE_BLOCKS, read_ended},
        {"end", PLACE_BLOCKS, read_end},
    };
    const char *type = NULL;
    int rc = audit_field_text(line, "type", &type, error);

    for (size_t i = 0; rc == 0 && i < HM_COUNT_OF(kinds); i++) {
        if (strcmp(kinds[i].type, type) != 0)
            continue;
        if (reader->place == PLACE_END)
            return hm_fail(error, HM_ECORRUPT, "there is a line after the export's end");
        if (kinds[i].place != reader->place)
            return hm_fail(error, HM_ECORRUPT, "a line of type %s can't stand here", type);
        rc = kinds[i].read(reader, line, text, error);
        if (rc == 0 && reader->place == PLACE_FIRST)
            reader->place = PLACE_BLOCKS;
        return rc;
    }
    return rc ? rc : hm_fail(error, HM_ECORRUPT, "there is no type of line called '%.20s'", type);
}

int audit_reader_line(struct audit_reader *reader, struct hm_slice line, struct hm_error *error)
{
    HM_CLEANUP(json) json_t *value = NULL;
    int rc = 0;

    if (reader->failed)
        return hm_fail(error, HM_ECORRUPT, "a line before was refused");
    reader->lines++;
    hm_arena_clear(&reader->arena);
    hm_buf_clear(&reader->rendered);
    if (line.len > AUDIT_LINE_MAX_BYTES)
        rc = hm_fail(error, HM_ELIMIT, "longer than %zu bytes", AUDIT_LINE_MAX_BYTES);
    if (rc == 0)
        rc = json_read(line, DEPTH_MAX, "it", &value, error);
    if (rc == 0)
        rc = read_any(reader, value, line, error);
    if (rc) {
        reader->failed = true;
        return hm_error_prefix(error, rc, "line %llu", (unsigned long long)reader->lines);
    }
    crypto_hasher_update(&reader->written, line.data, line.len);
    crypto_hasher_update(&reader->written, "\n", 1);
    return 0;
}

int audit_reader_end(const struct audit_reader *reader, struct audit_summary *out,
                     struct hm_error *error)
{
    if (reader->failed)
        return hm_fail(error, HM_ECORRUPT, "line %llu was refused",
                       (unsigned long long)reader->lines);
    if (reader->place != PLACE_END)
        return hm_fail(error, HM_ECORRUPT,
                       "line %llu: the export is cut short here: its end line is missing",
                       (unsigned long long)reader->lines);
    *out = reader->summary;
    return 0;
}
