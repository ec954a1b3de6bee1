/* Forms of the key-value store: keys of its tables, its values and events as bytes, ranges as etcd means
 * them. Entries are read without copying the value: it may be a megabyte that nobody asks for. */
#ifndef HM_LEDGER_KV_FORM_H
#define HM_LEDGER_KV_FORM_H

#include "ledger.h"

/* KvEntry without its message. */
struct ledger_kv_entry {
    struct hm_slice value; /* borrowed */
    uint64_t create_revision;
    uint64_t mod_revision;
    uint64_t version;
    uint64_t lease;
};

/* KvEvent without its message. */
struct ledger_kv_event {
    uint64_t revision;
    uint32_t sub;
    struct hm_slice key; /* borrowed, as the entry's value */
    bool deleted;
    struct ledger_kv_entry entry;
    uint64_t height;
};

/* Parsers of stored bytes: HM_ECORRUPT (error is not set) when they are not what the writers below write. */
int ledger_kv_entry_read(struct hm_slice bytes, struct ledger_kv_entry *out);
int ledger_kv_event_read(struct hm_slice bytes, struct ledger_kv_event *out);
/* Packs the event into one piece of the arena; *key and *entry are where they lie in it (entry empty when deleted):
 * the state and the log share the bytes. HM_ENOMEM. */
int ledger_kv_event_write(const struct ledger_kv_event *event, struct hm_arena *arena,
                          struct hm_slice *bytes, struct hm_slice *key, struct hm_slice *entry);
/* A copy in the arena as a message; without the value when keys_only. NULL: memory. */
Hypermesh__KvEntry *ledger_kv_entry_message(const struct ledger_kv_entry *entry, bool keys_only,
                                            struct hm_arena *arena);

/* --- keys of the state --- */
#define LEDGER_KEY_KV_BYTES       (1 + LEDGER_KV_KEY_MAX_BYTES)
#define LEDGER_KEY_KV_LEASE_BYTES (1 + 8)
#define LEDGER_KEY_KV_HELD_BYTES  (1 + 8 + LEDGER_KV_KEY_MAX_BYTES)
/* prefix: LEDGER_KEY_KV or LEDGER_KEY_KV_RULE. */
struct hm_slice ledger_key_kv(uint8_t prefix, struct hm_slice key,
                              uint8_t out[LEDGER_KEY_KV_BYTES]);
struct hm_slice ledger_key_kv_lease(uint64_t lease, uint8_t out[LEDGER_KEY_KV_LEASE_BYTES]);
/* key empty: where the lease's keys begin. */
struct hm_slice ledger_key_kv_held(uint64_t lease, struct hm_slice key,
                                   uint8_t out[LEDGER_KEY_KV_HELD_BYTES]);

/* --- keys of the log and of the past --- */
#define LEDGER_KV_LOG_KEY_BYTES 12
struct hm_slice ledger_kv_log_key(uint64_t revision, uint32_t sub,
                                  uint8_t out[LEDGER_KV_LOG_KEY_BYTES]);
/* In the past a zero byte of the key is 0 255 and its end is 0 1, so that keys sort as themselves and every
 * key's lines lie together. */
#define LEDGER_KV_PAST_KEY_BYTES STORE_KEY_MAX_BYTES
struct ledger_kv_past_key {
    uint8_t bytes[LEDGER_KV_PAST_KEY_BYTES];
    size_t key_len; /* of the escaped key with its end */
};
void ledger_kv_past_begin(struct hm_slice key, struct ledger_kv_past_key *out);
struct hm_slice ledger_kv_past_line(struct ledger_kv_past_key *key, uint64_t revision,
                                    uint32_t sub);
/* Past every line of the key: no revision is that high. */
struct hm_slice ledger_kv_past_after(struct ledger_kv_past_key *key);
/* Takes a line's key apart; the key goes to out (LEDGER_KV_KEY_MAX_BYTES). HM_ECORRUPT. */
int ledger_kv_past_read(struct hm_slice line, uint8_t *out, struct hm_slice *key,
                        uint64_t *revision, uint32_t *sub);
/* Does the line belong to the key? */
bool ledger_kv_past_of(const struct ledger_kv_past_key *key, struct hm_slice line,
                       uint64_t *revision, uint32_t *sub);

/* --- ranges --- */
struct ledger_kv_span {
    struct hm_slice first;
    struct hm_slice end; /* exclusive; not for one or open */
    bool one; /* the key first alone */
    bool open; /* from first on */
};
/* range_end empty: one key; a zero byte alone: open. Checks the bounds (rule kv.key). */
int ledger_kv_span_of(struct hm_slice key, struct hm_slice range_end, struct ledger_kv_span *out,
                      struct hm_error *error);
bool ledger_kv_span_has(const struct ledger_kv_span *span, struct hm_slice key);
/* The span as bounds of the state's keys, below the prefix; out hold them. */
void ledger_kv_span_bounds(const struct ledger_kv_span *span, uint8_t start[LEDGER_KEY_KV_BYTES],
                           uint8_t end[LEDGER_KEY_KV_BYTES + 1], struct hm_slice *start_key,
                           struct hm_slice *end_key);
int ledger_kv_key_check(struct hm_slice key, struct hm_error *error);

/* A key for a sentence: printable, cut. */
#define LEDGER_KV_TEXT_BYTES 64
const char *ledger_kv_text(struct hm_slice key, char out[LEDGER_KV_TEXT_BYTES]);

#endif
