/* What answers say. */
#include "api_rows.h"

/* clang-format off */
const struct api_fields api_answer_empty = {.name = "Empty"};

static const struct api_field problem[] = {
    {.name = "type", .form = JSON_FORM_TEXT, MUST, .about = "urn:hypermesh:error:CODE"},
    {.name = "title", .form = JSON_FORM_TEXT, MUST},
    {.name = "status", .form = JSON_FORM_UINT, MUST},
    {.name = "detail", .form = JSON_FORM_TEXT, MUST, .about = "What was wrong, where, and what to do."},
    {.name = "code", .form = JSON_FORM_TEXT, MUST, .about = "HM_EINVAL, ..."},
    {.name = "instance", .form = JSON_FORM_TEXT, .about = "Path of the request."},
};
const struct api_fields api_answer_problem = {.name = "Problem", ROWS(problem)};

static const struct api_field receipt[] = {
    {.name = "tx", .form = JSON_FORM_DIGEST, MUST},
    {.name = "height", .form = JSON_FORM_UINT, MUST, .about = "Block it is in; durable."},
    {.name = "block_hash", .form = JSON_FORM_DIGEST, MUST},
    {.name = "state_root", .form = JSON_FORM_DIGEST, MUST, .about = "After that block."},
    {.name = "fee", .form = JSON_FORM_MONEY, MUST, .about = "Burnt."},
    {.name = "created", .form = JSON_FORM_DIGEST, MUST_LIST, .about = "Ids of assets and leases made, in order of the operations."},
};
const struct api_fields api_answer_receipt = {.name = "Receipt", ROWS(receipt)};

/* --- the node */
static const struct api_field cluster_link[] = {
    {.name = "node", .form = JSON_FORM_HEX, MUST, .about = "Its node id."},
    {.name = "packets", .form = JSON_FORM_UINT, MUST},
    {.name = "lost", .form = JSON_FORM_UINT, MUST},
    {.name = "overtaken", .form = JSON_FORM_UINT, MUST, .about = "By packets that were sent later."},
    {.name = "duplicated", .form = JSON_FORM_UINT, MUST},
    {.name = "bad", .form = JSON_FORM_BOOL, MUST, .about = "Too many of those: the log says so."},
};
static const struct api_fields link_fields = {.name = "ClusterLink", ROWS(cluster_link)};

static const struct api_field cluster[] = {
    {.name = "version", .form = JSON_FORM_TEXT, MUST_NULL, .about = "Of the engine; null: it has not been there yet."},
    {.name = "validators", .form = JSON_FORM_UINT, MUST, .about = "That may vote now."},
    {.name = "peers", .form = JSON_FORM_UINT, MUST, .about = "Other nodes that are connected."},
    {.name = "starts", .form = JSON_FORM_UINT, MUST, .about = "Of the engine since the node's own."},
    {.name = "pending", .form = JSON_FORM_UINT, MUST, .about = "Transactions handed to the engine that are in no block yet."},
    {.name = "reachable", .form = JSON_FORM_BOOL, MUST, .about = "The engine answers."},
    {.name = "catching_up", .form = JSON_FORM_BOOL, MUST},
    {.name = "validator", .form = JSON_FORM_BOOL, MUST, .about = "This node is one."},
    {.name = "quorum", .form = JSON_FORM_BOOL, MUST, .about = "More than two thirds of the votes may be in reach; without them no block can be made."},
    {.name = "votes_percent", .form = JSON_FORM_UINT, MUST, .about = "Of all votes, at most so many are in reach: this node's, and those of the strongest validators that its peers may be."},
    {.name = "block_age_ms", .form = JSON_FORM_UINT, MUST, .about = "Since the last block, by this machine's clock."},
    {.name = "round", .form = JSON_FORM_UINT, MUST, .about = "In which the block before the last was decided; 0: the first."},
    {.name = "absent", .form = JSON_FORM_UINT, MUST, .about = "Validators without a vote for it."},
    {.name = "nil", .form = JSON_FORM_UINT, MUST, .about = "Validators that voted for no block instead."},
    {.name = "links", .form = JSON_FORM_OBJECT, MUST_LIST, .fields = &link_fields, .about = "What came of packets to the peers and back in the last six seconds, while there are blocks."},
};
static const struct api_fields cluster_fields = {.name = "Cluster", ROWS(cluster)};

