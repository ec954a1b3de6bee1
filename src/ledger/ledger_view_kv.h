/* What views of the key-value store share. */
#ifndef HM_LEDGER_VIEW_KV_H
#define HM_LEDGER_VIEW_KV_H

#include "ledger_kv_form.h"
#include "ledger_view.h"

/* 0, or HM_ERANGE: the revision is before what is kept. */
int ledger_view_kv_since(const struct ledger_kv_totals *totals, uint64_t revision,
                         struct hm_error *error);
int ledger_view_kv_failed(int rc, struct hm_error *error);
/* The change (revision, sub); HM_ECORRUPT when there is none. What it borrows is valid as long as the view. */
int ledger_view_kv_event(struct ledger_view *view, uint64_t revision, uint32_t sub,
                         struct ledger_kv_event *out, struct hm_error *error);
/* The last change of the key whose line in the past is before limit. */
int ledger_view_kv_before(struct ledger_view *view, struct store_cursor *past,
                          struct ledger_kv_past_key *key, struct hm_slice limit,
                          struct ledger_kv_event *out, bool *found, struct hm_error *error);

#endif
