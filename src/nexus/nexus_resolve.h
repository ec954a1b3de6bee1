/* Short names for ids: what tables show must be enough to say which one is meant. */
#ifndef HM_NEXUS_RESOLVE_H
#define HM_NEXUS_RESOLVE_H

#include "nexus_call.h"

/* Whole ids are taken as they are. Otherwise the text must be the beginning of exactly one id; of an asset
 * also its hardware name ("cpu-package-0"). In the arena. HM_ENOTFOUND, HM_EINVAL when several fit. */
int nexus_resolve_asset(struct nexus_call *call, const char *text, const char **id);
int nexus_resolve_lease(struct nexus_call *call, const char *text, const char **id);
int nexus_resolve_network(struct nexus_call *call, const char *text,
                          const char **id); /* also by name */
int nexus_resolve_challenge(struct nexus_call *call, const char *text, const char **id);

/* "user" for an account of this node, else the id's beginning. `accounts` from nexus_accounts. */
const char *nexus_account_name(const json_t *accounts, const char *id, struct hm_arena *arena);
/* The same with the whole id, for one that is to be named in a command. */
const char *nexus_account_name_or_id(const json_t *accounts, const char *id);
/* The keystore's accounts, or an empty list when they cannot be had: names are a courtesy. */
json_t *nexus_accounts(struct nexus_call *call);

#endif