static const struct api_field status[] = {
    {.name = "version", .form = JSON_FORM_TEXT, MUST},
    {.name = "chain_id", .form = JSON_FORM_TEXT, MUST},
    {.name = "engine", .form = JSON_FORM_TEXT, MUST},
    {.name = "node_account", .form = JSON_FORM_TEXT, MUST_NULL},
    {.name = "data_dir", .form = JSON_FORM_TEXT, MUST_NULL},
    {.name = "listen", .form = JSON_FORM_TEXT, MUST, .about = "\"\": unix socket only."},
    {.name = "height", .form = JSON_FORM_UINT, MUST},
    {.name = "time_ms", .form = JSON_FORM_UINT, MUST},
    {.name = "base_fee", .form = JSON_FORM_MONEY, MUST, .about = "HYPER per weight unit."},
    {.name = "started_ms", .form = JSON_FORM_UINT, MUST},
    {.name = "block_hash", .form = JSON_FORM_DIGEST, MUST},
    {.name = "state_root", .form = JSON_FORM_DIGEST, MUST},
    {.name = "ready", .form = JSON_FORM_BOOL, MUST},
    {.name = "not_ready", .form = JSON_FORM_TEXT, MUST_NULL, .about = "Why."},
    {.name = "queued", .form = JSON_FORM_UINT, MUST, .about = "Transactions waiting for a block."},
    {.name = "plot_bytes", .form = JSON_FORM_UINT, MUST},
    {.name = "cluster", .form = JSON_FORM_OBJECT, MUST_NULL, .fields = &cluster_fields, .about = "Of a node that orders its blocks together with others."},
    {.name = "sandbox", .form = JSON_FORM_TEXT, MUST_NULL},
    {.name = "warnings", .form = JSON_FORM_TEXT, MUST_LIST},
};
const struct api_fields api_answer_status = {.name = "Status", ROWS(status)};

static const struct api_field scan_item[] = {
    {.name = "kind", .form = JSON_FORM_TEXT, MUST},
    {.name = "hardware_id", .form = JSON_FORM_TEXT, MUST},
    {.name = "title", .form = JSON_FORM_TEXT, MUST},
    {.name = "unit", .form = JSON_FORM_TEXT, MUST},
    {.name = "capacity", .form = JSON_FORM_UINT, MUST},
    {.name = "attributes", .form = JSON_FORM_PAIRS, MUST},
    {.name = "live", .form = JSON_FORM_PAIRS, MUST},
    {.name = "health", .form = JSON_FORM_TEXT, MUST_NULL, .about = "What ails it; null: healthy."},
    {.name = "asset", .form = JSON_FORM_ASSET, MUST_NULL, .about = "When it is registered."},
};
static const struct api_fields scan_item_fields = {.name = "ScanItem", ROWS(scan_item)};
static const struct api_field scan[] = {
    {.name = "items", .form = JSON_FORM_OBJECT, MUST_LIST, .fields = &scan_item_fields},
    {.name = "notes", .form = JSON_FORM_TEXT, MUST_LIST},
};
const struct api_fields api_answer_scan = {.name = "Scan", ROWS(scan)};

static const struct api_field check[] = {
    {.name = "name", .form = JSON_FORM_TEXT, MUST},
    {.name = "level", .form = JSON_FORM_TEXT, MUST, .about = "ok, note, warning or error."},
    {.name = "text", .form = JSON_FORM_TEXT, MUST},
    {.name = "advice", .form = JSON_FORM_TEXT, MUST_NULL},
};
static const struct api_fields check_fields = {.name = "Check", ROWS(check)};
static const struct api_field doctor[] = {{.name = "items", .form = JSON_FORM_OBJECT, MUST_LIST, .fields = &check_fields}};
const struct api_fields api_answer_doctor = {.name = "Doctor", ROWS(doctor)};

/* --- accounts */
static const struct api_field account[] = {
    {.name = "name", .form = JSON_FORM_TEXT, MUST_NULL, .about = "In this node's keystore; null: not there."},
    {.name = "id", .form = JSON_FORM_ACCOUNT, MUST},
};
const struct api_fields api_answer_account = {.name = "AccountDetail", ROWS(account), MESSAGE(account)};
LIST_OF_FIELDS(accounts, "AccountList", api_answer_account);

static const struct api_field signing[] = {
    {.name = "chain_id", .form = JSON_FORM_TEXT, MUST},
    {.name = "account", .form = JSON_FORM_ACCOUNT, MUST},
    {.name = "presence", .form = JSON_FORM_HEX, MUST, .about = "The account's presence, which the next transaction must name."},
    {.name = "anchor_height", .form = JSON_FORM_UINT, MUST},
    {.name = "anchor_hash", .form = JSON_FORM_HEX, MUST},
    {.name = "timestamp_ms", .form = JSON_FORM_UINT, MUST},
    {.name = "work_bits", .form = JSON_FORM_UINT, MUST, .about = "Leading zero bits that the digest needs."},
    {.name = "base_fee", .form = JSON_FORM_MONEY, MUST},
};
const struct api_fields api_answer_signing = {.name = "Signing", ROWS(signing)};

