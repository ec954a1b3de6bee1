/* Where nexus keeps the block that it trusts: one file a chain, which only its owner may read and write. */
#ifndef HM_NEXUS_TRUST_H
#define HM_NEXUS_TRUST_H

#include "light.h"

/* The file for a chain: $XDG_STATE_HOME/hypermesh/trust/CHAIN.trust, ~/.local/state without it. chain_id NULL: the only one there
 * is; HM_ENOTFOUND: there is none; HM_EINVAL: several, or no home folder. In the arena. */
int nexus_trust_path(const char *chain_id, struct hm_arena *arena, const char **out,
                     struct hm_error *error);
/* HM_ENOTFOUND; HM_EPERM: others could have written it; HM_EPARSE, HM_ECORRUPT. Replaces what *trust held. */
int nexus_trust_load(const char *path, struct light_trust *trust, struct hm_error *error);
/* Whole or not at all; makes the folder. */
int nexus_trust_save(const char *path, const struct light_trust *trust, struct hm_error *error);

#endif
