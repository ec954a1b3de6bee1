#include "abci_script_rules.h"

#include "wire.h"

#define CALL(name) HYPERMESH__ABCI__REQUEST__VALUE_##name
#define ANY_CALL   CALL(_NOT_SET)
#define HUGE_BYTES ((size_t)(1 << 20) + 1)
#define BIG_BYTES  ((size_t)100000)

static const struct {
    const char *name;
    Hypermesh__Abci__Request__ValueCase call;
} calls[] = {
    {"info", CALL(INFO)},
    {"init", CALL(INIT_CHAIN)},
    {"query", CALL(QUERY)},
    {"check", CALL(CHECK_TX)},
    {"prepare", CALL(PREPARE_PROPOSAL)},
    {"process", CALL(PROCESS_PROPOSAL)},
    {"extend", CALL(EXTEND_VOTE)},
    {"verify", CALL(VERIFY_VOTE_EXTENSION)},
    {"finalize", CALL(FINALIZE_BLOCK)},
    {"commit", CALL(COMMIT)},
    {"list", CALL(LIST_SNAPSHOTS)},
    {"offer", CALL(OFFER_SNAPSHOT)},
    {"load", CALL(LOAD_SNAPSHOT_CHUNK)},
    {"apply", CALL(APPLY_SNAPSHOT_CHUNK)},
};

/* The answer that is changed, and memory for what is put into it. */
struct changing {
    const struct abci_script_asked *asked;
    Hypermesh__Abci__Response *answer;
    struct hm_arena *arena;
};

/* --- actions: each of one call's answer ------------------------------------------------------------------ */

static void *take(const struct changing *c, size_t size)
{
    return hm_arena_alloc(c->arena, size);
}

static int one_tx(const struct changing *c, size_t len)
{
    Hypermesh__Abci__ResponsePrepareProposal *answer = take(c, sizeof *answer);
    ProtobufCBinaryData *tx = take(c, sizeof *tx);
    uint8_t *bytes = take(c, len);

    if (answer == NULL || tx == NULL || bytes == NULL)
        return HM_ENOMEM;
    memset(bytes, 'x', len);
    hypermesh__abci__response_prepare_proposal__init(answer);
    *tx = (ProtobufCBinaryData){len, bytes};
    answer->n_txs = 1;
    answer->txs = tx;
    c->answer->prepare_proposal = answer;
    return 0;
}

static int prepare_garbage(const struct changing *c)
{
    return one_tx(c, 16);
}

static int prepare_oversize(const struct changing *c)
{
    return one_tx(c, (size_t)c->asked->max_tx_bytes + 10);
}

static int prepare_empty(const struct changing *c)
{
    c->answer->prepare_proposal = take(c, sizeof *c->answer->prepare_proposal);
    if (c->answer->prepare_proposal == NULL)
        return HM_ENOMEM;
    hypermesh__abci__response_prepare_proposal__init(c->answer->prepare_proposal);
    return 0;
}

static int process_accept(const struct changing *c)
{
    c->answer->process_proposal->status =
        HYPERMESH__ABCI__RESPONSE_PROCESS_PROPOSAL__STATUS__ACCEPT;
    return 0;
}

static int process_reject(const struct changing *c)
{
    c->answer->process_proposal->status =
        HYPERMESH__ABCI__RESPONSE_PROCESS_PROPOSAL__STATUS__REJECT;
    return 0;
}

static int process_unknown(const struct changing *c)
{
    c->answer->process_proposal->status =
        HYPERMESH__ABCI__RESPONSE_PROCESS_PROPOSAL__STATUS__UNKNOWN;
    return 0;
}

static int verify_accept(const struct changing *c)
{
    c->answer->verify_vote_extension->status =
        HYPERMESH__ABCI__RESPONSE_VERIFY_VOTE_EXTENSION__STATUS__ACCEPT;
    return 0;
}

static int verify_reject(const struct changing *c)
{
    c->answer->verify_vote_extension->status =
        HYPERMESH__ABCI__RESPONSE_VERIFY_VOTE_EXTENSION__STATUS__REJECT;
    return 0;
}

static int verify_unknown(const struct changing *c)
{
    c->answer->verify_vote_extension->status =
        HYPERMESH__ABCI__RESPONSE_VERIFY_VOTE_EXTENSION__STATUS__UNKNOWN;
    return 0;
}