/* --- assets and leases */
static const struct api_field registered[] = {
    {.name = "asset", .form = JSON_FORM_ASSET, MUST},
    {.name = "receipt", .form = JSON_FORM_OBJECT, MUST, .fields = &api_answer_receipt},
};
const struct api_fields api_answer_registered = {.name = "Registered", ROWS(registered)};
LIST_OF_MESSAGES(assets, "AssetList", asset);

static const struct api_field asset[] = {
    {.name = "address", .form = JSON_FORM_TEXT, MUST, .about = "IPv6 address of the asset in the mesh."},
};
const struct api_fields api_answer_asset = {.name = "AssetDetail", ROWS(asset), MESSAGE(asset)};
LIST_OF_MESSAGES(history, "AssetHistory", asset_event);

static const struct api_field allocated[] = {
    {.name = "lease", .form = JSON_FORM_LEASE, MUST},
    {.name = "receipt", .form = JSON_FORM_OBJECT, MUST, .fields = &api_answer_receipt},
};
const struct api_fields api_answer_allocated = {.name = "Allocated", ROWS(allocated)};
const struct api_fields api_answer_lease = {.name = "Lease", MESSAGE(lease)};
LIST_OF_MESSAGES(leases, "LeaseList", lease);

static const struct api_field privacy[] = {
    {.name = "asset", .form = JSON_FORM_ASSET, MUST},
    {.name = "owner", .form = JSON_FORM_ACCOUNT, MUST},
    {.name = "privacy", .form = JSON_FORM_OBJECT, MUST_NULL, MESSAGE(privacy)},
};
static const struct api_fields privacy_fields = {.name = "PrivacySetting", ROWS(privacy)};
LIST_OF_FIELDS(privacies, "PrivacyList", privacy_fields);

/* --- the chain */
static const struct api_field validation[] = {
    {.name = "valid", .form = JSON_FORM_BOOL, MUST, .about = "All four are."},
    {.name = "proofs", .form = JSON_FORM_OBJECT, MUST_LIST, MESSAGE(proof_report), .about = "space, stake, work, time"},
};
const struct api_fields api_answer_validation = {.name = "Validation", ROWS(validation)};

static const struct api_field consensus[] = {
    {.name = "engine", .form = JSON_FORM_TEXT, MUST},
    {.name = "chain_id", .form = JSON_FORM_TEXT, MUST},
    {.name = "height", .form = JSON_FORM_UINT, MUST},
    {.name = "time_ms", .form = JSON_FORM_UINT, MUST},
    {.name = "block_hash", .form = JSON_FORM_DIGEST, MUST},
    {.name = "state_root", .form = JSON_FORM_DIGEST, MUST},
    {.name = "base_fee", .form = JSON_FORM_MONEY, MUST},
    {.name = "queued", .form = JSON_FORM_UINT, MUST},
    {.name = "params", .form = JSON_FORM_OBJECT, MUST_NULL, MESSAGE(params)},
    {.name = "supply", .form = JSON_FORM_OBJECT, MUST_NULL, MESSAGE(supply)},
};
const struct api_fields api_answer_consensus = {.name = "Consensus", ROWS(consensus)};

#define BLOCK_ROWS \
    {.name = "height", .form = JSON_FORM_UINT, MUST}, \
    {.name = "hash", .form = JSON_FORM_HEX, MUST}, \
    {.name = "time_ms", .form = JSON_FORM_UINT, MUST}, \
    {.name = "chain_id", .form = JSON_FORM_TEXT, MUST}, \
    {.name = "previous_hash", .form = JSON_FORM_HEX, MUST}, \
    {.name = "state_root", .form = JSON_FORM_HEX, MUST, .about = "After this block."}, \
    {.name = "data_root", .form = JSON_FORM_HEX, MUST}, \
    {.name = "base_fee", .form = JSON_FORM_MONEY, MUST}, \
    {.name = "weight", .form = JSON_FORM_UINT, MUST}, \
    {.name = "tx_count", .form = JSON_FORM_UINT, MUST}, \
    {.name = "expired", .form = JSON_FORM_LEASE, MUST_LIST, .about = "Leases that the block's time ended."}

static const struct api_field block_summary[] = {BLOCK_ROWS};
static const struct api_fields block_summary_fields = {.name = "BlockSummary", ROWS(block_summary)};
LIST_OF_FIELDS(blocks, "BlockList", block_summary_fields);
static const struct api_field block[] = {
    BLOCK_ROWS,
    {.name = "engine", .form = JSON_FORM_OBJECT, MUST_NULL, MESSAGE(engine_facts), .about = "What a cluster's engine said of it. absent, nil: a bit a validator of the block before, in the engine's order (power, then address), bit 0 first. null: one node's chain."},
    {.name = "txs", .form = JSON_FORM_DIGEST, MUST_LIST},
};
const struct api_fields api_answer_block = {.name = "BlockDetail", ROWS(block)};

