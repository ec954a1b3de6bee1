#include "ledger_account.h"

#define ACCOUNT_LIST_MAX ((size_t)16) /* sessions, amounts unbonding */

static size_t rounded(size_t size)
{
    return (size + 15) & ~(size_t)15;
}

static size_t bytes_size(ProtobufCBinaryData bytes)
{
    return rounded(bytes.len);
}

static bool text_is_own(const char *text)
{
    return text && text != (const char *)protobuf_c_empty_string;
}

/* --- how much --- */

static size_t sessions_bytes(const Hypermesh__Account *account)
{
    size_t size = rounded(account->n_sessions * sizeof *account->sessions);

    for (size_t i = 0; i < account->n_sessions; i++)
        size += rounded(sizeof **account->sessions) + bytes_size(account->sessions[i]->key);
    return size;
}

static size_t unbonding_bytes(const Hypermesh__Account *account)
{
    return rounded(account->n_unbonding * sizeof *account->unbonding) +
           account->n_unbonding * rounded(sizeof **account->unbonding);
}

size_t ledger_account_copy_bytes(const Hypermesh__Account *account)
{
    size_t size = rounded(sizeof *account) + bytes_size(account->presence);

    if (account->n_peers > 0 || account->proxies || account->marks ||
        account->n_sessions > ACCOUNT_LIST_MAX || account->n_unbonding > ACCOUNT_LIST_MAX)
        return 0;
    if (account->plot)
        size += rounded(sizeof *account->plot) + bytes_size(account->plot->root);
    if (text_is_own(account->endpoint))
        size += rounded(strlen(account->endpoint) + 1);
    return size + sessions_bytes(account) + unbonding_bytes(account);
}

/* --- the copy --- */

static void *put(uint8_t **at, const void *data, size_t size)
{
    void *out = *at;

    if (size > 0)
        memcpy(out, data, size);
    *at += rounded(size);
    return out;
}

static void put_bytes(uint8_t **at, ProtobufCBinaryData *bytes)
{
    if (bytes->len > 0)
        bytes->data = put(at, bytes->data, bytes->len);
    else
        *bytes = (ProtobufCBinaryData){0};
}

Hypermesh__Account *ledger_account_copy(const Hypermesh__Account *account, void *room)
{
    uint8_t *at = room;
    Hypermesh__Account *copy = put(&at, account, sizeof *account);

    put_bytes(&at, &copy->presence);
    if (copy->plot) {
        copy->plot = put(&at, copy->plot, sizeof *copy->plot);
        put_bytes(&at, &copy->plot->root);
    }
    if (text_is_own(copy->endpoint))
        copy->endpoint = put(&at, copy->endpoint, strlen(copy->endpoint) + 1);
    copy->sessions = put(&at, copy->sessions, copy->n_sessions * sizeof *copy->sessions);
    for (size_t i = 0; i < copy->n_sessions; i++) {
        copy->sessions[i] = put(&at, copy->sessions[i], sizeof **copy->sessions);
        put_bytes(&at, &copy->sessions[i]->key);
    }
    copy->unbonding = put(&at, copy->unbonding, copy->n_unbonding * sizeof *copy->unbonding);
    for (size_t i = 0; i < copy->n_unbonding; i++)
        copy->unbonding[i] = put(&at, copy->unbonding[i], sizeof **copy->unbonding);
    return copy;
}
