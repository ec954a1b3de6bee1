/* ledger_spoil LEDGER ACCOUNT: what a disk or a memory that errs does to a node: one number of an account (its transactions so far)
 * is another one in the state's table, and nothing else knows. The next block that touches the account comes to a root of its
 * own. LEDGER is the folder of a node that does not run; ACCOUNT "hm1...". */
#include <stdio.h>
#include <stdlib.h>

#include "ledger.h"

#define SPOIL_BY 1000

static int spoil_value(struct hm_slice value, struct hm_buf *out, struct hm_error *error)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    Hypermesh__Account *account;

    hm_arena_init(&arena, 0);
    int rc = WIRE_UNPACK(hypermesh__account, value, 1 << 20, &arena, &account, error);
    if (rc != 0)
        return rc;
    account->txs += SPOIL_BY;
    return wire_pack(&account->base, out);
}

static int spoil(struct store *store, const uint8_t id[WIRE_ID_BYTES], struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf changed = {0};
    uint8_t key[1 + WIRE_ID_BYTES] = {LEDGER_KEY_ACCOUNT};
    struct store_txn *txn;
    struct hm_slice value;

    memcpy(key + 1, id, WIRE_ID_BYTES);
    int rc = store_begin_write(store, &txn, error);
    if (rc != 0)
        return rc;
    rc = store_get(txn, LEDGER_TABLE_STATE, hm_slice_of(key, sizeof(key)), &value);
    if (rc != 0)
        rc = hm_fail(error, rc, "the account has no state");
    if (rc == 0)
        rc = spoil_value(value, &changed, error);
    if (rc == 0)
        rc = store_put(txn, LEDGER_TABLE_STATE, hm_slice_of(key, sizeof(key)),
                       hm_buf_slice(&changed), error);
    if (rc == 0)
        return store_commit(txn, error);
    store_abort(txn);
    return rc;
}

int main(int argc, char **argv)
{
    const struct store_options options = {.tables = ledger_table_names,
                                          .table_count = LEDGER_TABLE_COUNT};
    uint8_t id[WIRE_ID_BYTES];
    struct hm_error error = {0};
    struct store *store = NULL;

    if (argc != 3) {
        fprintf(stderr, "usage: ledger_spoil LEDGER ACCOUNT\n");
        return 2;
    }
    int rc = wire_account_parse(argv[2], id, &error);
    if (rc == 0)
        rc = store_open_lmdb(argv[1], &options, &store, &error);
    if (rc == 0)
        rc = spoil(store, id, &error);
    store_close(store);
    if (rc != 0)
        fprintf(stderr, "ledger_spoil: %s\n", error.text);
    return rc == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
