/* Challenges of this node, answered without being asked: space from the plot, results from what was kept of them. An
 * answer that would be wrong is not sent: it costs as much as silence, and in the time that is left the plot can be
 * built again. What a challenge that was lost took (bond, commitment) is put right afterwards. */
#include <poll.h>
#include <unistd.h>

#include "node_notes.h"

#define NODE_CHALLENGE_EVERY_MS 5000 /* also without news: what failed is tried again */
#define NODE_CHALLENGE_PAUSE_MS 100 /* between two looks */
#define NODE_MEND_PAUSE_MAX     720 /* looks: an hour */
#ifndef NODE_DUTIES_PAGE
#define NODE_DUTIES_PAGE LEDGER_PAGE_MAX /* challenges that are held in memory at once */
#endif

/* --- answers ------------------------------------------------------------------------------------------------- */

static int node_answer_check(const struct node *node, const Hypermesh__Challenge *challenge,
                             const Hypermesh__ChallengeAnswer *answer, struct hm_error *error)
{
    return proof_space_verify(node->operator_id, challenge->plot, challenge->seed.data,
                              answer->openings, answer->n_openings, node->challenge_openings, false,
                              error);
}

static int node_answer_open(struct node *node, const Hypermesh__Challenge *challenge,
                            struct hm_arena *arena, Hypermesh__ChallengeAnswer *answer,
                            struct hm_error *error)
{
    int rc = node_plot_open_at(node, challenge->seed.data, node->challenge_openings, false, arena,
                               &answer->openings, error);

    if (rc != 0)
        return rc;
    answer->n_openings = node->challenge_openings;
    return node_answer_check(node, challenge, answer, error);
}

static int node_answer_space(struct node *node, const Hypermesh__Challenge *challenge,
                             struct hm_arena *arena, Hypermesh__ChallengeAnswer *answer,
                             struct hm_error *error)
{
    if (challenge->seed.len != CRYPTO_HASH_BYTES || challenge->plot == NULL)
        return hm_fail(error, HM_ECORRUPT, "the challenge names no plot");
    int rc = node_answer_open(node, challenge, arena, answer, error);
    if (rc == HM_EPROOF_SPACE) /* not what was committed, though it reads well */
        rc = node_plot_rebuild(node, error);
    else
        return rc;
    return rc != 0 ? rc : node_answer_open(node, challenge, arena, answer, error);
}

static int node_answer_result(struct node *node, const Hypermesh__Challenge *challenge,
                              struct hm_arena *arena, Hypermesh__ChallengeAnswer *answer,
                              struct hm_error *error)
{
    Hypermesh__ChallengeAnswer *kept;
    int rc = node_result_find(node, challenge->lease.data, arena, &kept, error);

    if (rc != 0)
        return rc;
    answer->job = kept->job;
    answer->manifest = kept->manifest;
    return 0;
}

static int node_challenge_answer(struct node *node, const Hypermesh__Challenge *challenge,
                                 struct hm_arena *arena, struct hm_error *error)
{
    Hypermesh__ChallengeAnswer answer = HYPERMESH__CHALLENGE_ANSWER__INIT;
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;
    Hypermesh__Operation *ops[] = {&op};
    int rc = challenge->lease.len == 0 ? node_answer_space(node, challenge, arena, &answer, error)
                                       : node_answer_result(node, challenge, arena, &answer, error);

    if (rc != 0)
        return rc;
    answer.challenge = challenge->id;
    op.op_case = HYPERMESH__OPERATION__OP_CHALLENGE_ANSWER;
    op.challenge_answer = &answer;
    return node_wallet_submit(node, NODE_OPERATOR, ops, HM_COUNT_OF(ops), NULL, error);
}

/* --- looking ------------------------------------------------------------------------------------------------- */

