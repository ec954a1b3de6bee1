/* peers_set, proxy_set: with whom an account deals. */
#include <stdlib.h>

#include "ledger_op.h"

static int id_order(const void *a, const void *b)
{
    const ProtobufCBinaryData *left = a;
    const ProtobufCBinaryData *right = b;

    return memcmp(left->data, right->data, LEDGER_ID_BYTES);
}

/* A copy in order, each account once. */
static int accounts_sorted(struct ledger_act *act, const ProtobufCBinaryData *list, size_t count,
                           ProtobufCBinaryData **out, size_t *kept, struct hm_error *error)
{
    ProtobufCBinaryData *copy;
    void *memory;
    int rc = ledger_scope_alloc(act->scope, (count + 1) * sizeof *copy, &memory, error);

    copy = memory;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        rc = ledger_id_check(list[i], error);
        copy[i] = list[i];
    }
    if (rc)
        return rc;
    if (count > 0)
        qsort(copy, count, sizeof *copy, id_order);
    *kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || id_order(&copy[i], &copy[*kept - 1]) != 0)
            copy[(*kept)++] = copy[i];
    }
    *out = copy;
    return 0;
}

int ledger_op_peers_set(struct ledger_act *act, const Hypermesh__Operation *op,
                        struct hm_error *error)
{
    const Hypermesh__PeersSet *what = op->peers_set;

    if (what->n_accounts > LEDGER_PRIVACY_ACCOUNTS_MAX)
        return ledger_refuse(error, LEDGER_RULE_PEERS_COUNT, "%zu peers, at most %d are allowed",
                             what->n_accounts, LEDGER_PRIVACY_ACCOUNTS_MAX);
    return accounts_sorted(act, what->accounts, what->n_accounts, &act->signer->peers,
                           &act->signer->n_peers, error);
}

int ledger_op_proxy_set(struct ledger_act *act, const Hypermesh__Operation *op,
                        struct hm_error *error)
{
    const Hypermesh__ProxySet *what = op->proxy_set;
    Hypermesh__Proxies *proxies;
    void *memory;
    int rc;

    if (what->n_relays > LEDGER_RELAYS_MAX)
        return ledger_refuse(error, LEDGER_RULE_PROXY_COUNT, "%zu relays, at most %d are allowed",
                             what->n_relays, LEDGER_RELAYS_MAX);
    if (what->any && what->n_relays > 0)
        return ledger_refuse(error, LEDGER_RULE_PROXY_ANY,
                             "either every relay or a list of relays, not both");
    rc = ledger_scope_alloc(act->scope, sizeof *proxies, &memory, error);
    if (rc)
        return rc;
    proxies = memory;
    *proxies = (Hypermesh__Proxies)HYPERMESH__PROXIES__INIT;
    proxies->any = what->any;
    proxies->sealed_only = what->sealed_only;
    rc = accounts_sorted(act, what->relays, what->n_relays, &proxies->relays, &proxies->n_relays,
                         error);
    if (rc == 0)
        act->signer->proxies = proxies;
    return rc;
}
