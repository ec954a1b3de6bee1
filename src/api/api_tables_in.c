/* What requests may hold. */
#include "api_rows.h"

/* clang-format off */

static const struct api_field account[] = {
    {.name = "name", .form = JSON_FORM_TEXT, .flags = API_REQUIRED, .about = "Name in the node's keystore."},
};
const struct api_fields api_body_account = {.name = "AccountNew", ROWS(account)};

static const struct api_field transfer[] = {
    {.name = "to", .form = JSON_FORM_ACCOUNT, .flags = API_REQUIRED, .about = "Receiver: name or id."},
    {.name = "amount", .form = JSON_FORM_MONEY, .flags = API_REQUIRED, .about = "In whole tokens."},
    {.name = "token", .form = JSON_FORM_TOKEN, .about = "hyper when left out."},
    {.name = "memo", .form = JSON_FORM_TEXT, .about = "At most 128 bytes, public."},
};
const struct api_fields api_body_transfer = {.name = "TransferNew", ROWS(transfer)};

static const struct api_field amount[] = {
    {.name = "amount", .form = JSON_FORM_MONEY, .flags = API_REQUIRED, .about = "In whole HYPER."},
};
const struct api_fields api_body_amount = {.name = "BondNew", ROWS(amount)};

static const struct api_field session_key[] = {
    {.name = "session_key", .form = JSON_FORM_DIGEST, .flags = API_REQUIRED, .about = "Ed25519 public key of the session."},
};
const struct api_fields api_body_session_key = {.name = "SessionRevokeNew", ROWS(session_key)};

#define PRIVACY_ROWS \
    {.name = "level", .form = JSON_FORM_LEVEL, .flags = API_REQUIRED, .about = "Private, PrivateNetwork, P2P, PublicNetwork or FullPublic."}, \
    {.name = "max_share", .form = JSON_FORM_SHARE, .about = "Of the asset, over all leases; 100% when left out."}, \
    {.name = "max_leases", .form = JSON_FORM_UINT, .about = "At once; 0 or left out: what the chain allows."}, \
    {.name = "max_duration", .form = JSON_FORM_DURATION, .about = "Of one lease; 0 or left out: what the chain allows."}, \
    {.name = "accounts", .form = JSON_FORM_ACCOUNT, .flags = API_LIST, .about = "P2P: who may lease."}, \
    {.name = "networks", .form = JSON_FORM_NETWORK, .flags = API_LIST, .about = "Private, PrivateNetwork, PublicNetwork: whose members may lease."}, \
    {.name = "reward", .form = JSON_FORM_PART, .about = "Part of the CAES that the owner takes, of what the chain would mint; 100% when left out. Or reward_ppm."}, \
    {.name = "demand", .form = JSON_FORM_OBJECT, .fields = &demand_fields, .about = "What a consumer must bring beyond the rules of the chain."}

static const struct api_field demand[] = {
    {.name = "min_bond", .form = JSON_FORM_MONEY, .about = "Stake: HYPER that the consumer has bonded."},
    {.name = "min_work_bits", .form = JSON_FORM_UINT, .about = "Work: of the transaction that leases."},
    {.name = "max_anchor_age", .form = JSON_FORM_UINT, .about = "Time: blocks between the anchor and the lease."},
    {.name = "min_plot_labels", .form = JSON_FORM_UINT, .about = "Space: labels that the consumer has committed itself."},
};
static const struct api_fields demand_fields = {.name = "ProofDemandNew", ROWS(demand)};

static const struct api_field privacy[] = {PRIVACY_ROWS};
const struct api_fields api_body_privacy = {.name = "PrivacyNew", ROWS(privacy)};

static const struct api_field privacy_level[] = {
    {.name = "asset", .form = JSON_FORM_ASSET, .flags = API_REQUIRED},
    PRIVACY_ROWS,
    ACCOUNT_ROW,
};
const struct api_fields api_body_privacy_level = {.name = "PrivacyLevelNew", ROWS(privacy_level)};

static const struct api_field asset_register[] = {
    {.name = "kind", .form = JSON_FORM_KIND, .flags = API_REQUIRED, .about = "cpu, memory, storage, gpu, container or network."},
    {.name = "hardware_id", .form = JSON_FORM_TEXT, .flags = API_REQUIRED, .about = "Stable name of the thing on its machine, as GET /node/scan shows it."},
    {.name = "capacity", .form = JSON_FORM_AMOUNT, .flags = API_REQUIRED, .about = "In the unit of the kind; sizes may be written \"64G\"."},
    {.name = "price_per_hour", .form = JSON_FORM_MONEY, .flags = API_REQUIRED, .about = "HYPER for 100 % for an hour."},
    {.name = "attributes", .form = JSON_FORM_PAIRS, .about = "Facts about it, name to value."},
    {.name = "privacy", .form = JSON_FORM_OBJECT, .fields = &api_body_privacy, .about = "Private when left out."},
    ACCOUNT_ROW,
};
const struct api_fields api_body_register = {.name = "AssetNew", ROWS(asset_register)};

static const struct api_field update[] = {
    {.name = "capacity", .form = JSON_FORM_AMOUNT, .about = "As it is when left out."},
    {.name = "price_per_hour", .form = JSON_FORM_MONEY, .about = "As it is when left out."},
    {.name = "attributes", .form = JSON_FORM_PAIRS, .about = "Replaces all; as they are when left out."},
    ACCOUNT_ROW,
};
const struct api_fields api_body_update = {.name = "AssetChange", ROWS(update)};

