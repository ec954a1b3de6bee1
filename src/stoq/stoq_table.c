/* Hash table of connection ids: linear probing, keyed hash, deletion that closes the gap. */
#include "stoq_table.h"

#define CAPACITY_MIN 64 /* a power of two */
#define CID_MAX      20

struct stoq_slot {
    void *value;
    uint8_t len; /* 0: free */
    uint8_t cid[CID_MAX];
};

static uint64_t load_le64(const uint8_t *in)
{
    uint64_t value;

    memcpy(&value, in, sizeof(value));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    value = __builtin_bswap64(value);
#endif
    return value;
}

static uint64_t rotate(uint64_t value, unsigned by)
{
    return value << by | value >> (64 - by);
}

struct sip {
    uint64_t a, b, c, d;
};

static void sip_round(struct sip *s)
{
    s->a += s->b;
    s->c += s->d;
    s->b = rotate(s->b, 13) ^ s->a;
    s->d = rotate(s->d, 16) ^ s->c;
    s->a = rotate(s->a, 32);
    s->c += s->b;
    s->a += s->d;
    s->b = rotate(s->b, 17) ^ s->c;
    s->d = rotate(s->d, 21) ^ s->a;
    s->c = rotate(s->c, 32);
}

static void sip_word(struct sip *s, uint64_t word)
{
    s->d ^= word;
    sip_round(s);
    s->a ^= word;
}

/* SipHash-1-3 (Aumasson and Bernstein, 2012) of at most CID_MAX bytes. */
static uint64_t cid_hash(const uint8_t key[16], const uint8_t *cid, size_t len)
{
    uint64_t k0 = load_le64(key), k1 = load_le64(key + 8);
    struct sip s = {.a = k0 ^ 0x736f6d6570736575ULL,
                    .b = k1 ^ 0x646f72616e646f6dULL,
                    .c = k0 ^ 0x6c7967656e657261ULL,
                    .d = k1 ^ 0x7465646279746573ULL};
    uint8_t tail[8] = {0};
    size_t whole = len & ~(size_t)7;

    for (size_t i = 0; i < whole; i += 8)
        sip_word(&s, load_le64(cid + i));
    memcpy(tail, cid + whole, len - whole);
    tail[7] = (uint8_t)len;
    sip_word(&s, load_le64(tail));
    s.c ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(&s);
    return s.a ^ s.b ^ s.c ^ s.d;
}

static size_t home(const struct stoq_table *table, const uint8_t *cid, size_t len)
{
    return (size_t)cid_hash(table->key, cid, len) & (table->capacity - 1);
}

/* The slot that holds the id, or the free one where it belongs. There is always a free slot. */
static size_t find(const struct stoq_table *table, const uint8_t *cid, size_t len)
{
    size_t at = home(table, cid, len);

    while (table->slots[at].len != 0 &&
           (table->slots[at].len != len || memcmp(table->slots[at].cid, cid, len) != 0))
        at = (at + 1) & (table->capacity - 1);
    return at;
}

int stoq_table_init(struct stoq_table *table, const uint8_t key[16])
{
    struct stoq_slot *slots = hm_calloc(CAPACITY_MIN, sizeof(*slots));

    if (slots == NULL)
        return STOQ_ENOMEM;
    *table = (struct stoq_table){.slots = slots, .capacity = CAPACITY_MIN};
    memcpy(table->key, key, sizeof(table->key));
    return 0;
}

void stoq_table_release(struct stoq_table *table)
{
    hm_free(table->slots);
    hm_wipe(table, sizeof(*table));
}

static int resize(struct stoq_table *table, size_t capacity)
{
    struct stoq_slot *old = table->slots;
    size_t old_capacity = table->capacity;
    struct stoq_slot *slots = hm_calloc(capacity, sizeof(*slots));

    if (slots == NULL)
        return STOQ_ENOMEM;
    table->slots = slots;
    table->capacity = capacity;
    for (size_t i = 0; i < old_capacity; i++) {
        if (old[i].len != 0)
            slots[find(table, old[i].cid, old[i].len)] = old[i];
    }
    hm_free(old);
    return 0;
}

int stoq_table_put(struct stoq_table *table, const uint8_t *cid, size_t len, void *value)
{
    if (len == 0 || len > CID_MAX)
        return STOQ_EINVAL;
    size_t at = find(table, cid, len);
    if (table->slots[at].len != 0) {
        table->slots[at].value = value;
        return 0;
    }
    if (table->used + 1 > table->capacity / 4 * 3) {
        if (resize(table, table->capacity * 2) != 0)
            return STOQ_ENOMEM;
        at = find(table, cid, len);
    }
    table->slots[at].value = value;
    table->slots[at].len = (uint8_t)len;
    memcpy(table->slots[at].cid, cid, len);
    table->used++;
    return 0;
}

void *stoq_table_get(const struct stoq_table *table, const uint8_t *cid, size_t len)
{
    if (len == 0 || len > CID_MAX)
        return NULL;
    const struct stoq_slot *slot = &table->slots[find(table, cid, len)];
    return slot->len != 0 ? slot->value : NULL;
}

void stoq_table_remove(struct stoq_table *table, const uint8_t *cid, size_t len)
{
    size_t mask = table->capacity - 1;

    if (len == 0 || len > CID_MAX)
        return;
    size_t gap = find(table, cid, len);
    if (table->slots[gap].len == 0)
        return;
    /* Whatever follows without a gap moves up if the gap lies between its home and its place. */
    for (size_t at = (gap + 1) & mask; table->slots[at].len != 0; at = (at + 1) & mask) {
        size_t wanted = home(table, table->slots[at].cid, table->slots[at].len);

        if (((at - wanted) & mask) >= ((at - gap) & mask)) {
            table->slots[gap] = table->slots[at];
            gap = at;
        }
    }
    table->slots[gap] = (struct stoq_slot){0};
    table->used--;
    if (table->capacity > CAPACITY_MIN && table->used < table->capacity / 8)
        (void)resize(table, table->capacity / 2); /* without memory it stays large */
}
