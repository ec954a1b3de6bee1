/* rm, prune, check, repair, stats. */
#include "cli.h"

/* --- rm -------------------------------------------------------------------------------------------------------------- */
static int run_rm(struct cli_call *call)
{
    struct packetfs_snapshot *found = hm_calloc(call->operand_count, sizeof(*found));
    char id[2 * PACKETFS_SNAPSHOT_ID_BYTES + 1];
    int rc = found != NULL ? cli_volume(call, false) : cli_no_memory(call);

    /* All or none are known before the first goes. */
    for (size_t i = 0; i < call->operand_count && rc == 0; i++)
        rc = cli_snapshot(call, cli_operand(call, i), &found[i], NULL);
    if (rc == 0 && call->json)
        cli_json_open('[');
    for (size_t i = 0; i < call->operand_count && rc == 0; i++) {
        rc = packetfs_remove(call->volume, found[i].id, &call->error);
        if (rc == 0 && call->json)
            cli_json_snapshot(&found[i]);
        else if (rc == 0)
            (void)printf("removed %.12s  %s\n",
                         cli_show_id(found[i].id, PACKETFS_SNAPSHOT_ID_BYTES, id), found[i].label);
    }
    if (call->json)
        cli_json_close();
    hm_free(found);
    return rc;
}

const struct cli_verb verb_rm = {.name = "rm",
                                 .operands = "SNAPSHOT...",
                                 .operands_min = 1,
                                 .operands_max = SIZE_MAX,
                                 .summary = "Forget snapshots; prune gives the room back",
                                 .run = run_rm};

/* --- prune ----------------------------------------------------------------------------------------------------------- */
static const struct cli_option prune_options[] = {
    {.name = "keep-last", .value = "N", .help = "forget all but the newest N of each label"},
    {.name = "keep-hourly",
     .value = "N",
     .help = "and the newest of each of the last N hours that have one"},
    {.name = "keep-daily", .value = "N", .help = "... of the last N days"},
    {.name = "keep-weekly", .value = "N", .help = "... weeks"},
    {.name = "keep-monthly", .value = "N", .help = "... months"},
    {.name = "keep-yearly", .value = "N", .help = "... years"},
    {.name = "label", .letter = 'l', .value = "LABEL", .help = "forget only snapshots called so"},
    {.name = "unused",
     .value = "PERCENT",
     .help = "rewrite packs of which more than this is unused; default: 20"},
    {.name = "dry-run", .letter = 'n', .help = "only say what would be done"},
};
#define KEEP_MAX       1000000
#define UNUSED_DEFAULT 20
#define PERCENT_MAX    99

static int keep_of(struct cli_call *call, const char *name, unsigned *out, bool *any)
{
    uint64_t value = 0;
    int rc = cli_number(call, name, KEEP_MAX, &value);

    *any = *any || cli_has(call, name);
    *out = (unsigned)value;
    return rc;
}

static void show_retained(void *ctx, const struct packetfs_snapshot *s, bool kept)
{
    const struct cli_call *call = ctx;
    char id[2 * PACKETFS_SNAPSHOT_ID_BYTES + 1], time[CLI_SHOW_BYTES];

    if (call->json) {
        cli_json_open('{');
        cli_json_key("kept");
        cli_json_bool(kept);
        cli_json_key("snapshot");
        cli_json_snapshot(s);
        cli_json_close();
    } else {
        (void)printf("%s  %.12s  %s  %s\n", kept ? "keep  " : "forget",
                     cli_show_id(s->id, PACKETFS_SNAPSHOT_ID_BYTES, id),
                     cli_show_time((int64_t)(s->time_ns / 1000000000u), time), s->label);
    }
}

static int retain(struct cli_call *call)
{
    struct packetfs_retention keep = {.label = cli_value(call, "label"),
                                      .dry_run = cli_has(call, "dry-run")};
    bool any = false;
    int rc = keep_of(call, "keep-last", &keep.last, &any);

    if (rc == 0)
        rc = keep_of(call, "keep-hourly", &keep.hourly, &any);
    if (rc == 0)
        rc = keep_of(call, "keep-daily", &keep.daily, &any);
    if (rc == 0)
        rc = keep_of(call, "keep-weekly", &keep.weekly, &any);
    if (rc == 0)
        rc = keep_of(call, "keep-monthly", &keep.monthly, &any);
    if (rc == 0)
        rc = keep_of(call, "keep-yearly", &keep.yearly, &any);
    if (rc == 0 && !any && keep.label != NULL)
        rc = cli_fail(call, PACKETFS_EINVAL, "--label goes with --keep-...");
    if (rc != 0)
        return rc;
    if (call->json) {
        cli_json_key("snapshots");
        cli_json_open('[');
    }
    if (any)
        rc = packetfs_retain(call->volume, &keep, show_retained, call, &call->error);
    if (call->json)
        cli_json_close();
    return rc;
}

static void show_pruned(const struct cli_call *call, const struct packetfs_prune_result *r)
{
    char freed[CLI_SHOW_BYTES], rewritten[CLI_SHOW_BYTES];

    if (!call->json) {
        (void)printf("%llu objects in use, %llu removed; %s freed, %s rewritten; %llu packs "
                     "removed, %llu wait for puts that began before\n",
                     (unsigned long long)r->objects_live, (unsigned long long)r->objects_removed,
                     cli_show_size(r->bytes_freed, freed),
                     cli_show_size(r->bytes_rewritten, rewritten),
                     (unsigned long long)r->packs_removed, (unsigned long long)r->packs_waiting);
        return;
    }
    cli_json_pair("objects_live", r->objects_live);
    cli_json_pair("objects_removed", r->objects_removed);
    cli_json_pair("packs_removed", r->packs_removed);
    cli_json_pair("packs_waiting", r->packs_waiting);
    cli_json_pair("bytes_freed", r->bytes_freed);
    cli_json_pair("bytes_rewritten", r->bytes_rewritten);
    cli_json_findings(call);
}

