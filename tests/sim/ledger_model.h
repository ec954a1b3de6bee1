/* A second ledger, as naive as it can be written: plain arrays, the whole state copied to undo a
 * transaction. It knows nothing of keys, proofs, tables or trees; it says what each operation should do. */
#ifndef LEDGER_MODEL_H
#define LEDGER_MODEL_H

#include "ledger_fixture.h"

#define MODEL_PEOPLE         5 /* the fixture's first */
#define MODEL_DEVICES        3 /* a person's; an asset's number is person * MODEL_DEVICES + device */
#define MODEL_ASSETS         (MODEL_PEOPLE * MODEL_DEVICES)
#define MODEL_LEASES_MAX     2000
#define MODEL_ITEMS_MAX      3
#define MODEL_UNBONDING_MAX  16
#define MODEL_NETWORKS_MAX   64
#define MODEL_LISTED_MAX     2 /* networks that a privacy lists */
#define MODEL_CHALLENGES_MAX 1000

struct model_person {
    uint64_t hyper;
    uint64_t caes;
    uint64_t bonded;
    uint64_t unbonding[MODEL_UNBONDING_MAX];
    uint64_t free_ms[MODEL_UNBONDING_MAX];
    size_t unbonding_count;
    uint64_t deposits;
    uint64_t answered;
    uint64_t failed;
    uint64_t slashed;
    unsigned peers; /* bit a person */
};

struct model_privacy {
    Hypermesh__PrivacyLevel level;
    unsigned accounts; /* bit a person */
    size_t networks[MODEL_LISTED_MAX];
    size_t network_count;
    uint32_t waived;
};

struct model_network {
    uint8_t id[32];
    bool gone;
    bool open;
    unsigned owner;
    Hypermesh__MemberState members[MODEL_PEOPLE];
};

struct model_challenge {
    uint8_t id[32];
    unsigned challenger;
    unsigned node;
    bool space;
    size_t lease;
    uint64_t due_ms;
    uint64_t slashed;
    Hypermesh__ChallengeState state;
};

struct model_asset {
    bool known;
    bool active;
    unsigned owner;
    uint64_t capacity;
    uint64_t price;
    struct model_privacy privacy;
};

struct model_lease {
    uint8_t id[32];
    unsigned consumer;
    unsigned provider;
    unsigned assets[MODEL_ITEMS_MAX];
    uint32_t share;
    uint64_t prices[MODEL_ITEMS_MAX];
    uint64_t rewards[MODEL_ITEMS_MAX]; /* parts per million of what is paid */
    size_t items;
    uint64_t start_ms;
    uint64_t expires_ms;
    uint64_t paid;
    uint64_t reward;
    Hypermesh__LeaseState state;
    bool settled;
    bool has_result;
    uint64_t settled_ms;
    bool refuted;
};

struct model {
    struct model_person people[MODEL_PEOPLE];
    struct model_asset assets[MODEL_ASSETS];
    struct model_lease leases[MODEL_LEASES_MAX];
    size_t lease_count;
    struct model_network networks[MODEL_NETWORKS_MAX];
    size_t network_count;
    struct model_challenge challenges[MODEL_CHALLENGES_MAX];
    size_t challenge_count;
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
    struct model_privacy privacy;
    size_t network;
    size_t challenge;
    bool flag; /* create: open; settle: with a result; challenge: of space; answer: the right one */
};

/* From the fixture's state after its first blocks. */
void model_init(struct model *model, struct fixture *fixture);
/* A block begins: leases and challenges that are over end; the number of each. */
void model_begin(struct model *model, uint64_t now_ms, size_t *leases, size_t *challenges);
/* One transaction that paid its fee. 0, or the code and the number of the operation that fails. */
int model_apply(struct model *model, const struct model_op *ops, size_t count, uint64_t fee,
                size_t *failed);
/* Compares everything with the ledger's state; aborts with a message. */
void model_compare(struct model *model, struct fixture *fixture);

/* --- between the files of the model --- */
void model_same(uint64_t ledger, uint64_t model, const char *what, size_t number);
void model_touch(struct model *model, unsigned who); /* what has finished unbonding is free */
/* May such an asset be offered by who; may who lease it? 0 or the code. */
int model_privacy_check(const struct model *model, const struct model_privacy *privacy,
                        unsigned who);
int model_privacy_admits(const struct model *model, const struct model_privacy *privacy,
                         unsigned owner, unsigned who);
int model_network_op(struct model *model, const struct model_op *op);
int model_challenge_op(struct model *model, const struct model_op *op);
size_t model_challenges_end(struct model *model);
uint64_t model_challenges_open(const struct model *model, unsigned node);
void model_mesh_compare(struct model *model, struct fixture *fixture);

#endif
