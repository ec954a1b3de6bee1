/* A second ledger, as naive as it can be written: plain arrays, the whole state copied to undo a
 * transaction. It knows nothing of keys, proofs, tables or trees; it says what each operation should do. */
#ifndef LEDGER_MODEL_H
#define LEDGER_MODEL_H

#include "ledger_fixture.h"

#define MODEL_PEOPLE        5 /* the fixture's first */
#define MODEL_DEVICES       3 /* a person's; an asset's number is person * MODEL_DEVICES + device */
#define MODEL_ASSETS        (MODEL_PEOPLE * MODEL_DEVICES)
#define MODEL_LEASES_MAX    2000
#define MODEL_ITEMS_MAX     3
#define MODEL_UNBONDING_MAX 16

struct model_person {
    uint64_t hyper;
    uint64_t caes;
    uint64_t bonded;
    uint64_t unbonding[MODEL_UNBONDING_MAX];
    uint64_t free_ms[MODEL_UNBONDING_MAX];
    size_t unbonding_count;
};

struct model_asset {
    bool known;
    bool active;
    unsigned owner;
    uint64_t capacity;
    uint64_t price;
    Hypermesh__PrivacyLevel level;
};

struct model_lease {
    uint8_t id[32];
    unsigned consumer;
    unsigned provider;
    unsigned assets[MODEL_ITEMS_MAX];
    uint32_t share;
    uint64_t prices[MODEL_ITEMS_MAX];
    size_t items;
    uint64_t start_ms;
    uint64_t expires_ms;
    uint64_t paid;
    uint64_t reward;
    Hypermesh__LeaseState state;
    bool settled;
};

struct model {
    struct model_person people[MODEL_PEOPLE];
    struct model_asset assets[MODEL_ASSETS];
    struct model_lease leases[MODEL_LEASES_MAX];
    size_t lease_count;
    uint64_t burnt;
    uint64_t minted;
    uint64_t now_ms;
    Hypermesh__Params params;
};

struct model_op {
    unsigned kind; /* field number in Operation */
    unsigned who;
    unsigned to;
    bool caes;
    uint64_t amount; /* money, price, capacity, milliseconds: whatever the operation counts */
    uint64_t second; /* update: price */
    unsigned assets[MODEL_ITEMS_MAX];
    size_t items;
    uint32_t share;
    size_t lease;
    Hypermesh__PrivacyLevel level;
};

/* From the fixture's state after its first blocks. */
void model_init(struct model *model, struct fixture *fixture);
/* A block begins: leases that are over end; the number of them. */
size_t model_begin(struct model *model, uint64_t now_ms);
/* One transaction that paid its fee. 0, or the code and the number of the operation that fails. */
int model_apply(struct model *model, const struct model_op *ops, size_t count, uint64_t fee,
                size_t *failed);
/* Compares everything with the ledger's state; aborts with a message. */
void model_compare(struct model *model, struct fixture *fixture);

#endif