static int extension(const struct changing *c, size_t len)
{
    Hypermesh__Abci__ResponseExtendVote *answer = take(c, sizeof *answer);
    uint8_t *bytes = take(c, len + 1);

    if (answer == NULL || bytes == NULL)
        return HM_ENOMEM;
    hypermesh__abci__response_extend_vote__init(answer);
    memset(bytes, 0xee, len);
    answer->vote_extension = (ProtobufCBinaryData){len, bytes};
    c->answer->extend_vote = answer;
    return 0;
}

static int extend_wrong(const struct changing *c)
{
    return extension(c, 33);
}

static int extend_empty(const struct changing *c)
{
    return extension(c, 0);
}

static int extend_big(const struct changing *c)
{
    return extension(c, BIG_BYTES);
}

static int extend_huge(const struct changing *c)
{
    return extension(c, HUGE_BYTES);
}

static int finalize_wronghash(const struct changing *c)
{
    if (c->answer->finalize_block->app_hash.len > 0)
        c->answer->finalize_block->app_hash.data[0] ^= 1;
    return 0;
}

static int finalize_fewresults(const struct changing *c)
{
    if (c->answer->finalize_block->n_tx_results > 0)
        c->answer->finalize_block->n_tx_results--;
    return 0;
}

static int finalize_wrongresult(const struct changing *c)
{
    if (c->answer->finalize_block->n_tx_results > 0)
        c->answer->finalize_block->tx_results[0]->code ^= 1;
    return 0;
}

static int finalize_badupdate(const struct changing *c)
{
    Hypermesh__Abci__ValidatorUpdate *update = take(c, sizeof *update), **list;
    Hypermesh__Abci__PublicKey *key = take(c, sizeof *key);
    uint8_t *bytes = take(c, 32);

    list = take(c, sizeof *list);
    if (update == NULL || key == NULL || bytes == NULL || list == NULL)
        return HM_ENOMEM;
    hypermesh__abci__validator_update__init(update);
    hypermesh__abci__public_key__init(key);
    key->sum_case = HYPERMESH__ABCI__PUBLIC_KEY__SUM_ED25519;
    key->ed25519 = (ProtobufCBinaryData){32, bytes};
    update->pub_key = key;
    update->power = -1;
    list[0] = update;
    c->answer->finalize_block->validator_updates = list;
    c->answer->finalize_block->n_validator_updates = 1;
    return 0;
}

static int load_lie(const struct changing *c)
{
    ProtobufCBinaryData *chunk = &c->answer->load_snapshot_chunk->chunk;

    if (chunk->len > 0)
        chunk->data[chunk->len / 2] ^= 0x40;
    return 0;
}

static int load_empty(const struct changing *c)
{
    c->answer->load_snapshot_chunk->chunk.len = 0;
    return 0;
}

static int list_lie(const struct changing *c)
{
    for (size_t i = 0; i < c->answer->list_snapshots->n_snapshots; i++)
        if (c->answer->list_snapshots->snapshots[i]->metadata.len > 0)
            c->answer->list_snapshots->snapshots[i]->metadata.data[0] ^= 1;
    return 0;
}

static int info_ahead(const struct changing *c)
{
    c->answer->info->last_block_height++;
    return 0;
}

static int check_refuse(const struct changing *c)
{
    c->answer->check_tx->code = 99;
    return 0;
}

static int check_accept(const struct changing *c)
{
    c->answer->check_tx->code = 0;
    return 0;
}

/* An answer to what was not asked. */
static int any_wrongkind(const struct changing *c)
{
    Hypermesh__Abci__ResponseEcho *echo = take(c, sizeof *echo);

    if (echo == NULL)
        return HM_ENOMEM;
    hypermesh__abci__response_echo__init(echo);
    c->answer->value_case = HYPERMESH__ABCI__RESPONSE__VALUE_ECHO;
    c->answer->echo = echo;
    return 0;
}

