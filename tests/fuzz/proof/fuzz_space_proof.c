/* Bytes as a SpaceCommit, then as a BatchHead, then verified: what a stranger's proof goes through. The
 * first byte chooses how many openings are asked for. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "base.h"
#include "crypto.h"
#include "proof.h"
#include "wire.h"

#define FUZZ_LIMIT_BYTES ((size_t)1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The node and the challenge under which the seeds are right. */
static const uint8_t node[CRYPTO_HASH_BYTES] = {0x11};
static const uint8_t anchor[CRYPTO_HASH_BYTES] = {0x33};
/* Of the node's plot of five segments of 64 labels. */
static const uint8_t root[CRYPTO_HASH_BYTES] = {
    0x9f, 0x02, 0xab, 0xc5, 0xda, 0x53, 0xea, 0x54, 0xb7, 0xfc, 0xa0, 0xa8, 0x76, 0xa9, 0x23, 0x06,
    0x83, 0x51, 0x79, 0xc5, 0xb3, 0x7e, 0xea, 0x28, 0xaa, 0xe9, 0x31, 0xfc, 0x11, 0x86, 0x5c, 0xe6};

static void verify(const Hypermesh__PlotCommitment *plot, const uint8_t *challenge,
                   Hypermesh__PlotOpening **openings, size_t count, size_t needed,
                   bool with_parents)
{
    struct hm_error error = {0};
    int rc = proof_space_verify(node, plot, challenge, openings, count, needed, with_parents,
                                &error);

    assert(rc == 0 || (rc == HM_EPROOF_SPACE && error.code == rc && error.text[0] != '\0'));
    assert(rc != 0 || (count == needed && proof_plot_check(plot, 0, NULL) == 0));
}

static void try_commit(struct hm_slice bytes, size_t needed, struct hm_arena *arena)
{
    Hypermesh__SpaceCommit *commit = NULL;
    uint8_t challenge[CRYPTO_HASH_BYTES];

    if (WIRE_UNPACK(hypermesh__space_commit, bytes, FUZZ_LIMIT_BYTES, arena, &commit, NULL) != 0 ||
        commit->plot == NULL)
        return;
    proof_plot_challenge(node, commit->plot, challenge);
    (void)proof_plot_check(commit->plot, needed * 64, NULL);
    verify(commit->plot, challenge, commit->openings, commit->n_openings, needed, true);
    verify(commit->plot, challenge, commit->openings, commit->n_openings, commit->n_openings,
           false);
}

static void try_head(struct hm_slice bytes, size_t needed, struct hm_arena *arena)
{
    Hypermesh__PlotCommitment plot = HYPERMESH__PLOT_COMMITMENT__INIT;
    Hypermesh__BatchHead *head = NULL;
    uint8_t challenge[CRYPTO_HASH_BYTES];

    if (WIRE_UNPACK(hypermesh__batch_head, bytes, FUZZ_LIMIT_BYTES, arena, &head, NULL) != 0)
        return;
    plot.root = wire_bytes(root, sizeof(root));
    plot.labels = 320;
    plot.segment_labels = 64;
    if (head->tx_root.len != CRYPTO_HASH_BYTES)
        return;
    proof_space_challenge(anchor, head->tx_root.data, node, challenge);
    verify(&plot, challenge, head->openings, head->n_openings, needed, false);
    verify(&plot, challenge, head->openings, head->n_openings, head->n_openings, true);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hm_arena arena;

    if (size < 1)
        return 0;
    hm_arena_init(&arena, 0);
    try_commit(hm_slice_of(data + 1, size - 1), data[0], &arena);
    hm_arena_clear(&arena);
    try_head(hm_slice_of(data + 1, size - 1), data[0], &arena);
    hm_arena_release(&arena);
    return 0;
}
