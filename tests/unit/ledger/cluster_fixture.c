#include "cluster_fixture.h"

#include <stdio.h>
#include <stdlib.h>

static void must(bool ok, struct fixture *fixture, const char *what)
{
    if (ok)
        return;
    (void)fprintf(stderr, "cluster fixture: %s failed: %s\n", what, fixture->error.text);
    abort();
}

static ProtobufCBinaryData drawn(struct fixture *fixture, const char *what, uint64_t height,
                                 size_t len)
{
    uint8_t hash[32];
    char text[64];

    (void)snprintf(text, sizeof text, "%s %llu", what, (unsigned long long)height);
    crypto_hash(text, strlen(text), hash);
    return fixture_keep(fixture, hash, len);
}

Hypermesh__EngineFacts *cluster_facts(struct fixture *fixture, uint64_t height)
{
    Hypermesh__EngineFacts *facts = fixture_new(fixture, &hypermesh__engine_facts__descriptor);

    facts->hash = drawn(fixture, "engine hash", height, 32);
    facts->proposer = drawn(fixture, "proposer", height % 4, 20);
    facts->next_validators_hash = drawn(fixture, "validators", 0, 32);
    return facts;
}

struct hm_slice cluster_note_item(struct fixture *fixture, const Hypermesh__BlockNote *note)
{
    HM_CLEANUP(hm_buf) struct hm_buf buf = {0};

    must(ledger_note_pack(note, &buf, &fixture->error) == 0, fixture, "note");
    return wire_slice(fixture_keep(fixture, buf.data, buf.len));
}

struct hm_slice cluster_note(struct fixture *fixture, uint64_t time_ms)
{
    Hypermesh__BlockNote note = HYPERMESH__BLOCK_NOTE__INIT;

    note.time_ms = time_ms;
    return cluster_note_item(fixture, &note);
}

struct hm_slice cluster_request(struct fixture *fixture, uint64_t height, uint64_t who)
{
    HM_CLEANUP(hm_buf) struct hm_buf buf = {0};
    uint8_t nonce[LEDGER_NOTE_NONCE_BYTES];

    hm_put_be64(nonce, height);
    hm_put_be64(nonce + 8, who);
    must(ledger_note_request(nonce, &buf, &fixture->error) == 0, fixture, "request");
    return wire_slice(fixture_keep(fixture, buf.data, buf.len));
}

void cluster_propose(struct fixture *fixture, Hypermesh__EngineFacts *facts,
                     const struct hm_slice *items, size_t count, struct ledger_proposal *out)
{
    Hypermesh__BlockHeader *header;

    fixture_propose(fixture, items, count, out);
    must(WIRE_UNPACK(hypermesh__block_header, out->header, out->header.len, &fixture->arena,
                     &header, &fixture->error) == 0,
         fixture, "header");
    header->engine = facts ? facts : cluster_facts(fixture, out->height);
    if (header->engine->bft_time_ms == 0)
        header->engine->bft_time_ms = fixture->next_ms;
    out->header = fixture_pack(fixture, &header->base);
    proof_block_hash(out->header, out->hash);
}

static int block_make(struct fixture *fixture, const struct hm_slice *items, size_t count,
                      struct ledger_outcome *out)
{
    struct ledger_outcome outcome;
    struct ledger_proposal proposal;
    int rc;

    cluster_propose(fixture, NULL, items, count, &proposal);
    rc = ledger_process(fixture->ledger, &proposal, &fixture->error);
    if (rc == 0)
        rc = ledger_finalize(fixture->ledger, &proposal, &outcome, &fixture->error);
    if (rc == 0)
        rc = ledger_commit(fixture->ledger, &fixture->error);
    if (rc)
        return rc;
    /* Only read. */
    fixture->record = (Hypermesh__BlockRecord *)(uintptr_t)outcome.record;
    fixture->next_ms += FIXTURE_BLOCK_MS;
    if (out)
        *out = outcome;
    return 0;
}

int cluster_block(struct fixture *fixture, const struct hm_slice *items, size_t count,
                  struct ledger_outcome *out)
{
    struct hm_slice *all = fixture_take(fixture, (count + 1) * sizeof *all);

    all[0] = cluster_note(fixture, fixture->next_ms);
    if (count > 0)
        memcpy(all + 1, items, count * sizeof *all);
    return block_make(fixture, all, count + 1, out);
}

int cluster_empty(struct fixture *fixture, struct ledger_outcome *out)
{
    return block_make(fixture, NULL, 0, out);
}

Hypermesh__TxResult *cluster_do(struct fixture *fixture, enum fixture_role who,
                                Hypermesh__Operation *op, struct ledger_outcome *out)
{
    struct hm_slice tx = fixture_tx(fixture, who, &op, 1);
    struct hm_slice item = fixture_batch(fixture, &tx, 1);

    if (cluster_block(fixture, &item, 1, out) || fixture->record->n_results != 1)
        return NULL;
    fixture_resync(fixture);
    return fixture->record->results[0];
}
