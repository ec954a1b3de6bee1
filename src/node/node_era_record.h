/* What a validator has signed, one record for each engine chain it was on: CometBFT's is of the chain of now, those of the others
 * lie beside it as validator/priv_validator_state.CHAIN.json, and never get lower. */
#ifndef HM_NODE_ERA_RECORD_H
#define HM_NODE_ERA_RECORD_H

#include "node_private.h"

/* Another chain's engine is put in place. */
struct node_era_turn {
    const char *keys; /* DATA/validator */
    const char *chain; /* of the engine that begins */
    const char *mark; /* a file in its folder, gone when its record has begun */
    uint64_t
        signed_height; /* where no record is known: up to where it may have signed; 0: not known */
};

/* Before anything changes: can the turn's record be known? same: that chain's engine is there now; any: an engine is; fresh: nobody
 * can have signed anything of that chain. A record that is missing, and may be, is written so that nothing is signed with it.
 * HM_ECONFLICT: what was signed is not known. HM_EINVAL: the chain's name is none for a file. */
int node_era_record_check(const struct node_era_turn *turn, bool any, bool same, bool fresh,
                          struct hm_error *error);
/* Writes the mark `path`, that OLD's record is to be set aside and the turn's to begin. */
int node_era_record_mark(const struct node_era_turn *turn, const char *path, const char *old,
                         struct hm_error *error);
/* Does what the mark says, if it is there; cut off anywhere, it is finished by the next call. The caller removes the mark. */
int node_era_record_begin(const struct node_era_turn *turn, struct hm_error *error);

#endif
