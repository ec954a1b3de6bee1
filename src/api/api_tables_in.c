/* What requests may hold. */
#include "api_tables.h"

#define ROWS(table) .rows = (table), .count = HM_COUNT_OF(table)

/* clang-format off */
#define ACCOUNT_ROW {.name = "account", .form = API_ACCOUNT, .about = "Who acts: a name of the node's keystore, or an id whose key it has."}

static const struct api_field account[] = {
    {.name = "name", .form = API_TEXT, .flags = API_REQUIRED, .about = "Name in the node's keystore."},
};
const struct api_fields api_body_account = {.name = "AccountNew", ROWS(account)};

static const struct api_field transfer[] = {
    {.name = "to", .form = API_ACCOUNT, .flags = API_REQUIRED, .about = "Receiver: name or id."},
    {.name = "amount", .form = API_MONEY, .flags = API_REQUIRED, .about = "In whole tokens."},
    {.name = "token", .form = API_TOKEN, .about = "hyper when left out."},
    {.name = "memo", .form = API_TEXT, .about = "At most 128 bytes, public."},
};
const struct api_fields api_body_transfer = {.name = "TransferNew", ROWS(transfer)};

static const struct api_field amount[] = {
    {.name = "amount", .form = API_MONEY, .flags = API_REQUIRED, .about = "In whole HYPER."},
};
const struct api_fields api_body_amount = {.name = "BondNew", ROWS(amount)};

static const struct api_field session_key[] = {
    {.name = "session_key", .form = API_DIGEST, .flags = API_REQUIRED, .about = "Ed25519 public key of the session."},
};
const struct api_fields api_body_session_key = {.name = "SessionRevokeNew", ROWS(session_key)};

#define PRIVACY_ROWS \
    {.name = "level", .form = API_LEVEL, .flags = API_REQUIRED, .about = "Private, PrivateNetwork, P2P, PublicNetwork or FullPublic."}, \
    {.name = "max_share", .form = API_SHARE, .about = "Of the asset, over all leases; 100% when left out."}, \
    {.name = "max_leases", .form = API_UINT, .about = "At once; 0 or left out: what the chain allows."}, \
    {.name = "max_duration", .form = API_DURATION, .about = "Of one lease; 0 or left out: what the chain allows."}, \
    {.name = "accounts", .form = API_ACCOUNT, .flags = API_LIST, .about = "P2P: who may lease."}

static const struct api_field privacy[] = {PRIVACY_ROWS};
const struct api_fields api_body_privacy = {.name = "PrivacyNew", ROWS(privacy)};

static const struct api_field privacy_level[] = {
    {.name = "asset", .form = API_ASSET, .flags = API_REQUIRED},
    PRIVACY_ROWS,
    ACCOUNT_ROW,
};
const struct api_fields api_body_privacy_level = {.name = "PrivacyLevelNew", ROWS(privacy_level)};

static const struct api_field asset_register[] = {
    {.name = "kind", .form = API_KIND, .flags = API_REQUIRED, .about = "cpu, memory, storage, gpu, container or network."},
    {.name = "hardware_id", .form = API_TEXT, .flags = API_REQUIRED, .about = "Stable name of the thing on its machine, as GET /node/scan shows it."},
    {.name = "capacity", .form = API_AMOUNT, .flags = API_REQUIRED, .about = "In the unit of the kind; sizes may be written \"64G\"."},
    {.name = "price_per_hour", .form = API_MONEY, .flags = API_REQUIRED, .about = "HYPER for 100 % for an hour."},
    {.name = "attributes", .form = API_PAIRS, .about = "Facts about it, name to value."},
    {.name = "privacy", .form = API_OBJECT, .fields = &api_body_privacy, .about = "Private when left out."},
    ACCOUNT_ROW,
};
const struct api_fields api_body_register = {.name = "AssetNew", ROWS(asset_register)};

static const struct api_field update[] = {
    {.name = "capacity", .form = API_AMOUNT, .about = "As it is when left out."},
    {.name = "price_per_hour", .form = API_MONEY, .about = "As it is when left out."},
    {.name = "attributes", .form = API_PAIRS, .about = "Replaces all; as they are when left out."},
    ACCOUNT_ROW,
};
const struct api_fields api_body_update = {.name = "AssetChange", ROWS(update)};

static const struct api_field asset_transfer[] = {
    {.name = "to", .form = API_ACCOUNT, .flags = API_REQUIRED, .about = "New owner: name or id."},
    ACCOUNT_ROW,
};
const struct api_fields api_body_asset_transfer = {.name = "AssetTransferNew", ROWS(asset_transfer)};

