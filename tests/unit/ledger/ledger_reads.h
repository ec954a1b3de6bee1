/* A chain with one of everything on it, and every question that can be asked of it. */
#ifndef LEDGER_READS_H
#define LEDGER_READS_H

#include "ledger_check.h"

/* Builds it on `fix`, which fixture_init has made. */
void reads_world(void);

struct read {
    const char *name;
    int (*ask)(struct ledger_view *view, struct hm_arena *arena, struct hm_error *error);
};
/* All of them find something on the chain of reads_world. */
extern const struct read reads[];
extern const size_t reads_count;

/* Shorthands of tests that change tables behind the ledger's back; value.data NULL deletes. */
void reads_store_put(unsigned table, struct hm_slice key, struct hm_slice value);

#endif
