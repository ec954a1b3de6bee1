/* Privacy: who may lease an asset, how much of it, how often at once, for how long, and what a consumer must
 * bring. One decision for the block under way and for readers of a snapshot: where networks are looked up
 * is handed in. */
#ifndef HM_LEDGER_PRIVACY_H
#define HM_LEDGER_PRIVACY_H

#include "ledger_private.h"

/* What the decision asks of the state. *out is NULL for what is not there; an error is fatal or says that the
 * transaction opens too much. */
struct ledger_privacy_state {
    int (*network)(void *ctx, ProtobufCBinaryData id, Hypermesh__Network **out,
                   struct hm_error *error);
    int (*member)(void *ctx, ProtobufCBinaryData network, ProtobufCBinaryData account,
                  Hypermesh__Member **out, struct hm_error *error);
    void *ctx;
};

struct ledger_privacy_case {
    const Hypermesh__Params *params;
    const Hypermesh__Asset *asset;
    ProtobufCBinaryData consumer;
    const Hypermesh__Account *account; /* the consumer's */
    uint32_t share_ppm; /* 0: a renewal, which adds no lease */
    uint64_t duration_ms; /* in all */
    bool signed_yet; /* false: there is no transaction whose Work and anchor could be judged */
    unsigned work_bits;
    uint64_t anchor_age; /* blocks */
    struct ledger_privacy_state state;
};

/* 0, or the refusal, which names its rule. */
int ledger_privacy_admits(const struct ledger_privacy_case *that, struct hm_error *error);
/* The level alone. */
int ledger_privacy_level_admits(const struct ledger_privacy_case *that, struct hm_error *error);

#endif
