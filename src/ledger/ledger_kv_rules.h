/* Permissions of the key-value store: the longest rule whose prefix a key begins with decides. */
#ifndef HM_LEDGER_KV_RULES_H
#define HM_LEDGER_KV_RULES_H

#include "ledger_kv_form.h"

/* All rules of a chain, sorted by prefix; never changed once made. */
struct ledger_kv_rules {
    struct hm_arena arena; /* of a set that was loaded; else unused */
    Hypermesh__KvRule **list;
    uint32_t *within; /* number + 1 of the rule around it; 0: none */
    size_t count;
};

/* On the heap, from the state table. HM_ECORRUPT. */
int ledger_kv_rules_load(struct store_txn *txn, struct ledger_kv_rules **out,
                         struct hm_error *error);
void ledger_kv_rules_free(struct ledger_kv_rules *rules); /* of loaded ones; NULL is fine */
/* A set in the arena that has the rule in place of one with its prefix; remove: that lacks it. Borrows the rules
 * of old and the rule itself. HM_ENOMEM. */
int ledger_kv_rules_change(const struct ledger_kv_rules *old, Hypermesh__KvRule *rule, bool remove,
                           struct hm_arena *arena, struct ledger_kv_rules **out,
                           struct hm_error *error);
/* The longest rule that the key begins with; NULL: none. */
const Hypermesh__KvRule *ledger_kv_rules_find(const struct ledger_kv_rules *rules,
                                              struct hm_slice key);

/* Shape of a rule, as an operation or a genesis gives it; sorts its lists. An empty owner is for the caller. */
int ledger_kv_rule_check(Hypermesh__KvRule *rule, struct hm_error *error);

/* Where rules are looked up: a set as above, or the tables of a view. */
struct ledger_kv_rule_source {
    void *ctx;
    /* *out NULL: no rule. */
    int (*find)(void *ctx, struct hm_slice key, const Hypermesh__KvRule **out,
                struct hm_error *error);
    /* The first prefix past the key; data NULL: none. */
    int (*after)(void *ctx, struct hm_slice key, struct hm_slice *prefix, struct hm_error *error);
};
struct ledger_kv_rule_source ledger_kv_rules_source(const struct ledger_kv_rules *rules);
/* May the account read (write) every key there could be in the span? 0, or a refusal that names the prefix.
 * *steps: how many stretches of keys were looked at. */
int ledger_kv_admit(const struct ledger_kv_rule_source *source, struct hm_slice account,
                    const struct ledger_kv_span *span, bool write, size_t *steps,
                    struct hm_error *error);

#endif
