/* Shorthands for tests of the key-value store: one fixture, operations that must be good or refused, reading back. */
#ifndef KV_CHECK_H
#define KV_CHECK_H

#include "ledger_check.h"
#include "ledger_kv_ops.h"

#define VERSION HYPERMESH__KV_COMPARE_TARGET__KV_VERSION
#define CREATE  HYPERMESH__KV_COMPARE_TARGET__KV_CREATE
#define MOD     HYPERMESH__KV_COMPARE_TARGET__KV_MOD
#define VALUE   HYPERMESH__KV_COMPARE_TARGET__KV_VALUE
#define LEASE   HYPERMESH__KV_COMPARE_TARGET__KV_LEASE
#define EQUAL   HYPERMESH__KV_COMPARE_RESULT__KV_EQUAL
#define GREATER HYPERMESH__KV_COMPARE_RESULT__KV_GREATER
#define LESS    HYPERMESH__KV_COMPARE_RESULT__KV_LESS
#define UNEQUAL HYPERMESH__KV_COMPARE_RESULT__KV_NOT_EQUAL

int kv_setup(void **state);
const Hypermesh__KvAnswer *kv_good(enum fixture_role who, Hypermesh__Operation *op);
void kv_refused(enum fixture_role who, Hypermesh__Operation *op, const char *rule, int code);
Hypermesh__KvState *kv_state_now(void);
Hypermesh__KvPair **kv_range_at(const char *key, const char *range_end, uint64_t revision,
                                size_t *count);
Hypermesh__KvEntry *kv_entry_at(const char *key, uint64_t revision);
void kv_value(const char *key, uint64_t revision, const char *value);
void kv_entry(const char *key, uint64_t create, uint64_t mod, uint64_t version, uint64_t lease);
int kv_past_rc(uint64_t revision);

#endif