static const struct api_field asset_transfer[] = {
    {.name = "to", .form = JSON_FORM_ACCOUNT, .flags = API_REQUIRED, .about = "New owner: name or id."},
    ACCOUNT_ROW,
};
const struct api_fields api_body_asset_transfer = {.name = "AssetTransferNew", ROWS(asset_transfer)};

static const struct api_field allocate[] = {
    {.name = "share", .form = JSON_FORM_SHARE, .flags = API_REQUIRED, .about = "Of the whole asset; or share_ppm."},
    {.name = "duration", .form = JSON_FORM_DURATION, .flags = API_REQUIRED, .about = "Of the lease; or duration_ms."},
    {.name = "max_price_per_hour", .form = JSON_FORM_MONEY, .about = "Refuse when the asset costs more; left out: its price as it is now."},
    ACCOUNT_ROW,
};
const struct api_fields api_body_allocate = {.name = "AllocateNew", ROWS(allocate)};

static const struct api_field renew[] = {
    {.name = "extra", .form = JSON_FORM_DURATION, .flags = API_REQUIRED, .about = "Added to the lease's end; or extra_ms."},
    ACCOUNT_ROW,
};
const struct api_fields api_body_renew = {.name = "RenewNew", ROWS(renew)};

static const struct api_field validate[] = {
    {.name = "tx", .form = JSON_FORM_DIGEST, .about = "Digest of a transaction on the chain."},
    {.name = "batch", .form = JSON_FORM_BASE64, .about = "Or a packed Batch from outside."},
    {.name = "index", .form = JSON_FORM_UINT, .about = "Which transaction of the batch; 0 when left out."},
};
const struct api_fields api_body_validate = {.name = "ValidateNew", ROWS(validate)};

static const struct api_field image[] = {
    {.name = "path", .form = JSON_FORM_TEXT, .flags = API_REQUIRED, .about = "Absolute path on the node's machine: OCI image layout, or archive of docker save."},
    {.name = "name", .form = JSON_FORM_TEXT, .about = "Name for it; the archive's own when left out."},
};
const struct api_fields api_body_image = {.name = "ImageNew", ROWS(image)};


static const struct api_field page[] = {PAGE_ROWS};
const struct api_fields api_query_page = {.name = "PageQuery", ROWS(page)};

static const struct api_field assets[] = {
    PAGE_ROWS,
    {.name = "owner", .form = JSON_FORM_ACCOUNT, .about = "Name or id."},
    {.name = "kind", .form = JSON_FORM_KIND},
    {.name = "retired", .form = JSON_FORM_BOOL, .about = "Retired ones too."},
};
const struct api_fields api_query_assets = {.name = "AssetsQuery", ROWS(assets)};

static const struct api_field leases[] = {
    PAGE_ROWS,
    {.name = "party", .form = JSON_FORM_ACCOUNT, .about = "Consumer or provider: name or id."},
    {.name = "asset", .form = JSON_FORM_ASSET},
    {.name = "active", .form = JSON_FORM_BOOL, .about = "Only those that run now."},
};
const struct api_fields api_query_leases = {.name = "LeasesQuery", ROWS(leases)};

static const struct api_field acting[] = {ACCOUNT_ROW};
const struct api_fields api_query_account = {.name = "AccountQuery", ROWS(acting)};

static const struct api_field release[] = {
    {.name = "lease", .form = JSON_FORM_LEASE, .about = "May be left out when the account has one active lease on the asset."},
    ACCOUNT_ROW,
};
const struct api_fields api_query_release = {.name = "ReleaseQuery", ROWS(release)};

static const struct api_field privacy_of[] = {
    {.name = "asset", .form = JSON_FORM_ASSET, .about = "This one only."},
    PAGE_ROWS,
};
const struct api_fields api_query_privacy = {.name = "PrivacyQuery", ROWS(privacy_of)};

static const struct api_field logs[] = {
    {.name = "follow", .form = JSON_FORM_BOOL, .about = "Goes on until the job has ended."},
    {.name = "format", .form = JSON_FORM_TEXT, .about = "text (default): plain bytes of both streams; frames: see application/vnd.hypermesh.frames."},
};
const struct api_fields api_query_logs = {.name = "LogsQuery", ROWS(logs)};

static const struct api_field wait[] = {
    {.name = "timeout", .form = JSON_FORM_DURATION, .about = "At most 10m; 30s when left out."},
};
const struct api_fields api_query_wait = {.name = "WaitQuery", ROWS(wait)};

static const struct api_field blocks[] = {
    {.name = "from", .form = JSON_FORM_UINT, .about = "Height to start at, going down; the latest when left out."},
    PAGE_ROWS,
};
const struct api_fields api_query_blocks = {.name = "BlocksQuery", ROWS(blocks)};

static const struct api_field light[] = {
    {.name = "wait_ms", .form = JSON_FORM_UINT, .about = "Waits for that block, at most 60000; one of the next two is made if need be."},
};
const struct api_fields api_query_light = {.name = "LightQuery", ROWS(light)};
/* clang-format on */
