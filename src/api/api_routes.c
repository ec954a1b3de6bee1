/* Every route: one row. Rows with fixed paths stand before rows whose parameter would fit the
 * same path. */
#include "api_handlers.h"

#define TEXT_PLAIN  "text/plain; charset=utf-8"
#define TEXT_METRIC "text/plain; version=0.0.4; charset=utf-8"
#define NO_BODY     API_BODY_NONE, NULL

/* clang-format off */
const struct api_route api_routes[] = {
    {"GET", "/livez", "livez", api_handle_livez, 200, NO_BODY, NULL, NULL, TEXT_PLAIN, "The process answers.", true},
    {"GET", "/readyz", "readyz", api_handle_readyz, 200, NO_BODY, NULL, NULL, TEXT_PLAIN, "The node can act.", true},
    {"GET", "/openapi.json", "openapi", api_handle_openapi, 200, NO_BODY, NULL, NULL, "application/json", "This document.", false},
    {"GET", "/metrics", "metrics", api_handle_metrics, 200, NO_BODY, NULL, NULL, TEXT_METRIC, "Figures for Prometheus.", false},
    {"GET", "/node", "node_status", api_handle_node, 200, NO_BODY, NULL, &api_answer_status, NULL, "State of the node.", false},
    {"POST", "/node/stop", "node_stop", api_handle_node_stop, 202, NO_BODY, NULL, &api_answer_empty, NULL, "Ends the node in order: jobs are cancelled and settled.", false},
    {"GET", "/node/scan", "node_scan", api_handle_scan, 200, NO_BODY, NULL, &api_answer_scan, NULL, "This machine's hardware as it is now.", false},
    {"GET", "/node/doctor", "node_doctor", api_handle_doctor, 200, NO_BODY, NULL, &api_answer_doctor, NULL, "What works on this machine and what to do about the rest.", false},

    {"GET", "/accounts", "account_list", api_handle_accounts, 200, NO_BODY, NULL, &api_answer_accounts, NULL, "Accounts of the node's keystore.", false},
    {"POST", "/accounts", "account_create", api_handle_account_create, 201, API_BODY_JSON, &api_body_account, NULL, &api_answer_account, NULL, "Makes keys and keeps them in the keystore.", false},
    {"GET", "/accounts/{account}", "account_show", api_handle_account, 200, NO_BODY, NULL, &api_answer_account, NULL, "One account, by name or id.", false},
    {"GET", "/accounts/{account}/signing", "account_signing", api_handle_signing, 200, NO_BODY, NULL, &api_answer_signing, NULL, "What a client needs to sign a transaction by itself.", false},
    {"POST", "/accounts/{account}/transfer", "account_transfer", api_handle_transfer, 200, API_BODY_JSON, &api_body_transfer, NULL, &api_answer_receipt, NULL, "Sends tokens.", false},
    {"POST", "/accounts/{account}/bond", "account_bond", api_handle_bond, 200, API_BODY_JSON, &api_body_amount, NULL, &api_answer_receipt, NULL, "Bonds HYPER.", false},
    {"POST", "/accounts/{account}/unbond", "account_unbond", api_handle_unbond, 200, API_BODY_JSON, &api_body_amount, NULL, &api_answer_receipt, NULL, "Frees bonded HYPER after the chain's delay.", false},
    {"POST", "/accounts/{account}/sessions/revoke", "session_revoke", api_handle_session_revoke, 200, API_BODY_JSON, &api_body_session_key, NULL, &api_answer_receipt, NULL, "Ends a session key.", false},

    {"POST", "/assets/register", "asset_register", api_handle_asset_register, 201, API_BODY_JSON, &api_body_register, NULL, &api_answer_registered, NULL, "Puts an asset on the ledger.", false},
    {"GET", "/assets", "asset_list", api_handle_assets, 200, NO_BODY, &api_query_assets, &api_answer_assets, NULL, "Assets of the mesh.", false},
    {"GET", "/assets/{asset}", "asset_show", api_handle_asset, 200, NO_BODY, NULL, &api_answer_asset, NULL, "One asset.", false},
    {"PUT", "/assets/{asset}", "asset_update", api_handle_asset_update, 200, API_BODY_JSON, &api_body_update, NULL, &api_answer_receipt, NULL, "Changes capacity, price or attributes.", false},
    {"DELETE", "/assets/{asset}", "asset_retire", api_handle_asset_retire, 200, NO_BODY, &api_query_account, &api_answer_receipt, NULL, "Takes an asset out of use.", false},
    {"GET", "/assets/{asset}/history", "asset_history", api_handle_asset_history, 200, NO_BODY, &api_query_page, &api_answer_history, NULL, "What happened to an asset, oldest first.", false},
    {"POST", "/assets/{asset}/transfer", "asset_transfer", api_handle_asset_transfer, 200, API_BODY_JSON, &api_body_asset_transfer, NULL, &api_answer_receipt, NULL, "Gives an asset to another owner.", false},
    {"PUT", "/assets/{asset}/allocate", "asset_allocate", api_handle_allocate, 200, API_BODY_JSON, &api_body_allocate, NULL, &api_answer_allocated, NULL, "Leases a share of an asset.", false},
    {"DELETE", "/assets/{asset}/release", "asset_release", api_handle_release, 200, NO_BODY, &api_query_release, &api_answer_receipt, NULL, "Ends a lease; the time used is paid, the rest comes back.", false},

    {"GET", "/leases", "lease_list", api_handle_leases, 200, NO_BODY, &api_query_leases, &api_answer_leases, NULL, "Leases.", false},
    {"GET", "/leases/{lease}", "lease_show", api_handle_lease, 200, NO_BODY, NULL, &api_answer_lease, NULL, "One lease.", false},
    {"POST", "/leases/{lease}/renew", "lease_renew", api_handle_renew, 200, API_BODY_JSON, &api_body_renew, NULL, &api_answer_receipt, NULL, "Makes a lease last longer.", false},

    {"POST", "/consensus/validate", "consensus_validate", api_handle_validate, 200, API_BODY_JSON, &api_body_validate, NULL, &api_answer_validation, NULL, "Checks the four proofs of a transaction and says what each shows.", false},
    {"GET", "/consensus/status", "consensus_status", api_handle_consensus, 200, NO_BODY, NULL, &api_answer_consensus, NULL, "Where the chain stands.", false},

    {"PUT", "/privacy/level", "privacy_set", api_handle_privacy_set, 200, API_BODY_JSON, &api_body_privacy_level, NULL, &api_answer_receipt, NULL, "Who may lease an asset, and how much of it.", false},
    {"GET", "/privacy/settings", "privacy_settings", api_handle_privacy, 200, NO_BODY, &api_query_privacy, &api_answer_privacies, NULL, "Who may lease what: all assets, or one.", false},

    {"POST", "/jobs", "job_create", api_handle_job_create, 201, API_BODY_JOB, NULL, &api_query_account, &api_answer_job, NULL, "Leases what the job needs and runs it.", false},
    {"GET", "/jobs", "job_list", api_handle_jobs, 200, NO_BODY, &api_query_page, &api_answer_jobs, NULL, "Jobs, newest first.", false},
    {"GET", "/jobs/{job}", "job_show", api_handle_job, 200, NO_BODY, NULL, &api_answer_job_detail, NULL, "One job (id or latest) with its lease and receipts.", false},
    {"DELETE", "/jobs/{job}", "job_cancel", api_handle_job_cancel, 202, NO_BODY, NULL, &api_answer_empty, NULL, "Cancels a job; what was used is settled.", false},
    {"GET", "/jobs/{job}/logs", "job_logs", api_handle_job_logs, 200, NO_BODY, &api_query_logs, NULL, "application/octet-stream", "Output of a job, as a stream.", false},
    {"GET", "/jobs/{job}/wait", "job_wait", api_handle_job_wait, 200, NO_BODY, &api_query_wait, &api_answer_job, NULL, "The job when it is done, or as it is at the timeout.", false},

    {"GET", "/images", "image_list", api_handle_images, 200, NO_BODY, NULL, &api_answer_images, NULL, "Container images.", false},
    {"POST", "/images", "image_import", api_handle_image_import, 201, API_BODY_JSON, &api_body_image, NULL, &api_answer_image, NULL, "Takes in an OCI layout or a docker-save archive.", false},
    {"POST", "/images/base", "image_base", api_handle_image_base, 201, NO_BODY, NULL, &api_answer_image, NULL, "Makes the busybox image from this machine's static busybox.", false},
    {"DELETE", "/images/{image}", "image_remove", api_handle_image_remove, 200, NO_BODY, NULL, &api_answer_empty, NULL, "Removes an image.", false},

    {"GET", "/blocks", "block_list", api_handle_blocks, 200, NO_BODY, &api_query_blocks, &api_answer_blocks, NULL, "Blocks, newest first.", false},
    {"GET", "/blocks/{height}", "block_show", api_handle_block, 200, NO_BODY, NULL, &api_answer_block, NULL, "One block (height or latest).", false},
    {"GET", "/txs/{digest}", "tx_show", api_handle_tx, 200, NO_BODY, NULL, &api_answer_tx, NULL, "One transaction and how it ended.", false},
    {"POST", "/txs", "tx_submit", api_handle_tx_submit, 200, API_BODY_BYTES, NULL, NULL, &api_answer_receipt, NULL, "Takes a packed transaction that the client signed.", false},
    {"GET", "/state/{key}", "state_proof", api_handle_state, 200, NO_BODY, NULL, &api_answer_state, NULL, "A value of the ledger with its proof of existence or absence.", false},
    {"POST", "/chain/verify", "chain_verify", api_handle_verify, 200, NO_BODY, NULL, NULL, "application/x-ndjson", "Replays the chain from genesis; a line of progress at a time, the last one says ok or is a problem.", false},
    {"GET", "/genesis", "genesis", api_handle_genesis, 200, NO_BODY, NULL, &api_answer_genesis, NULL, "What the chain began with.", false},
};
/* clang-format on */
const size_t api_route_count = HM_COUNT_OF(api_routes);
_Static_assert(HM_COUNT_OF(api_routes) < API_METRIC_ROUTES_MAX,
               "one place is for requests without a route");
