#include "care/packetfs_mark.h"

#define LINE_WORDS 8u
#define LINE_BITS  512u
#define PROBES     8

int packetfs_bloom_init(struct packetfs_bloom *bloom, uint64_t objects, unsigned bits_each)
{
    uint64_t bits = 0;
    size_t lines;

    if (!hm_mul_u64(objects, bits_each, &bits) || bits / LINE_BITS >= UINT32_MAX)
        return HM_ENOMEM;
    lines = (size_t)(bits / LINE_BITS) + 1;
    bloom->lines = hm_calloc(lines, LINE_WORDS * sizeof(uint64_t));
    bloom->line_count = bloom->lines ? lines : 0;
    return bloom->lines ? 0 : HM_ENOMEM;
}

void packetfs_bloom_release(struct packetfs_bloom *bloom)
{
    hm_free(bloom->lines);
    memset(bloom, 0, sizeof(*bloom));
}

static uint64_t *line_of(const struct packetfs_bloom *bloom, const struct packetfs_id *id)
{
    size_t line = (size_t)(((uint64_t)hm_get_be32(id->bytes) * bloom->line_count) >> 32);

    return bloom->lines + line * LINE_WORDS;
}

/* Nine bits of the id a probe, of those that do not choose the line. */
static unsigned probe(const struct packetfs_id *id, unsigned i)
{
    return (unsigned)(hm_get_be64(id->bytes + 8 + 8 * (i / 4)) >> (9 * (i % 4))) % LINE_BITS;
}

bool packetfs_bloom_add(struct packetfs_bloom *bloom, const struct packetfs_id *id)
{
    uint64_t *line = line_of(bloom, id);
    bool there = true;

    for (unsigned i = 0; i < PROBES; i++) {
        unsigned bit = probe(id, i);
        uint64_t mask = UINT64_C(1) << (bit % 64);

        there = there && (line[bit / 64] & mask) != 0;
        line[bit / 64] |= mask;
    }
    return there;
}

bool packetfs_bloom_has(const struct packetfs_bloom *bloom, const struct packetfs_id *id)
{
    const uint64_t *line = line_of(bloom, id);

    for (unsigned i = 0; i < PROBES; i++) {
        unsigned bit = probe(id, i);

        if (!(line[bit / 64] & UINT64_C(1) << (bit % 64)))
            return false;
    }
    return true;
}
