/* Limits, keys and the choice of the form; where a chunk ends. */
#include "chunk/packetfs_chunk_inner.h"

#include "crypto.h"

const struct packetfs_chunk_limits packetfs_chunk_limits_default = {
    .min_bytes = 32 << 10, .average_bytes = 64 << 10, .max_bytes = 256 << 10};

static int limits_check(const struct packetfs_chunk_limits *limits, struct hm_error *error)
{
    uint32_t min = limits->min_bytes, average = limits->average_bytes, max = limits->max_bytes;

    if (min < PACKETFS_CHUNK_LEAST_BYTES)
        return hm_fail(error, HM_EINVAL, "chunks of at least %u bytes: the least is %u", min,
                       PACKETFS_CHUNK_LEAST_BYTES);
    if (average == 0 || (average & (average - 1)) != 0)
        return hm_fail(error, HM_EINVAL, "chunks of %u bytes in the mean: not a power of two",
                       average);
    if (min > average / 2)
        return hm_fail(error, HM_EINVAL,
                       "chunks of at least %u bytes: at most half the mean, %u, is possible", min,
                       average);
    if (max > PACKETFS_OBJECT_MAX_BYTES || max / 2 < average)
        return hm_fail(error, HM_EINVAL,
                       "chunks of at most %u bytes: from twice the mean, %u, to %zu is possible",
                       max, average, PACKETFS_OBJECT_MAX_BYTES);
    return 0;
}

/* Fills out from key, a counter for each 32 bytes. */
static void derive(const char *context, const uint8_t key[PACKETFS_CHUNK_KEY_BYTES], uint8_t *out,
                   size_t len)
{
    for (size_t at = 0; at < len; at += 32) {
        uint8_t block[32], count[4];

        hm_put_be32(count, (uint32_t)(at / 32));
        crypto_derive(context, key, hm_slice_of(count, sizeof(count)), block);
        memcpy(out + at, block, len - at < 32 ? len - at : 32);
        hm_wipe(block, sizeof(block));
    }
}

bool packetfs_chunk_form_runs(enum packetfs_chunker kind, enum packetfs_chunk_form form)
{
    if (form == PACKETFS_CHUNK_WIDE)
        return kind == PACKETFS_CHUNKER_KEYED && packetfs_chunk_wide_runs();
    if (form == PACKETFS_CHUNK_NARROW)
        return kind == PACKETFS_CHUNKER_KEYED && packetfs_chunk_narrow_runs();
    return form == PACKETFS_CHUNK_PLAIN;
}

/* One threshold throughout: lengths behind min are geometrically distributed, and what a cut says is one value of the
 * PRF and nothing else. */
static packetfs_chunk_scan *const keyed_forms[PACKETFS_CHUNK_FORMS] = {
    packetfs_chunk_keyed_plain, packetfs_chunk_keyed_narrow, packetfs_chunk_keyed_wide};

static int keyed_init(struct packetfs_cutter *cutter, const uint8_t key[PACKETFS_CHUNK_KEY_BYTES],
                      enum packetfs_chunk_form form, struct hm_error *error)
{
    struct packetfs_chunk_keyed *keyed = &cutter->keyed;
    uint32_t gap = cutter->limits.average_bytes - cutter->limits.min_bytes;
    uint8_t aes_key[16];

    if (form == PACKETFS_CHUNK_PLAIN) {
        keyed->plain = hm_calloc(1, sizeof(*keyed->plain));
        if (keyed->plain == NULL)
            return hm_fail(error, HM_ENOMEM, "no memory for the chunker's tables");
    }
    cutter->scan = keyed_forms[form];
    derive("hypermesh 1 packetfs chunk taps", key, keyed->taps, PACKETFS_CHUNK_TAPS_BYTES);
    derive("hypermesh 1 packetfs chunk aes", key, aes_key, sizeof(aes_key));
    packetfs_chunk_aes_expand(aes_key, &keyed->aes);
    hm_wipe(aes_key, sizeof(aes_key));
    if (keyed->plain != NULL)
        packetfs_chunk_plain_tables(keyed, keyed->plain);
    cutter->turn = cutter->limits.max_bytes;
    cutter->threshold[0] = cutter->threshold[1] = (UINT64_C(1) << 32) / gap;
    return 0;
}

