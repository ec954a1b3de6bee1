/* What the node itself remembers, beside its jobs and in the same store: what its settled results were made of, which
 * assets it retired by itself, and answers given to requests that may come twice. None of it is ledger state. */
#ifndef HM_NODE_NOTES_H
#define HM_NODE_NOTES_H

#include "node_private.h"

enum node_table {
    NODE_TABLE_JOB, /* id -> JobRecord */
    NODE_TABLE_RESULT, /* be64 kept ms + lease id -> ChallengeAnswer with job and manifest */
    NODE_TABLE_RETIRED, /* asset id -> be64 version when its hardware went away */
    NODE_TABLE_ANSWER, /* hash of who asked and his key -> be64 expiry ms + answer */
    NODE_TABLE_EXPIRY, /* be64 expiry ms + key of NODE_TABLE_ANSWER -> be32 length of the answer */
    NODE_TABLE_RESULT_OF, /* lease id -> be64 kept ms: where in NODE_TABLE_RESULT it is */
    NODE_TABLE_COUNT,
};
extern const char *const node_table_names[NODE_TABLE_COUNT];

/* Keeps a result's preimages until nobody may challenge it any more, and drops those whose time is over. */
int node_result_keep(struct node *node, const uint8_t lease[WIRE_ID_BYTES], struct hm_slice job,
                     struct hm_slice manifest, struct hm_error *error);
/* HM_ENOTFOUND: this node knows nothing of it. */
int node_result_find(struct node *node, const uint8_t lease[WIRE_ID_BYTES], struct hm_arena *arena,
                     Hypermesh__ChallengeAnswer **out, struct hm_error *error);

/* Assets that the node is about to retire because their hardware is gone; it registers them again when it comes back.
 * What their owner retired it leaves alone: the asset's version tells one from the other. */
int node_retired_note(struct node *node, const Hypermesh__Asset *const *assets, size_t count,
                      struct hm_error *error);
bool node_retired_by_node(struct node *node, const Hypermesh__Asset *asset);

/* Answers by idempotency key, as struct api_backend's: past API_IDEMPOTENCY_ENTRIES_MAX of them, or
 * API_IDEMPOTENCY_BYTES_MAX together, those that end first go. HM_ELIMIT past NODE_ANSWER_MAX_BYTES. */
#define NODE_ANSWER_MAX_BYTES (2 * API_IDEMPOTENCY_ANSWER_MAX_BYTES)
int node_answer_get(struct node *node, const uint8_t key[CRYPTO_HASH_BYTES], struct hm_arena *arena,
                    struct hm_slice *out, struct hm_error *error);
/* Replaces; an empty answer removes. */
int node_answer_put(struct node *node, const uint8_t key[CRYPTO_HASH_BYTES], uint64_t expires_ms,
                    struct hm_slice answer, struct hm_error *error);

#endif
