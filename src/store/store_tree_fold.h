/* Brings recent changes of the tree into its two tables, and runs into and out of the store. Private. */
#ifndef HM_STORE_TREE_FOLD_H
#define HM_STORE_TREE_FOLD_H

#include "store_tree_view.h"

#define STORE_TREE_FOLD_WHOLE ((uint64_t)1 << 32) /* the key space, by the first 32 bits */

/* How many changed leaves may wait above a tree of so many, more or less. */
uint64_t store_tree_fold_room(uint64_t leaves);
/* Folds the next share of the key space (of STORE_TREE_FOLD_WHOLE) and drops the runs whose every change has
 * been folded. */
int store_tree_fold(struct store_tree_view *view, uint64_t share);
/* Writes the newest run, view->runs[run_count - 1], which owns its bytes, merged with those before it that
 * are no larger: so there are few, each about twice the next. */
int store_tree_run_save(struct store_tree_view *view);

#endif