static const struct {
    const char *name;
    Hypermesh__Abci__Request__ValueCase call;
    int (*change)(const struct changing *c); /* NULL: see act */
    enum abci_script_act act;
} actions[] = {
    {"close", ANY_CALL, NULL, ABCI_SCRIPT_CLOSE},
    {"silent", ANY_CALL, NULL, ABCI_SCRIPT_SILENT},
    {"delay", ANY_CALL, NULL, ABCI_SCRIPT_PASS},
    {"wrongkind", ANY_CALL, any_wrongkind, ABCI_SCRIPT_CHANGED},
    {"garbage", CALL(PREPARE_PROPOSAL), prepare_garbage, ABCI_SCRIPT_CHANGED},
    {"oversize", CALL(PREPARE_PROPOSAL), prepare_oversize, ABCI_SCRIPT_CHANGED},
    {"empty", CALL(PREPARE_PROPOSAL), prepare_empty, ABCI_SCRIPT_CHANGED},
    {"accept", CALL(PROCESS_PROPOSAL), process_accept, ABCI_SCRIPT_CHANGED},
    {"reject", CALL(PROCESS_PROPOSAL), process_reject, ABCI_SCRIPT_CHANGED},
    {"unknown", CALL(PROCESS_PROPOSAL), process_unknown, ABCI_SCRIPT_CHANGED},
    {"accept", CALL(VERIFY_VOTE_EXTENSION), verify_accept, ABCI_SCRIPT_CHANGED},
    {"reject", CALL(VERIFY_VOTE_EXTENSION), verify_reject, ABCI_SCRIPT_CHANGED},
    {"unknown", CALL(VERIFY_VOTE_EXTENSION), verify_unknown, ABCI_SCRIPT_CHANGED},
    {"wrong", CALL(EXTEND_VOTE), extend_wrong, ABCI_SCRIPT_CHANGED},
    {"empty", CALL(EXTEND_VOTE), extend_empty, ABCI_SCRIPT_CHANGED},
    {"big", CALL(EXTEND_VOTE), extend_big, ABCI_SCRIPT_CHANGED},
    {"huge", CALL(EXTEND_VOTE), extend_huge, ABCI_SCRIPT_CHANGED},
    {"wronghash", CALL(FINALIZE_BLOCK), finalize_wronghash, ABCI_SCRIPT_CHANGED},
    {"wrongresult", CALL(FINALIZE_BLOCK), finalize_wrongresult, ABCI_SCRIPT_CHANGED},
    {"fewresults", CALL(FINALIZE_BLOCK), finalize_fewresults, ABCI_SCRIPT_CHANGED},
    {"badupdate", CALL(FINALIZE_BLOCK), finalize_badupdate, ABCI_SCRIPT_CHANGED},
    {"lie", CALL(LOAD_SNAPSHOT_CHUNK), load_lie, ABCI_SCRIPT_CHANGED},
    {"empty", CALL(LOAD_SNAPSHOT_CHUNK), load_empty, ABCI_SCRIPT_CHANGED},
    {"lie", CALL(LIST_SNAPSHOTS), list_lie, ABCI_SCRIPT_CHANGED},
    {"ahead", CALL(INFO), info_ahead, ABCI_SCRIPT_CHANGED},
    {"refuse", CALL(CHECK_TX), check_refuse, ABCI_SCRIPT_CHANGED},
    {"accept", CALL(CHECK_TX), check_accept, ABCI_SCRIPT_CHANGED},
};

int abci_script_help(struct hm_buf *out)
{
    int status = 0;

    for (size_t i = 0; i < HM_COUNT_OF(calls) && status == 0; i++) {
        status = hm_buf_printf(out, "  %-9s", calls[i].name);
        for (size_t k = 0; k < HM_COUNT_OF(actions) && status == 0; k++)
            if (actions[k].call == ANY_CALL || actions[k].call == calls[i].call)
                status = hm_buf_printf(out, " %s", actions[k].name);
        if (status == 0)
            status = hm_buf_append_str(out, "\n");
    }
    return status;
}

/* --- reading rules ------------------------------------------------------------------------------------- */

static bool word_is(const char *text, size_t len, const char *word)
{
    return strlen(word) == len && memcmp(text, word, len) == 0;
}

/* "5" or "5+", what stands between @ and =. */
static int heights_parse(const char *text, size_t len, struct abci_script_rule *rule,
                         struct hm_error *error)
{
    char digits[24];
    uint64_t height;
    bool open = len > 0 && text[len - 1] == '+';

    len -= open;
    if (len == 0 || len >= sizeof digits)
        return hm_fail(error, HM_EINVAL, "a height is a number, or one with + behind it");
    memcpy(digits, text, len);
    digits[len] = '\0';
    if (hm_u64_parse(digits, &height, NULL) != 0 || height == 0 || height > INT64_MAX)
        return hm_fail(error, HM_EINVAL, "%s is no height", digits);
    rule->from = (int64_t)height;
    rule->to = open ? INT64_MAX : (int64_t)height;
    return 0;
}

static int action_parse(const char *text, struct abci_script_rule *rule, struct hm_error *error)
{
    const char *colon = strchr(text, ':');
    size_t len = colon == NULL ? strlen(text) : (size_t)(colon - text);

    if (colon != NULL && hm_u64_parse(colon + 1, &rule->delay_ms, NULL) != 0)
        return hm_fail(error, HM_EINVAL, "%s: milliseconds must follow the colon", text);
    for (size_t i = 0; i < HM_COUNT_OF(actions); i++) {
        if (word_is(text, len, actions[i].name) &&
            (actions[i].call == ANY_CALL || actions[i].call == rule->call)) {
            rule->action = (unsigned)i;
            return 0;
        }
    }
    return hm_fail(error, HM_EINVAL, "%s is not among what can be done to that call's answer",
                   text);
}