static const struct api_field tx[] = {
    {.name = "digest", .form = JSON_FORM_DIGEST, MUST},
    {.name = "height", .form = JSON_FORM_UINT, MUST},
    {.name = "account", .form = JSON_FORM_ACCOUNT, MUST},
    {.name = "chain_id", .form = JSON_FORM_TEXT, MUST},
    {.name = "code", .form = JSON_FORM_TEXT, MUST, .about = "ok, or why it was refused: HM_EFUNDS, ..."},
    {.name = "text", .form = JSON_FORM_TEXT, MUST, .about = "The refusal's sentence."},
    {.name = "fee", .form = JSON_FORM_MONEY, MUST},
    {.name = "fee_limit", .form = JSON_FORM_MONEY, MUST},
    {.name = "timestamp_ms", .form = JSON_FORM_UINT, MUST},
    {.name = "presence", .form = JSON_FORM_HEX, MUST},
    {.name = "session_key", .form = JSON_FORM_HEX, MUST, .about = "\"\": signed by the root keys."},
    {.name = "anchor_height", .form = JSON_FORM_UINT, MUST},
    {.name = "anchor_hash", .form = JSON_FORM_HEX, MUST},
    {.name = "failed_op", .form = JSON_FORM_UINT, .about = "Index of the operation that was refused."},
    {.name = "created", .form = JSON_FORM_HEX, MUST_LIST},
    {.name = "ops", .form = JSON_FORM_OBJECT, MUST_LIST, MESSAGE(operation)},
    {.name = "facts", .form = JSON_FORM_OBJECT, MUST_NULL, MESSAGE(tx_facts), .about = "What the verifiers were told."},
};
const struct api_fields api_answer_tx = {.name = "TxDetail", ROWS(tx)};

static const struct api_field state[] = {
    {.name = "key", .form = JSON_FORM_HEX, MUST},
    {.name = "value", .form = JSON_FORM_BASE64, MUST_NULL, .about = "null: absent, and the proof shows it."},
    {.name = "proof", .form = JSON_FORM_BASE64, MUST},
    {.name = "root", .form = JSON_FORM_DIGEST, MUST},
    {.name = "height", .form = JSON_FORM_UINT, MUST},
};
const struct api_fields api_answer_state = {.name = "StateProof", ROWS(state)};
const struct api_fields api_answer_genesis = {.name = "Genesis", MESSAGE(genesis)};

/* --- jobs and images */
const struct api_fields api_answer_job = {.name = "JobRecord", MESSAGE(job_record)};
LIST_OF_MESSAGES(jobs, "JobList", job_record);

static const struct api_field job_receipt[] = {
    {.name = "tx", .form = JSON_FORM_HEX, MUST},
    {.name = "height", .form = JSON_FORM_UINT, MUST},
    {.name = "block_hash", .form = JSON_FORM_HEX, MUST},
    {.name = "state_root", .form = JSON_FORM_HEX, MUST},
    {.name = "fee", .form = JSON_FORM_MONEY, MUST},
};
static const struct api_fields job_receipt_fields = {.name = "JobReceipt", ROWS(job_receipt)};
static const struct api_field job_receipts[] = {
    {.name = "allocate", .form = JSON_FORM_OBJECT, .fields = &job_receipt_fields},
    {.name = "settle", .form = JSON_FORM_OBJECT, .fields = &job_receipt_fields},
};
static const struct api_fields job_receipts_fields = {.name = "JobReceipts", ROWS(job_receipts)};
static const struct api_field job_detail[] = {
    {.name = "lease", .form = JSON_FORM_OBJECT, MUST_NULL, MESSAGE(lease)},
    {.name = "lease_id", .form = JSON_FORM_LEASE, MUST},
    {.name = "receipts", .form = JSON_FORM_OBJECT, MUST, .fields = &job_receipts_fields},
};
const struct api_fields api_answer_job_detail = {.name = "JobDetail", ROWS(job_detail), MESSAGE(job_record)};

static const struct api_field image[] = {
    {.name = "name", .form = JSON_FORM_TEXT, MUST},
    {.name = "digest", .form = JSON_FORM_TEXT, MUST},
    {.name = "bytes", .form = JSON_FORM_UINT, MUST, .about = "Of its layers, manifest and configuration as they came."},
    {.name = "stored_bytes", .form = JSON_FORM_UINT, MUST, .about = "What taking it in added to the disk; what other images have is kept once."},
    {.name = "created_ms", .form = JSON_FORM_UINT, MUST},
    {.name = "layers", .form = JSON_FORM_UINT, MUST},
};
const struct api_fields api_answer_image = {.name = "Image", ROWS(image)};
LIST_OF_FIELDS(images, "ImageList", api_answer_image);
/* clang-format on */
