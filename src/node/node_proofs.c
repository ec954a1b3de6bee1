/* Proofs checked again, timed and put into words. */
#include <stdio.h>

#include "node_private.h"

static const char *const node_proof_names[LEDGER_PROOF_COUNT] = {"space", "stake", "work", "time"};

static int node_proofs_report(struct node *node, struct ledger_proof_case *proof_case,
                              struct hm_arena *arena, Hypermesh__ProofReport **out,
                              struct hm_error *error)
{
    Hypermesh__ProofReport *reports = hm_arena_alloc(arena, LEDGER_PROOF_COUNT * sizeof(*reports));

    if (reports == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for proof reports");
    for (int kind = 0; kind < LEDGER_PROOF_COUNT; kind++) {
        struct hm_error fault = {0};
        const char *shows = "";
        uint64_t began_ns = hm_mono_ns(node->options.clock);
        int rc = ledger_proof_case_check(proof_case, (enum ledger_proof_kind)kind, &shows, &fault);

        if (hm_error_is_fatal(rc)) /* this machine's trouble says nothing about the proof */
            return hm_fail(error, rc, "%s", fault.text);
        hypermesh__proof_report__init(&reports[kind]);
        reports[kind].check_ns = hm_mono_ns(node->options.clock) - began_ns;
        reports[kind].name = (char *)(uintptr_t)node_proof_names[kind];
        reports[kind].valid = rc == 0;
        reports[kind].shows = (char *)(uintptr_t)shows;
        if (rc != 0) {
            reports[kind].fault = hm_arena_strdup(arena, fault.text);
            if (reports[kind].fault == NULL)
                return hm_fail(error, HM_ENOMEM, "no memory for proof reports");
        }
    }
    *out = reports;
    return 0;
}

int node_proofs_of_tx(struct node *node, struct ledger_view *view, const uint8_t digest[32],
                      struct hm_arena *arena, Hypermesh__ProofReport **out, struct hm_error *error)
{
    struct ledger_proof_case *proof_case;
    int rc = ledger_proof_case_included(view, digest, arena, &proof_case, error);

    return rc != 0 ? rc : node_proofs_report(node, proof_case, arena, out, error);
}

int node_proofs_of_batch(struct node *node, struct ledger_view *view, struct hm_slice batch,
                         size_t tx_index, struct hm_arena *arena, Hypermesh__ProofReport **out,
                         struct hm_error *error)
{
    struct ledger_proof_case *proof_case;
    int rc = ledger_proof_case_offered(view, batch, tx_index, hm_wall_ms(node->options.clock),
                                       arena, &proof_case, error);

    return rc != 0 ? rc : node_proofs_report(node, proof_case, arena, out, error);
}