int abci_script_add(struct abci_script *script, const char *text, struct hm_error *error)
{
    const char *equals = strchr(text, '='), *at = strchr(text, '@');
    struct abci_script_rule rule = {.call = ANY_CALL};
    size_t len;
    int status;

    if (equals == NULL || (at != NULL && at > equals))
        return hm_fail(error, HM_EINVAL, "%s: a rule is CALL[@HEIGHT[+]]=ACTION[:MS]", text);
    if (script->count == ABCI_SCRIPT_RULES_MAX)
        return hm_fail(error, HM_ELIMIT, "more than %d rules", ABCI_SCRIPT_RULES_MAX);
    len = (size_t)((at == NULL ? equals : at) - text);
    for (size_t i = 0; i < HM_COUNT_OF(calls); i++)
        if (word_is(text, len, calls[i].name))
            rule.call = calls[i].call;
    if (rule.call == ANY_CALL)
        return hm_fail(error, HM_EINVAL, "%s: no such call", text);
    if (at != NULL &&
        (status = heights_parse(at + 1, (size_t)(equals - at) - 1, &rule, error)) != 0)
        return status;
    if ((status = action_parse(equals + 1, &rule, error)) != 0)
        return status;
    script->rule[script->count++] = rule;
    return 0;
}

/* --- applying them --------------------------------------------------------------------------------------- */

int abci_script_ask(struct hm_slice request, int64_t height_before, struct abci_script_asked *out)
{
    Hypermesh__Abci__Request *read = hypermesh__abci__request__unpack(NULL, request.len,
                                                                      request.data);

    if (read == NULL)
        return HM_EPARSE;
    *out = (struct abci_script_asked){.call = read->value_case};
    switch (read->value_case) {
    case CALL(PREPARE_PROPOSAL):
        out->height = read->prepare_proposal->height;
        out->max_tx_bytes = read->prepare_proposal->max_tx_bytes;
        break;
    case CALL(PROCESS_PROPOSAL):
        out->height = read->process_proposal->height;
        break;
    case CALL(EXTEND_VOTE):
        out->height = read->extend_vote->height;
        break;
    case CALL(VERIFY_VOTE_EXTENSION):
        out->height = read->verify_vote_extension->height;
        break;
    case CALL(FINALIZE_BLOCK):
        out->height = read->finalize_block->height;
        break;
    case CALL(LOAD_SNAPSHOT_CHUNK):
        out->height = (int64_t)read->load_snapshot_chunk->height;
        break;
    case CALL(COMMIT):
        out->height = height_before;
        break;
    default:
        break;
    }
    hypermesh__abci__request__free_unpacked(read, NULL);
    return 0;
}

static int change(unsigned action, const struct abci_script_asked *asked, struct hm_slice answer,
                  struct hm_buf *out)
{
    /* All memory of the message is the arena's: what an action puts in or leaves out needs no care. */
    struct hm_arena arena;
    Hypermesh__Abci__Response *read;
    int status;

    hm_arena_init(&arena, 0);
    status = WIRE_UNPACK(hypermesh__abci__response, answer, ABCI_MESSAGE_MAX_BYTES, &arena, &read,
                         NULL);
    if (status == 0) {
        struct changing c = {asked, read, &arena};
        status = actions[action].change(&c);
    }
    if (status == 0)
        status = wire_pack(&read->base, out);
    hm_arena_release(&arena);
    return status;
}

int abci_script_apply(const struct abci_script *script, const struct abci_script_asked *asked,
                      struct hm_slice answer, struct hm_buf *out, enum abci_script_act *act,
                      uint64_t *delay_ms, const char **name)
{
    *act = ABCI_SCRIPT_PASS;
    *delay_ms = 0;
    *name = NULL;
    for (unsigned i = 0; i < script->count; i++) {
        const struct abci_script_rule *rule = &script->rule[i];
        if (rule->call != asked->call ||
            (rule->from != 0 && (asked->height < rule->from || asked->height > rule->to)))
            continue;
        *act = actions[rule->action].act;
        *delay_ms = rule->delay_ms;
        *name = actions[rule->action].name;
        return *act == ABCI_SCRIPT_CHANGED ? change(rule->action, asked, answer, out) : 0;
    }
    return 0;
}
