/* A node that may lie: what it says of the ledger, held against a block that is trusted. Signatures lead from that block
 * to a later one, whose header names the state root that a value's proof must end in. docs/light.md says what that shows. */
#ifndef HM_NEXUS_LIGHT_H
#define HM_NEXUS_LIGHT_H

#include <jansson.h>

#include "light.h"
#include "nexus_client.h"
#include "store.h"

#define NEXUS_LIGHT_WAIT_MS    5000 /* for a block that the node may have to make first */
#define NEXUS_LIGHT_TIMEOUT_MS 30000 /* of any answer */
#define NEXUS_LIGHT_ALL_MS     120000 /* of all of them, unless somebody says otherwise */
#define NEXUS_LIGHT_AGAIN_MS   500 /* before a node that is busy is asked again */
#define NEXUS_STATE_MAX_BYTES  ((size_t)8 << 20) /* of an answer of GET /state */
#define NEXUS_KV_KEY_MAX_BYTES 440 /* as the ledger */

struct nexus_light {
    struct nexus_client *client; /* borrowed */
    const struct hm_clock *clock; /* borrowed */
    struct light_rules rules;
    struct light_trust trust;
    uint64_t
        deadline_ns; /* by the clock's hm_mono_ns: nothing is asked for after it, and who is busy (503) is asked again until then;
                             0: none, everything is asked for once */
    int64_t goal; /* the block of this height is waited for, and made if need be */
    bool lied; /* what the node said does not hold together with what is trusted */
};
void nexus_light_release(struct nexus_light *light); /* the client stays */

/* What the node says of a value, in an arena; nothing is checked yet. */
struct nexus_state {
    uint64_t height;
    uint8_t root[CRYPTO_HASH_BYTES];
    struct hm_slice value; /* data NULL: absent */
    struct hm_slice proof; /* store_tree_proof_encode's form */
};
/* Of GET /state/KEY's answer. Pure. HM_EPARSE. */
int nexus_state_parse(const json_t *answer, struct hm_arena *arena, struct nexus_state *out,
                      struct hm_error *error);
/* Whether root, which is trusted, has this value, or its absence, at key. Pure. HM_EAUTH. */
int nexus_state_verify(const uint8_t root[CRYPTO_HASH_BYTES], struct hm_slice key,
                       const struct nexus_state *state, struct hm_error *error);
/* The key of a thing in the ledger's state, appended. what: "account", "asset", "lease" (ids as text), "kv" (a key of the
 * key-value store), "key" (hexadecimal). Pure. HM_EPARSE, HM_ERANGE. */
int nexus_state_key(const char *what, const char *text, struct hm_buf *out, struct hm_error *error);

/* The node's block of that height (0: its newest), in the arena; only its form is checked. ask: waits for it.
 * NEXUS_EUNREACHABLE: it has not got it, or does not answer; HM_EAUTH: what it gave is no block. */
int nexus_light_block(struct nexus_light *light, int64_t height, bool ask, struct hm_arena *arena,
                      Hypermesh__Abci__LightBlock **out, struct hm_error *error);
/* Trust from what a person trusts. chain_id NULL: whatever the block says. HM_EAUTH, NEXUS_EUNREACHABLE. */
int nexus_light_begin(struct nexus_light *light, const struct light_anchor *anchor,
                      const char *chain_id, struct hm_error *error);
/* Asks for the value and checks all of it; trust then stands at the block after out->height. HM_ETIMEOUT: the trusted block
 * is too old; HM_EAUTH: refused; NEXUS_EUNREACHABLE: the node does not answer, or is behind. trust is good after each. */
int nexus_light_read(struct nexus_light *light, struct hm_slice key, struct hm_arena *arena,
                     struct nexus_state *out, struct hm_error *error);
/* Whether trust and the other block are of one history: leads the older of them to the newer, where that can be. trust then stands
 * at the newer one. HM_EAUTH: there is another block at that height; also as nexus_light_read. On failure neither is to be used. */
int nexus_light_agree(struct nexus_light *light, struct light_trust *other, struct hm_error *error);
/* Whether the trusting period fits this chain: it is shorter than an engine remembers faults, which follows from the ledger's
 * parameters, read and proven like any value. HM_EINVAL: it is too long; else as nexus_light_read. */
int nexus_light_check_period(struct nexus_light *light, struct hm_error *error);
/* Of the trusted block's header; milliseconds since 1970. */
uint64_t nexus_light_time_ms(const struct light_trust *trust);
int64_t nexus_light_height(const struct light_trust *trust); /* 0: nothing is trusted */

#endif
