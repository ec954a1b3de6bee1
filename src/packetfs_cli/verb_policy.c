/* What the written policy would choose, and why. */
#include <stdio.h>

#include "cli_policy.h"

#define DENSE_PERCENT 90 /* of what was looked at: then it is packed */

static void show_measure(const struct cli_measure *m, bool packed)
{
    char size[CLI_SHOW_BYTES], sampled[CLI_SHOW_BYTES];

    (void)printf("%-12s %s in %llu file%s", "data", cli_show_size(m->bytes, size),
                 (unsigned long long)m->files, m->files == 1 ? "" : "s");
    if (m->sampled > 0)
        (void)printf("; %s looked at, %llu %% of it compressed or encrypted already: %s",
                     cli_show_size(m->sampled, sampled),
                     (unsigned long long)(m->dense * 100 / m->sampled),
                     packed ? "packed" : "mixed");
    (void)printf("\n");
}

static void show_measure_json(const struct cli_measure *m)
{
    cli_json_key("measured");
    cli_json_open('{');
    cli_json_pair("bytes", m->bytes);
    cli_json_pair("files", m->files);
    cli_json_pair("sampled_bytes", m->sampled);
    cli_json_pair("dense_bytes", m->dense);
    cli_json_pair("unread", m->unread);
    cli_json_close();
}

static const char *data_name(enum packetfs_redundancy kind)
{
    return kind == PACKETFS_DATA_PACKED       ? "packed"
           : kind == PACKETFS_DATA_REPETITIVE ? "repetitive"
                                              : "mixed";
}

static void show_circumstances_json(const struct packetfs_circumstances *c)
{
    cli_json_key("circumstances");
    cli_json_open('{');
    cli_json_pair("bytes", c->bytes);
    cli_json_key("data");
    cli_json_text(data_name(c->redundancy));
    cli_json_pair("link_mbit", c->link_mbit);
    cli_json_key("store");
    cli_json_text(c->trusted ? "trusted" : "untrusted");
    cli_json_close();
}

static int run(struct cli_call *call)
{
    struct packetfs_circumstances c = {.bytes = 0};
    struct cli_measure m = {.bytes = 0};
    struct packetfs_reason reasons[PACKETFS_REASONS];
    struct packetfs_parameters parameters;
    bool packed;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < call->operand_count; i++)
        rc = cli_measure(call, cli_operand(call, i), &m);
    packed = m.sampled > 0 && m.dense * 100 >= m.sampled * DENSE_PERCENT;
    c.bytes = m.bytes;
    c.redundancy = packed ? PACKETFS_DATA_PACKED : PACKETFS_DATA_MIXED;
    if (rc == 0) /* what is said outright counts more than what was measured */
        rc = cli_circumstances(call, &c);
    if (rc != 0)
        return rc;
    packetfs_policy(&c, &parameters, reasons);
    if (!call->json) {
        if (call->operand_count > 0)
            show_measure(&m, packed);
        if (m.unread > 0)
            cli_say("%llu files or folders could not be read", (unsigned long long)m.unread);
        cli_explain(false, reasons);
        return 0;
    }
    cli_json_open('{');
    show_circumstances_json(&c);
    if (call->operand_count > 0)
        show_measure_json(&m);
    cli_json_key("choices");
    cli_explain(true, reasons);
    cli_json_close();
    return 0;
}

static const struct cli_option options[] = {CLI_POLICY_OPTIONS};

const struct cli_verb verb_policy = {
    .name = "policy",
    .operands = "[PATH...]",
    .operands_max = SIZE_MAX,
    .words = "@file",
    .summary = "Show how a volume would cut, compress, seal and pad, and why",
    .text = "With PATHs their size is taken, and a look at their data says whether it is packed; "
            "--size and --data say otherwise. Makes nothing: init follows it.",
    .options = options,
    .option_count = HM_COUNT_OF(options),
    .run = run,
};