/* Normalised: up to the turn cuts are four times rarer than one in average bytes, behind it four times as frequent. The
 * turn is where the mean then is average: min + 4 average ln(3.75 / (3 + min / average)), the logarithm by the first
 * term of its series in (a - b) / (a + b), so that it is the same number everywhere. */
static void gear_init(struct packetfs_cutter *cutter, const uint8_t key[PACKETFS_CHUNK_KEY_BYTES])
{
    uint64_t min = cutter->limits.min_bytes, average = cutter->limits.average_bytes;
    uint8_t bytes[sizeof(cutter->gear.table)];

    derive("hypermesh 1 packetfs chunk gear", key, bytes, sizeof(bytes));
    for (size_t i = 0; i < 256; i++)
        cutter->gear.table[i] = hm_get_be64(bytes + 8 * i);
    hm_wipe(bytes, sizeof(bytes));
    cutter->turn = (uint32_t)(min +
                              8 * average * (3 * average - 4 * min) / (27 * average + 4 * min));
    cutter->threshold[0] = UINT64_MAX / average / 4;
    cutter->threshold[1] = UINT64_MAX / average * 4;
    cutter->scan = packetfs_chunk_gear_plain;
}

int packetfs_cutter_new_form(enum packetfs_chunker kind,
                             const uint8_t key[PACKETFS_CHUNK_KEY_BYTES],
                             const struct packetfs_chunk_limits *limits,
                             enum packetfs_chunk_form most, struct packetfs_cutter **out,
                             struct hm_error *error)
{
    struct packetfs_cutter *cutter;
    enum packetfs_chunk_form form = most;
    int rc = limits_check(limits, error);

    if (rc != 0)
        return rc;
    if (kind != PACKETFS_CHUNKER_KEYED && kind != PACKETFS_CHUNKER_FAST)
        return hm_fail(error, HM_EINVAL, "chunker %d is not known", (int)kind);
    cutter = hm_calloc(1, sizeof(*cutter));
    if (cutter == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a chunker");
    cutter->kind = kind;
    cutter->limits = *limits;
    while (!packetfs_chunk_form_runs(kind, form))
        form--;
    if (kind == PACKETFS_CHUNKER_KEYED)
        rc = keyed_init(cutter, key, form, error);
    else
        gear_init(cutter, key);
    if (rc != 0) {
        packetfs_cutter_free(cutter);
        return rc;
    }
    *out = cutter;
    return 0;
}

int packetfs_cutter_new(enum packetfs_chunker kind, const uint8_t key[PACKETFS_CHUNK_KEY_BYTES],
                        const struct packetfs_chunk_limits *limits, struct packetfs_cutter **out,
                        struct hm_error *error)
{
    return packetfs_cutter_new_form(kind, key, limits, PACKETFS_CHUNK_FORMS - 1, out, error);
}

void packetfs_cutter_free(struct packetfs_cutter *cutter)
{
    if (cutter == NULL)
        return;
    if (cutter->kind == PACKETFS_CHUNKER_KEYED && cutter->keyed.plain != NULL) {
        hm_wipe(cutter->keyed.plain, sizeof(*cutter->keyed.plain));
        hm_free(cutter->keyed.plain);
    }
    hm_wipe(cutter, sizeof(*cutter));
    hm_free(cutter);
}

size_t packetfs_cutter_max(const struct packetfs_cutter *cutter)
{
    return cutter->limits.max_bytes;
}

size_t packetfs_cutter_next(const struct packetfs_cutter *cutter, const uint8_t *data, size_t len,
                            bool last)
{
    size_t max = cutter->limits.max_bytes, end = len < max ? len : max;
    size_t from = cutter->limits.min_bytes, turn = cutter->turn, found = 0;

    if (from <= end) {
        found = cutter->scan(cutter, data, from, end < turn ? end : turn, cutter->threshold[0]);
        if (found == 0 && turn < end)
            found = cutter->scan(cutter, data, turn + 1, end, cutter->threshold[1]);
    }
    if (found != 0)
        return found;
    return end == max || last ? end : 0;
}
