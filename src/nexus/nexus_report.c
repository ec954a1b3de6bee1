#include "nexus_report.h"

#include "nexus_json.h"
#include "nexus_resolve.h"
#include "nexus_show.h"
#include "nexus_table.h"
#include "nexus_text.h"

#define LABEL_COLUMNS  9
#define TOKEN_DIGITS   9
#define SECTION_INDENT "         "

struct report {
    const json_t *record, *accounts;
    struct hm_arena *arena;
    struct hm_buf *out;
    bool color;
    int rc; /* HM_ENOMEM when a piece of text could not be made */
};

/* A piece of text that goes into another: never NULL, so that memory that was out is not written "(null)". */
static const char *piece(struct report *report, const char *text)
{
    if (!text)
        report->rc = HM_ENOMEM;
    return text ? text : "";
}

const char *nexus_amount_add(const char *a, const char *b, struct hm_arena *arena)
{
    char text[40];
    uint64_t left = 0;
    uint64_t right = 0;
    uint64_t sum;

    if (hm_decimal_parse(b, TOKEN_DIGITS, &right, NULL) != 0)
        return a;
    if (hm_decimal_parse(a, TOKEN_DIGITS, &left, NULL) != 0)
        return b;
    if (!hm_add_u64(left, right, &sum))
        return a;
    hm_decimal_format(sum, TOKEN_DIGITS, text);
    return hm_arena_strdup(arena, text);
}

const char *nexus_report_outcome(const json_t *record, struct hm_arena *arena)
{
    const char *state = nexus_json_text(record, "state");
    const char *outcome = nexus_json_text(record, "outcome");
    int64_t code = nexus_json_i64(record, "exit_code");

    if (strcmp(state, "done") != 0)
        return state;
    if (strcmp(outcome, "timed-out") == 0)
        return "timed out";
    if (strcmp(outcome, "finished") == 0 || (strcmp(outcome, "failed") == 0 && code > 0))
        return hm_arena_printf(arena, "%s, exit code %lld", outcome, (long long)code);
    return outcome;
}

/* Text of one or more lines behind a label; nothing for an empty text. */
static int put_section(struct report *report, const char *label, const char *text)
{
    bool first = true;
    int rc = 0;

    while (*text && !rc) {
        size_t len = strcspn(text, "\n");

        if (first)
            rc = hm_buf_printf(report->out, "%s%-*s%s", report->color ? "\033[1m" : "",
                               LABEL_COLUMNS, label, report->color ? "\033[0m" : "");
        else
            rc = hm_buf_append_str(report->out, SECTION_INDENT);
        if (!rc)
            rc = hm_buf_append(report->out, text, len);
        if (!rc)
            rc = hm_buf_append_str(report->out, "\n");
        text += len + (text[len] == '\n');
        first = false;
    }
    return rc;
}

/* One line made of texts from the node. */
static int put_line(struct report *report, const char *label, const char *text)
{
    HM_CLEANUP(hm_buf) struct hm_buf safe = {0};

    /* Room for the end of the text: without it hm_buf_cstr would read as empty. */
    if (!text || nexus_text_append_safe(&safe, text) != 0 || hm_buf_reserve(&safe, 1) != 0)
        return HM_ENOMEM;
    return put_section(report, label, hm_buf_cstr(&safe));
}

static int put_table(struct report *report, const char *label, const char *headline,
                     const struct nexus_table *table)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    int rc = 0;

    if (headline)
        rc = nexus_text_append_safe(&text, headline);
    if (!rc && headline)
        rc = hm_buf_append_str(&text, "\n");
    if (!rc)
        rc = nexus_table_render(table, 0, false, &text);
    if (!rc)
        rc = hm_buf_reserve(&text, 1);
    return rc ? rc : put_section(report, label, hm_buf_cstr(&text));
}

static int put_job(struct report *report)
{
    const json_t *record = report->record;
    const char *reason = nexus_json_text(record, "reason");
    uint64_t started = nexus_json_u64(record, "started_ms");
    uint64_t ended = nexus_json_u64(record, "ended_ms");
    const char *took = "";
    int rc;

    if (started > 0 && ended >= started)
        took = piece(report, hm_arena_printf(report->arena, ", ran for %s",
                                             piece(report, nexus_show_span_ms(ended - started,
                                                                              report->arena))));
    rc = put_line(report, "job",
                  hm_arena_printf(report->arena, "%s %s: %s%s", nexus_json_text(record, "id"),
                                  nexus_json_text(json_object_get(record, "spec"), "name"),
                                  piece(report, nexus_report_outcome(record, report->arena)),
                                  took));
    return rc || !reason[0] ? rc : put_line(report, "reason", reason);
}

