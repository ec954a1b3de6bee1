/* What the store's tests share: a folder of their own, and short names for the calls they repeat. */
#ifndef HM_STORE_TEST_H
#define HM_STORE_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store.h"

enum { STORE_TEST_A, STORE_TEST_B, STORE_TEST_TABLES };

static const char *const store_test_names[] = {"table_a", "table_b"};
static const struct store_options store_test_options = {
    .tables = store_test_names,
    .table_count = STORE_TEST_TABLES,
};

/* A new empty folder; free with hm_free after store_test_folder_remove. */
static inline char *store_test_folder(void)
{
    const char *base = getenv("TMPDIR");
    char *path = hm_asprintf("%s/store-test-XXXXXX", base ? base : "/tmp");

    assert_non_null(path);
    assert_non_null(mkdtemp(path));
    return path;
}

static inline void store_test_folder_remove(char *path)
{
    assert_int_equal(hm_remove_tree(path, NULL), 0);
    hm_free(path);
}

static inline void store_test_put(struct store_txn *txn, unsigned table, const char *key,
                                  const char *value)
{
    struct hm_error error = {0};

    if (store_put(txn, table, hm_slice_str(key), hm_slice_str(value), &error))
        fail_msg("put %s: %s", key, error.text);
}

/* value NULL: the key must be missing. */
static inline void store_test_expect(struct store_txn *txn, unsigned table, const char *key,
                                     const char *value)
{
    struct hm_slice got = {0};
    int rc = store_get(txn, table, hm_slice_str(key), &got);

    if (!value) {
        assert_int_equal(rc, HM_ENOTFOUND);
        return;
    }
    assert_int_equal(rc, 0);
    assert_int_equal(got.len, strlen(value));
    assert_memory_equal(got.data, value, got.len);
}

static inline struct store_txn *store_test_read(struct store *store)
{
    struct store_txn *txn = NULL;
    struct hm_error error = {0};

    if (store_begin_read(store, &txn, &error))
        fail_msg("begin_read: %s", error.text);
    return txn;
}

static inline struct store_txn *store_test_write(struct store *store)
{
    struct store_txn *txn = NULL;
    struct hm_error error = {0};

    if (store_begin_write(store, &txn, &error))
        fail_msg("begin_write: %s", error.text);
    return txn;
}

static inline void store_test_commit(struct store_txn *txn)
{
    struct hm_error error = {0};

    if (store_commit(txn, &error))
        fail_msg("commit: %s", error.text);
}

#endif
