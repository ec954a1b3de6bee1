/* Acts that no thread waits for: the API's loops line them up, sign what has come together at the end of a turn, and
 * are told when it is durable. Only what the ledger hardly ever refuses and what finds everything in place goes this
 * way; the rest, and what must be tried again, takes the one with a thread. */
#include "node_act.h"

#include <stdio.h>

struct node_later {
    struct node_act act; /* first */
    struct node_account *account;
    struct api_later *later;
};

static struct node_later *node_later_of(struct node_act *act)
{
    return (struct node_later *)(void *)act;
}

static void node_later_leads(struct node_act *act)
{
    struct api_later *later = node_later_of(act)->later;

    later->lead(later);
}

static void node_later_ended(struct node_act *act)
{
    struct api_later *later = node_later_of(act)->later;

    later->done(later);
}

/* The account, when all that it takes to sign for it is there: nothing to wait for. */
static struct node_account *node_later_account(struct node *node, const char *name)
{
    struct node_account *account = node_need_ready(node, NULL) == 0 ? node_account_find(node, name)
                                                                    : NULL;

    return account != NULL && node_session_is_there(node, account) &&
                   node_session_is_there(node, node->wallet.operator)
               ? account
               : NULL;
}

static int node_submit_later(void *ctx, const char *name, Hypermesh__Operation *const *ops,
                             size_t count, struct api_later *later, bool *begun,
                             struct hm_error *error)
{
    struct node_account *account = node_later_account(ctx, name);
    struct node_later *mine;

    if (account == NULL)
        return 0;
    mine = hm_malloc(sizeof(*mine));
    if (mine == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for an act");
    node_act_init(&mine->act, false, ops, count);
    if (!mine->act.shares) {
        hm_free(mine);
        return 0;
    }
    mine->act.leads = node_later_leads;
    mine->act.ended = node_later_ended;
    mine->account = account;
    mine->later = later;
    later->act = mine;
    *begun = true;
    node_act_begin(ctx, account, &mine->act);
    return 0;
}

static void node_later_lead(void *ctx, struct api_later *later)
{
    const struct node_later *mine = later->act;

    node_account_lead(ctx, mine->account);
}

static int node_later_end(void *ctx, struct api_later *later, struct hm_arena *arena,
                          struct api_receipt *out, bool *again, struct hm_error *error)
{
    struct node_later *mine = later->act;
    struct node_act *act = &mine->act;
    int rc = act->rc;

    (void)ctx;
    *again = rc == HM_EPROOF_STAKE; /* a session was revoked: looking for it takes time */
    if (rc == 0) {
        rc = node_receipt(&act->receipt, arena, out, error);
        engine_receipt_release(&act->receipt);
    } else {
        rc = hm_fail(error, rc, "%s", act->error.text);
    }
    hm_free(mine);
    return rc;
}

void node_later_init(struct node *node)
{
    node->backend.submit_later = node_submit_later;
    node->backend.later_lead = node_later_lead;
    node->backend.later_end = node_later_end;
}