/* What this node has to do as the ledger stands: a page of it, in the arena. */
struct node_duties {
    Hypermesh__Challenge **challenges;
    size_t count;
    uint8_t after[WIRE_ID_BYTES]; /* the page begins behind this challenge */
    bool begun, more; /* there is such a one; there may be more behind the page */
    bool bereft; /* a lost challenge took its commitment, or of its bond what its assets need */
};

/* The next page of the open ones that are put to this node. */
static int node_duties_list(struct node *node, struct ledger_view *view, struct hm_arena *arena,
                            struct node_duties *out, struct hm_error *error)
{
    const struct ledger_challenge_filter filter = {.party = node->operator_id, .open_only = true};
    const struct hm_slice own = hm_slice_of(node->operator_id, WIRE_ID_BYTES);
    Hypermesh__Challenge **open;
    size_t count;
    int rc = ledger_view_challenges(view, &filter, out->begun ? out->after : NULL, NODE_DUTIES_PAGE,
                                    arena, &open, &count, error);

    if (rc != 0)
        return rc;
    out->challenges = open;
    out->more = count == NODE_DUTIES_PAGE;
    out->begun = count > 0;
    if (count > 0)
        memcpy(out->after, open[count - 1]->id.data, WIRE_ID_BYTES);
    for (size_t i = 0; i < count; i++) /* the operator may be challenger, too */
        if (hm_slice_equal(wire_slice(open[i]->node), own))
            open[out->count++] = open[i];
    return 0;
}

static int node_duties_read(struct node *node, struct ledger_view *view, struct hm_arena *arena,
                            struct node_duties *out, struct hm_error *error)
{
    Hypermesh__Account *account;
    Hypermesh__Params *params;
    int rc = ledger_view_account(view, node->operator_id, arena, &account, error);

    if (rc == 0)
        rc = ledger_view_params(view, arena, &params, error);
    if (rc != 0)
        return rc;
    if (account->marks == NULL)
        return 0;
    /* What the operator unbonded of his own will stays unbonded. */
    out->bereft = account->marks->failed > 0 &&
                  (account->plot == NULL ||
                   (account->assets > 0 && account->bonded < params->bond_provider));
    return account->marks->open > 0 ? node_duties_list(node, view, arena, out, error) : 0;
}

static int node_duties_look(struct node *node, struct hm_arena *arena, struct node_duties *out,
                            struct hm_error *error)
{
    struct ledger_view *view;
    int rc = ledger_view_open(node->ledger, &view, error);

    out->count = 0;
    out->more = false;
    if (rc != 0)
        return rc;
    rc = node_duties_read(node, view, arena, out, error);
    ledger_view_close(view);
    return rc;
}

static void node_challenge_name(const Hypermesh__Challenge *challenge, char out[WIRE_ID_TEXT_MAX])
{
    wire_challenge_text(challenge->id.data, out);
}

/* True: one of them could not be answered, and may be later. */
static bool node_duties_do(struct node *node, const struct node_duties *duties, bool complain)
{
    bool left = false;

    for (size_t i = 0; i < duties->count && !node_quitting(node); i++) {
        HM_CLEANUP(hm_arena) struct hm_arena arena; /* of this answer: a job may be large */
        struct hm_error error = {0};
        char name[WIRE_ID_TEXT_MAX];

        hm_arena_init(&arena, 0);
        node_challenge_name(duties->challenges[i], name);
        if (node_challenge_answer(node, duties->challenges[i], &arena, &error) == 0) {
            atomic_fetch_add(&node->challenges.answered, 1);
            hm_log(HM_LOG_INFO, "node", "challenge %s is answered", name);
            continue;
        }
        left = true;
        if (complain) {
            atomic_fetch_add(&node->challenges.missed, 1);
            hm_log(HM_LOG_ERROR, "node", "challenge %s cannot be answered: %s", name, error.text);
        }
    }
    return left;
}

/* Bonds and commits again what a lost challenge took. Refusals cost a fee: *rest is how many looks to let pass before
 * the next try, twice as many each time. */