static int run_prune(struct cli_call *call)
{
    struct packetfs_prune_options options = {.dry_run = cli_has(call, "dry-run")};
    struct packetfs_prune_result result = {0};
    uint64_t unused = UNUSED_DEFAULT;
    int rc = cli_number(call, "unused", PERCENT_MAX, &unused);

    options.unused_percent = (unsigned)unused;
    if (rc == 0)
        rc = cli_volume(call, false);
    if (rc != 0)
        return rc;
    if (call->json)
        cli_json_open('{');
    rc = retain(call);
    if (rc == 0) {
        rc = packetfs_prune(call->volume, &options, cli_watch(call), &result, &call->error);
        cli_watch_end(call);
    }
    if (rc == 0)
        show_pruned(call, &result);
    if (call->json)
        cli_json_close();
    return rc;
}

const struct cli_verb verb_prune = {.name = "prune",
                                    .summary = "Give back the room of what no snapshot needs",
                                    .text = "With --keep-...: forgets snapshots first, a label at "
                                            "a time; what any of them keeps stays.\n"
                                            "Days and hours are UTC. Runs beside put and get.",
                                    .options = prune_options,
                                    .option_count = HM_COUNT_OF(prune_options),
                                    .run = run_prune};

/* --- check, repair --------------------------------------------------------------------------------------------------- */
static const struct cli_option check_options[] = {
    {.name = "full", .help = "read, open and hash every object, not only see that it is there"},
};

static void show_checked(const struct cli_call *call, const struct packetfs_check_result *r)
{
    char read[CLI_SHOW_BYTES];

    if (!call->json) {
        (void)printf("%llu snapshots, %llu objects, %llu packs; %s read; %llu findings\n",
                     (unsigned long long)r->snapshots, (unsigned long long)r->objects,
                     (unsigned long long)r->packs, cli_show_size(r->bytes_read, read),
                     (unsigned long long)r->findings);
        return;
    }
    cli_json_open('{');
    cli_json_pair("snapshots", r->snapshots);
    cli_json_pair("objects", r->objects);
    cli_json_pair("packs", r->packs);
    cli_json_pair("bytes_read", r->bytes_read);
    cli_json_pair("finding_count", r->findings);
    cli_json_findings(call);
    cli_json_close();
}

static int run_check(struct cli_call *call)
{
    struct packetfs_check_result result = {0};
    int rc = cli_volume(call, true);

    if (rc != 0)
        return rc;
    rc = packetfs_check(call->volume, cli_has(call, "full"), cli_watch(call), &result,
                        &call->error);
    cli_watch_end(call);
    if (rc == PACKETFS_ECORRUPT)
        call->hint = "packetfs repair saves what can be saved";
    if (rc == 0 || rc == PACKETFS_ECORRUPT)
        show_checked(call, &result);
    return rc;
}

const struct cli_verb verb_check = {
    .name = "check",
    .summary = "See whether everything stored is there and whole",
    .text = "Ends with 6 when something is not; each finding is named.",
    .options = check_options,
    .option_count = HM_COUNT_OF(check_options),
    .run = run_check};

static int run_repair(struct cli_call *call)
{
    struct packetfs_check_result result = {0};
    int rc = cli_volume(call, false);

    if (rc != 0)
        return rc;
    rc = packetfs_repair(call->volume, cli_watch(call), &result, &call->error);
    cli_watch_end(call);
    if (rc == 0 || rc == PACKETFS_ECORRUPT)
        show_checked(call, &result);
    return rc;
}

const struct cli_verb verb_repair = {
    .name = "repair",
    .summary = "Make the index again and set damaged packs aside",
    .text = "No put may run. Says what each snapshot lost, if anything.",
    .run = run_repair};

/* --- stats ----------------------------------------------------------------------------------------------------------- */
static int run_stats(struct cli_call *call)
{
    struct packetfs_stats s = {0};
    char id[33], packs[CLI_SHOW_BYTES], index[CLI_SHOW_BYTES];
    int rc = cli_volume(call, true);

    if (rc == 0)
        rc = packetfs_count(call->volume, &s, &call->error);
    if (rc != 0)
        return rc;
    packetfs_volume_id(call->volume, id);
    if (!call->json) {
        (void)printf(
            "volume      %s\nsnapshots   %llu\npatterns    %llu\nreferences  %llu\n"
            "dictionaries %llu\n"
            "packs       %llu, %s; %llu of them condemned\nindex       %s\nwriters     %llu\n",
            id, (unsigned long long)s.snapshots, (unsigned long long)s.patterns,
            (unsigned long long)s.references, (unsigned long long)s.dictionaries,
            (unsigned long long)s.packs, cli_show_size(s.bytes_packs, packs),
            (unsigned long long)s.packs_condemned, cli_show_size(s.bytes_index, index),
            (unsigned long long)s.writers);
        return 0;
    }
    cli_json_open('{');
    cli_json_key("id");
    cli_json_text(id);
    cli_json_pair("snapshots", s.snapshots);
    cli_json_pair("patterns", s.patterns);
    cli_json_pair("references", s.references);
    cli_json_pair("dictionaries", s.dictionaries);
    cli_json_pair("packs", s.packs);
    cli_json_pair("packs_condemned", s.packs_condemned);
    cli_json_pair("bytes_packs", s.bytes_packs);
    cli_json_pair("bytes_index", s.bytes_index);
    cli_json_pair("writers", s.writers);
    cli_json_close();
    return 0;
}

const struct cli_verb verb_stats = {
    .name = "stats", .summary = "Count what the volume holds", .run = run_stats};