static int put_outputs(struct report *report)
{
    const json_t *outputs = nexus_json_list(json_object_get(report->record, "spec"), "outputs");
    const char *result = nexus_json_text(report->record, "result");
    int rc = 0;

    /* Without a result nothing was copied. */
    if (!result[0])
        return 0;
    for (size_t i = 0; i < json_array_size(outputs) && !rc; i++) {
        const json_t *output = json_array_get(outputs, i);

        rc = put_line(report, i == 0 ? "output" : "",
                      hm_arena_printf(report->arena, "%s in %s", nexus_json_text(output, "source"),
                                      nexus_json_text(output, "target")));
    }
    return rc || json_array_size(outputs) == 0
               ? rc
               : put_line(report, "", hm_arena_printf(report->arena, "digest %s", result));
}

static const char *lease_headline(struct report *report, const json_t *lease)
{
    struct hm_arena *arena = report->arena;
    uint64_t start = nexus_json_u64(lease, "start_ms");
    uint64_t expires = nexus_json_u64(lease, "expires_ms");
    uint64_t ended = nexus_json_u64(lease, "ended_ms");
    const char *held = "";
    const char *span = piece(report,
                             nexus_show_span_ms(expires > start ? expires - start : 0, arena));

    if (ended >= start && ended > 0)
        held = piece(report,
                     hm_arena_printf(arena, ", %s after %s", nexus_json_text(lease, "state"),
                                     piece(report, nexus_show_span_ms(ended - start, arena))));
    return hm_arena_printf(arena, "%s for at most %s%s",
                           piece(report, nexus_show_short(nexus_json_text(lease, "id"), arena)),
                           span, held);
}

static int put_lease(struct report *report, const json_t *lease)
{
    static const struct nexus_column columns[] = {
        {"ASSET", false}, {"KIND", false}, {"SHARE", true}, {"PRICE OF ALL OF IT", true}};
    const json_t *items = nexus_json_list(lease, "items");
    struct nexus_table table;

    NEXUS_TABLE_INIT(&table, columns, report->arena);
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *item = json_array_get(items, i);

        NEXUS_TABLE_ROW(
            &table, piece(report, nexus_show_short(nexus_json_text(item, "asset"), report->arena)),
            nexus_json_text(item, "kind"),
            nexus_show_share(nexus_json_u64(item, "share_ppm"), report->arena),
            hm_arena_printf(report->arena, "%s HYPER/h", nexus_json_text(item, "price_per_hour")));
    }
    return put_table(report, "lease", lease_headline(report, lease), &table);
}

static int put_proofs(struct report *report)
{
    static const struct nexus_column columns[] = {{0}, {0}, {NULL, true}, {0}};
    const json_t *proofs = nexus_json_list(report->record, "proofs");
    struct nexus_table table;

    if (json_array_size(proofs) == 0)
        return 0;
    NEXUS_TABLE_INIT(&table, columns, report->arena);
    for (size_t i = 0; i < json_array_size(proofs); i++) {
        const json_t *proof = json_array_get(proofs, i);
        bool valid = nexus_json_bool(proof, "valid");

        NEXUS_TABLE_WRAPPED(
            &table, NEXUS_SENTENCE_COLUMNS, nexus_json_text(proof, "name"),
            valid ? "holds" : "REFUSED",
            piece(report, nexus_show_span_ns(nexus_json_u64(proof, "check_ns"), report->arena)),
            nexus_json_text(proof, valid ? "shows" : "fault"));
    }
    return put_table(report, "proofs", NULL, &table);
}

static int put_usage(struct report *report)
{
    const json_t *usage = json_object_get(report->record, "usage");
    struct hm_arena *arena = report->arena;
    uint64_t gpu = nexus_json_u64(usage, "gpu_ns");
    const char *source = nexus_json_text(usage, "source");
    int rc;

    if (!json_is_object(usage) || nexus_json_u64(report->record, "started_ms") == 0)
        return 0;
    rc = put_line(
        report, "used",
        hm_arena_printf(
            arena, "CPU %s (user %s, system %s)%s%s, memory %s at most",
            piece(report, nexus_show_span_ns(nexus_json_u64(usage, "cpu_ns"), arena)),
            piece(report, nexus_show_span_ns(nexus_json_u64(usage, "cpu_user_ns"), arena)),
            piece(report, nexus_show_span_ns(nexus_json_u64(usage, "cpu_system_ns"), arena)),
            gpu ? ", GPU " : "", gpu ? piece(report, nexus_show_span_ns(gpu, arena)) : "",
            piece(report, nexus_show_size(nexus_json_u64(usage, "memory_peak_bytes"), arena))));
    if (rc)
        return rc;
    return put_line(
        report, "",
        hm_arena_printf(
            arena, "disk: %s read, %s written; output %s%s%s%s",
            piece(report, nexus_show_size(nexus_json_u64(usage, "io_read_bytes"), arena)),
            piece(report, nexus_show_size(nexus_json_u64(usage, "io_write_bytes"), arena)),
            piece(report, nexus_show_size(nexus_json_u64(usage, "output_bytes"), arena)),
            source[0] ? " (measured by " : "", source, source[0] ? ")" : ""));
}