struct node_mending {
    unsigned rest, pause;
};

static void node_duties_mend(struct node *node, struct node_mending *mending)
{
    struct hm_error error = {0};

    if (mending->rest > 0) {
        mending->rest--;
        return;
    }
    if (node_boot_account(node, NODE_OPERATOR, &error) == 0) {
        hm_log(HM_LOG_WARN, "node", "bond and plot are committed again");
        mending->pause = 0;
        return;
    }
    hm_log(HM_LOG_ERROR, "node", "bond and plot cannot be committed again: %s", error.text);
    mending->pause = mending->pause == 0 ? 1 : mending->pause * 2;
    if (mending->pause > NODE_MEND_PAUSE_MAX)
        mending->pause = NODE_MEND_PAUSE_MAX;
    mending->rest = mending->pause;
}

static void node_plot_mend(struct node *node, bool complain)
{
    struct hm_error error = {0};

    if (complain)
        hm_log(HM_LOG_ERROR, "node", "the plot is damaged: it is built again");
    if (node_plot_rebuild(node, &error) != 0 && complain)
        hm_log(HM_LOG_ERROR, "node", "the plot cannot be built again: %s", error.text);
}

/* Page after page of them. True: one of them could not be answered, and may be later. *any: there were some. */
static bool node_duties_all(struct node *node, bool complain, struct node_duties *duties, bool *any)
{
    bool left = false;

    do {
        HM_CLEANUP(hm_arena) struct hm_arena arena;
        struct hm_error error = {0};

        hm_arena_init(&arena, 0);
        if (node_duties_look(node, &arena, duties, &error) != 0)
            hm_log(HM_LOG_ERROR, "node", "challenges cannot be read: %s", error.text);
        *any = *any || duties->count > 0;
        left = node_duties_do(node, duties, complain) || left;
    } while (duties->more && !node_quitting(node));
    return left;
}

/* One look; what could not be done is complained of once. */
static void node_challenges_look(struct node *node, struct node_mending *mending, bool *complained)
{
    struct node_duties duties = {0};
    bool damaged = atomic_load(&node->plot.damaged), any = false, left;

    if (damaged)
        node_plot_mend(node, !*complained);
    left = node_duties_all(node, !*complained, &duties, &any);
    if (!any && duties.bereft)
        node_duties_mend(node, mending);
    *complained = left || damaged;
}

static void *node_challenges_main(void *arg)
{
    struct node *node = arg;
    struct pollfd wake[] = {{.fd = node->quit_fd, .events = POLLIN},
                            {.fd = node->challenges.news_fd, .events = POLLIN}};
    struct node_mending mending = {0};
    bool complained = false;
    uint64_t news;

    while (!node_quitting(node)) {
        node_challenges_look(node, &mending, &complained);
        (void)poll(wake, 1, NODE_CHALLENGE_PAUSE_MS);
        (void)poll(wake, HM_COUNT_OF(wake), NODE_CHALLENGE_EVERY_MS);
        (void)!read(node->challenges.news_fd, &news, sizeof(news));
    }
    return NULL;
}

void node_challenges_tell(struct node *node, const Hypermesh__BlockRecord *record)
{
    const uint64_t one = 1;
    bool news = record->n_silent > 0;

    for (size_t i = 0; !news && i < record->n_results; i++)
        news = record->results[i]->n_created > 0; /* assets, leases, or challenges */
    if (news)
        hm_write_all(node->challenges.news_fd, &one, sizeof(one), NULL);
}

int node_challenges_start(struct node *node, struct hm_error *error)
{
    if (pthread_create(&node->challenges.thread, NULL, node_challenges_main, node) != 0)
        return hm_fail(error, HM_ENOMEM, "no thread to answer challenges on");
    node->challenges.running = true;
    return 0;
}

void node_challenges_stop(struct node *node)
{
    if (node->challenges.running)
        pthread_join(node->challenges.thread, NULL);
    node->challenges.running = false;
}
