/* Snapshots in tests: a chain with one of everything that an engine has taken over, its snapshot in memory, and a second
 * ledger that takes it. */
#ifndef SNAPSHOT_CHECK_H
#define SNAPSHOT_CHECK_H

#include "cluster_fixture.h"
#include "ledger_check.h"
#include "ledger_kv_ops.h"
#include "ledger_private.h"
#include "ledger_snapshot_form.h"

#define CHUNKS_MAX 256

struct pieces {
    struct hm_buf metadata;
    struct hm_buf chunks[CHUNKS_MAX];
    uint32_t count;
    uint32_t parts;
    struct ledger_info info;
};

extern const struct ledger_snapshot_sizes snap_small; /* several parts, several groups of them */
extern struct pieces whole; /* of the world, made once a test */
extern struct store *twin_store;
extern struct ledger *twin;
extern struct hm_slice genesis; /* of fix, and in its arena */

int pieces_make(struct ledger_view *view, const struct ledger_snapshot_sizes *sizes,
                struct pieces *out, struct hm_error *error);
void pieces_release(struct pieces *pieces);
void pieces_of(struct ledger *ledger, struct pieces *out); /* small */

/* For cmocka: the world, its snapshot, an empty twin. few: a chain that keeps twelve anchors. */
int snap_setup_with(void (*params)(Hypermesh__Params *params));
int snap_setup(void **state);
int snap_setup_few(void **state);
int snap_teardown(void **state);
void twin_open(void);
void twin_close(void);

/* Metadata offered to the twin, which expects the world's. */
int snap_begin_with(struct hm_slice metadata, struct ledger_restore **out, struct hm_error *error);
struct ledger_restore *snap_begin(void);
void snap_take(struct ledger_restore *restore, uint32_t index);
void twin_restore(void); /* all of it, the state in an order of its own */

/* The two ledgers are the same. */
void same_info(void);
void same_table(unsigned table);
void audited(void); /* the twin's totals add up */
/* The same block on both, with the same outcome. */
void both(const struct hm_slice *items, size_t count);
void both_do(enum fixture_role who, Hypermesh__Operation *op); /* a good one */
void go_on(void); /* work of every kind on both, past the end of what was due */

#endif