static int put_payment(struct report *report, const json_t *lease, const json_t *receipts)
{
    struct hm_arena *arena = report->arena;
    const char *consumer = piece(
        report, nexus_account_name(report->accounts, nexus_json_text(lease, "consumer"), arena));
    const char *provider = piece(
        report, nexus_account_name(report->accounts, nexus_json_text(lease, "provider"), arena));
    const char *paid = nexus_json_text(lease, "paid");
    const char *refunded = nexus_json_text(lease, "refunded");
    const char *fees = piece(
        report,
        nexus_amount_add(nexus_json_text(json_object_get(receipts, "allocate"), "fee"),
                         nexus_json_text(json_object_get(receipts, "settle"), "fee"), arena));
    int rc;

    if (strcmp(nexus_json_text(lease, "state"), "active") == 0)
        return put_line(report, "paid",
                        hm_arena_printf(arena,
                                        "nothing yet: %s HYPER of %s held until the lease ends",
                                        nexus_json_text(lease, "escrow"), consumer));
    rc = put_line(report, "paid",
                  hm_arena_printf(arena,
                                  "%s HYPER from %s to %s; %s of the %s HYPER held went back", paid,
                                  consumer, provider, refunded,
                                  piece(report, nexus_amount_add(paid, refunded, arena))));
    if (rc)
        return rc;
    return put_line(report, "",
                    hm_arena_printf(arena, "%s CAES minted for %s; fees of %s HYPER burnt",
                                    nexus_json_text(lease, "reward_caes"), provider,
                                    fees[0] ? fees : "0"));
}

static int put_blocks(struct report *report, const json_t *receipts)
{
    static const struct nexus_column columns[] = {{0}, {0}, {0}};
    static const char *const acts[] = {"allocate", "settle"};
    struct nexus_table table;

    NEXUS_TABLE_INIT(&table, columns, report->arena);
    for (size_t i = 0; i < HM_COUNT_OF(acts); i++) {
        const json_t *receipt = json_object_get(receipts, acts[i]);

        if (!json_is_object(receipt))
            continue;
        NEXUS_TABLE_ROW(&table, acts[i],
                        hm_arena_printf(report->arena, "block %llu",
                                        (unsigned long long)nexus_json_u64(receipt, "height")),
                        hm_arena_printf(report->arena, "state root %s",
                                        nexus_json_text(receipt, "state_root")));
    }
    return table.row_count ? put_table(report, "chain", NULL, &table) : table.rc;
}

static int put_notes(struct report *report)
{
    const json_t *warnings = nexus_json_list(report->record, "warnings");
    const char *sandbox = nexus_json_text(report->record, "sandbox");
    int rc = sandbox[0] ? put_line(report, "sandbox", sandbox) : 0;

    for (size_t i = 0; i < json_array_size(warnings) && !rc; i++)
        rc = put_line(report, i == 0 ? "warning" : "",
                      json_string_value(json_array_get(warnings, i)));
    return rc;
}

int nexus_report(const json_t *record, const json_t *accounts, bool color, struct hm_arena *arena,
                 struct hm_buf *out)
{
    struct report report = {record, accounts, arena, out, color, 0};
    const json_t *lease = json_object_get(record, "lease");
    const json_t *receipts = json_object_get(record, "receipts");
    int rc = put_job(&report);

    if (!rc)
        rc = put_outputs(&report);
    if (!rc && json_is_object(lease))
        rc = put_lease(&report, lease);
    if (!rc)
        rc = put_proofs(&report);
    if (!rc)
        rc = put_usage(&report);
    if (!rc && json_is_object(lease))
        rc = put_payment(&report, lease, receipts);
    if (!rc)
        rc = put_blocks(&report, receipts);
    if (!rc)
        rc = put_notes(&report);
    return rc ? rc : report.rc;
}