static const struct api_field allocate[] = {
    {.name = "share", .form = API_SHARE, .flags = API_REQUIRED, .about = "Of the whole asset; or share_ppm."},
    {.name = "duration", .form = API_DURATION, .flags = API_REQUIRED, .about = "Of the lease; or duration_ms."},
    {.name = "max_price_per_hour", .form = API_MONEY, .about = "Refuse when the asset costs more; left out: its price as it is now."},
    ACCOUNT_ROW,
};
const struct api_fields api_body_allocate = {.name = "AllocateNew", ROWS(allocate)};

static const struct api_field renew[] = {
    {.name = "extra", .form = API_DURATION, .flags = API_REQUIRED, .about = "Added to the lease's end; or extra_ms."},
    ACCOUNT_ROW,
};
const struct api_fields api_body_renew = {.name = "RenewNew", ROWS(renew)};

static const struct api_field validate[] = {
    {.name = "tx", .form = API_DIGEST, .about = "Digest of a transaction on the chain."},
    {.name = "batch", .form = API_BASE64, .about = "Or a packed Batch from outside."},
    {.name = "index", .form = API_UINT, .about = "Which transaction of the batch; 0 when left out."},
};
const struct api_fields api_body_validate = {.name = "ValidateNew", ROWS(validate)};

static const struct api_field image[] = {
    {.name = "path", .form = API_TEXT, .flags = API_REQUIRED, .about = "Absolute path on the node's machine: OCI image layout, or archive of docker save."},
    {.name = "name", .form = API_TEXT, .about = "Name for it; the archive's own when left out."},
};
const struct api_fields api_body_image = {.name = "ImageNew", ROWS(image)};

#define PAGE_ROWS \
    {.name = "after", .form = API_TEXT, .about = "The next of the page before."}, \
    {.name = "limit", .form = API_UINT, .about = "At most this many items, 1 to 1000; 100 when left out."}

static const struct api_field page[] = {PAGE_ROWS};
const struct api_fields api_query_page = {.name = "PageQuery", ROWS(page)};

static const struct api_field assets[] = {
    PAGE_ROWS,
    {.name = "owner", .form = API_ACCOUNT, .about = "Name or id."},
    {.name = "kind", .form = API_KIND},
    {.name = "retired", .form = API_BOOL, .about = "Retired ones too."},
};
const struct api_fields api_query_assets = {.name = "AssetsQuery", ROWS(assets)};

static const struct api_field leases[] = {
    PAGE_ROWS,
    {.name = "party", .form = API_ACCOUNT, .about = "Consumer or provider: name or id."},
    {.name = "asset", .form = API_ASSET},
    {.name = "active", .form = API_BOOL, .about = "Only those that run now."},
};
const struct api_fields api_query_leases = {.name = "LeasesQuery", ROWS(leases)};

static const struct api_field acting[] = {ACCOUNT_ROW};
const struct api_fields api_query_account = {.name = "AccountQuery", ROWS(acting)};

static const struct api_field release[] = {
    {.name = "lease", .form = API_LEASE, .about = "May be left out when the account has one active lease on the asset."},
    ACCOUNT_ROW,
};
const struct api_fields api_query_release = {.name = "ReleaseQuery", ROWS(release)};

static const struct api_field privacy_of[] = {
    {.name = "asset", .form = API_ASSET, .about = "This one only."},
    PAGE_ROWS,
};
const struct api_fields api_query_privacy = {.name = "PrivacyQuery", ROWS(privacy_of)};

static const struct api_field logs[] = {
    {.name = "follow", .form = API_BOOL, .about = "Goes on until the job has ended."},
    {.name = "format", .form = API_TEXT, .about = "text (default): plain bytes of both streams; frames: see application/vnd.hypermesh.frames."},
};
const struct api_fields api_query_logs = {.name = "LogsQuery", ROWS(logs)};

static const struct api_field wait[] = {
    {.name = "timeout", .form = API_DURATION, .about = "At most 10m; 30s when left out."},
};
const struct api_fields api_query_wait = {.name = "WaitQuery", ROWS(wait)};

static const struct api_field blocks[] = {
    {.name = "from", .form = API_UINT, .about = "Height to start at, going down; the latest when left out."},
    PAGE_ROWS,
};
const struct api_fields api_query_blocks = {.name = "BlocksQuery", ROWS(blocks)};
/* clang-format on */
