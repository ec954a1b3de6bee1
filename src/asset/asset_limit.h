/* What a share means as limits, one function a kind; asset_adapter.c puts them in the table. */
#ifndef HM_ASSET_LIMIT_H
#define HM_ASSET_LIMIT_H

#include "asset.h"

#define ASSET_SHARE_WHOLE_PPM 1000000

/* capacity * share, rounded down; HM_ERANGE for a share of 0 or over the whole, or when nothing is left. */
int asset_share_amount(const struct asset_share *share, uint64_t *amount, struct hm_error *error);

int asset_limit_cpu(const struct asset_inventory *machine, const struct asset_share *share,
                    struct hm_arena *arena, Hypermesh__SandboxLimits *limits,
                    struct hm_error *error);
int asset_limit_memory(const struct asset_inventory *machine, const struct asset_share *share,
                       struct hm_arena *arena, Hypermesh__SandboxLimits *limits,
                       struct hm_error *error);
int asset_limit_storage(const struct asset_inventory *machine, const struct asset_share *share,
                        struct hm_arena *arena, Hypermesh__SandboxLimits *limits,
                        struct hm_error *error);
int asset_limit_gpu(const struct asset_inventory *machine, const struct asset_share *share,
                    struct hm_arena *arena, Hypermesh__SandboxLimits *limits,
                    struct hm_error *error);
int asset_limit_container(const struct asset_inventory *machine, const struct asset_share *share,
                          struct hm_arena *arena, Hypermesh__SandboxLimits *limits,
                          struct hm_error *error);

#endif
