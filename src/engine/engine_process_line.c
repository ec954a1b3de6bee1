/* A line of the engine's log. It writes JSON; what comes before its log is set up, and a panic, is plain text.
 *
 * What of it may be believed. A peer chooses texts that the engine repeats: its name (moniker), the network it says it is of, every text of
 * a block that it proposes (Header.ChainID), the reason for which it hangs up. These stand inside the engine's fields, above all in `err`,
 * never in `module` nor in the `_msg` of the modules below, which are constants in its program, and never at the start of a line: in JSON quotes and line ends are
 * escaped. (The module "pex" repeats errors in `_msg`; nothing is read of it.) So:
 *
 *   consensus failed   `_msg` begins with LINE_FAILED and the module is "consensus"; nothing is read of its fields. A proposal
 *                      alone does not bring it: the engine says so when it panics on what was decided, or on itself.
 *   state differs      besides, `err` BEGINS with one of line_decided and then one of line_answers, hashes in hex behind; or, while
 *                      catching up, module "blocksync", `_msg` LINE_UNFIT and `err` BEGINS with one of them. The engine verifies two
 *                      thirds' signatures first. Found further on they may be anybody's words and mean nothing. Or a plain line that
 *                      is LINE_PANIC and the same behind it.
 *   a full disk        the error's last part, after its last ": ", is the system's own sentence (but for LINE_ADVICE). A peer's text may end with one too
 *                      (a ChainID is a line's last word), so this is a hint only: engine_process.c asks the disk itself.
 *   panicked           a plain line that begins so; it is told, and nothing is stopped for it.
 *
 * Lost peers and missing blocks are never read from the log, but asked from the engine's RPC and the ledger. A stranger's network
 * (node_era.c) is told as what a peer claims. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#include "engine_process.h"

#define LINE_JSON_DEPTH_MAX 16
#define LINE_FAILED         "CONSENSUS FAILURE"
#define LINE_PANIC          "panic: "

/* Both say what two thirds signed; which comes depends on which votes are here first. */
static const char *const line_decided[] = {"+2/3 committed an invalid block: ",
                                           "precommit step; +2/3 prevoted for an invalid block: "};
#define LINE_UNFIT "Error in validation" /* of blocks that two thirds signed, while catching up */

/* What in a block's header follows from the application's answers. */
static const char *const line_answers[] = {
    "wrong Block.Header.AppHash", "wrong Block.Header.LastResultsHash",
    "wrong Block.Header.ValidatorsHash", "wrong Block.Header.NextValidatorsHash",
    "wrong Block.Header.ConsensusHash"};

static const char *const line_full[] = {"no space left on device", "disk quota exceeded"};

#define LINE_ADVICE \
    "; check your file system and restart the node" /* behind it, of consensus' WAL */

static const char *const line_left_out[] = {"level",  "module", "_msg", "ts",
                                            "caller", "stack",  "impl"};

static enum hm_log_level line_level(const char *text)
{
    if (text == NULL || strcmp(text, "info") == 0)
        return HM_LOG_INFO;
    if (strcmp(text, "debug") == 0)
        return HM_LOG_DEBUG;
    return strcmp(text, "warn") == 0 ? HM_LOG_WARN : HM_LOG_ERROR;
}

static bool line_is_left_out(const char *key)
{
    for (size_t i = 0; i < HM_COUNT_OF(line_left_out); i++)
        if (strcmp(key, line_left_out[i]) == 0)
            return true;
    return false;
}

static int line_add_field(struct hm_buf *out, const char *key, const json_t *value)
{
    const char *space = out->len > 0 ? " " : "";

    if (json_is_string(value))
        return hm_buf_printf(out, "%s%s=%s", space, key, json_string_value(value));
    if (json_is_integer(value))
        return hm_buf_printf(out, "%s%s=%" JSON_INTEGER_FORMAT, space, key,
                             json_integer_value(value));
    if (json_is_real(value))
        return hm_buf_printf(out, "%s%s=%g", space, key, json_real_value(value));
    return json_is_boolean(value)
               ? hm_buf_printf(out, "%s%s=%s", space, key, json_is_true(value) ? "true" : "false")
               : 0; /* nothing of use to a reader */
}

static int line_fields(const json_t *root, struct hm_arena *arena, const char **out)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    const char *key;
    json_t *value;
    char *kept;

    json_object_foreach((json_t *)(uintptr_t)root, key, value)
    {
        if (text.len >= ENGINE_PROCESS_FIELDS_MAX_BYTES)
            break;
        if (!line_is_left_out(key) && line_add_field(&text, key, value) != 0)
            return HM_ENOMEM;
    }
    if (text.len > ENGINE_PROCESS_FIELDS_MAX_BYTES)
        text.len = ENGINE_PROCESS_FIELDS_MAX_BYTES;
    kept = hm_arena_printf(arena, "%.*s", (int)text.len, text.data ? (char *)text.data : "");
    if (kept == NULL)
        return HM_ENOMEM;
    hm_text_clean(kept);
    *out = kept;
    return 0;
}

static char *line_text(struct hm_arena *arena, const char *text, size_t len)
{
    char *kept = hm_arena_printf(
        arena, "%.*s",
        (int)(len < ENGINE_PROCESS_FIELDS_MAX_BYTES ? len : ENGINE_PROCESS_FIELDS_MAX_BYTES), text);

    if (kept != NULL)
        hm_text_clean(kept);
    return kept;
}

static bool line_is(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* Begins with one of line_answers, the whole word of it. */
static bool line_is_answer(const char *why)
{
    for (size_t i = 0; i < HM_COUNT_OF(line_answers); i++)
        if (line_is(why, line_answers[i]) && strchr(". ", why[strlen(line_answers[i])]) != NULL)
            return true;
    return false;
}

/* The system's sentence stands last. */
static bool line_is_full(const char *why)
{
    size_t len = strlen(why), advice = strlen(LINE_ADVICE);

    if (len >= advice && strcmp(why + len - advice, LINE_ADVICE) == 0)
        len -= advice;
    for (size_t i = 0; i < HM_COUNT_OF(line_full); i++) {
        size_t end = strlen(line_full[i]);

        if (len >= end && memcmp(why + len - end, line_full[i], end) == 0 &&
            (len == end || (len >= end + 2 && memcmp(why + len - end - 2, ": ", 2) == 0)))
            return true;
    }
    return false;
}

/* What two thirds have voted for does not fit this node's own answers. */
static bool line_is_decided(const char *why)
{
    for (size_t i = 0; i < HM_COUNT_OF(line_decided); i++)
        if (line_is(why, line_decided[i]))
            return line_is_answer(why + strlen(line_decided[i]));
    return false;
}

/* A single proposer's unfit block is refused with other words ("prevote step"): here it has two thirds behind it. */
static enum engine_process_event line_event(const char *module, const char *text, const char *why)
{
    if (strcmp(module, "consensus") == 0 && line_is(text, LINE_FAILED))
        return line_is_decided(why) ? ENGINE_PROCESS_STATE_DIFFERS
                                    : ENGINE_PROCESS_CONSENSUS_FAILED;
    return strcmp(module, "blocksync") == 0 && strcmp(text, LINE_UNFIT) == 0 && line_is_answer(why)
               ? ENGINE_PROCESS_STATE_DIFFERS
               : ENGINE_PROCESS_NOTHING;
}

static int line_of_json(const json_t *root, struct hm_arena *arena, struct engine_process_line *out)
{
    const char *text = json_string_value(json_object_get(root, "_msg"));
    const char *module = json_string_value(json_object_get(root, "module"));
    struct engine_process_line line = {
        .level = line_level(json_string_value(json_object_get(root, "level")))};

    text = text != NULL ? text : "";
    module = module != NULL ? module : "";
    line.text = line_text(arena, text, strlen(text));
    line.module = line_text(arena, module, strlen(module));
    if (line.text == NULL || line.module == NULL || line_fields(root, arena, &line.fields) != 0)
        return HM_ENOMEM;
    const char *why = json_string_value(json_object_get(root, "err"));
    line.event = line_event(module, text, why != NULL ? why : "");
    line.no_space = line.level == HM_LOG_ERROR && why != NULL && line_is_full(why);
    *out = line;
    return 0;
}

static bool line_begins(struct hm_slice line, const char *with)
{
    size_t len = strlen(with);

    return line.len >= len && memcmp(line.data, with, len) == 0;
}

/* Where its consensus reads its own log again, at its start, nothing catches the panic. */
static bool line_panics_on_state(struct hm_slice line, struct hm_arena *arena)
{
    const size_t skip = sizeof(LINE_PANIC) - 1;
    const char *why = line_text(arena, (const char *)line.data + skip, line.len - skip);

    return why != NULL && line_is_decided(why);
}

static int line_of_text(struct hm_slice line, struct hm_arena *arena,
                        struct engine_process_line *out)
{
    struct engine_process_line plain = {.level = HM_LOG_INFO, .module = "", .fields = ""};

    if (line_begins(line, "panic:") || line_begins(line, "fatal error:"))
        plain.event = ENGINE_PROCESS_PANICKED;
    if (line_begins(line, LINE_PANIC) && line_panics_on_state(line, arena))
        plain.event = ENGINE_PROCESS_STATE_DIFFERS;
    /* JSON that was cut because it was too long. */
    if (line_begins(line, "{") && memmem(line.data, line.len, "\"_msg\":\"" LINE_FAILED,
                                         sizeof("\"_msg\":\"" LINE_FAILED) - 1) != NULL)
        plain.event = ENGINE_PROCESS_CONSENSUS_FAILED;
    if (plain.event != ENGINE_PROCESS_NOTHING || line_begins(line, "ERROR") ||
        line_begins(line, "Error"))
        plain.level = HM_LOG_ERROR;
    plain.text = line_text(arena, (const char *)line.data, line.len);
    if (plain.text == NULL)
        return HM_ENOMEM;
    plain.no_space = plain.level == HM_LOG_ERROR && line_is_full(plain.text);
    *out = plain;
    return 0;
}

int engine_process_line_read(struct hm_slice line, struct hm_arena *arena,
                             struct engine_process_line *out, struct hm_error *error)
{
    json_t *root = NULL;
    int rc = HM_EPARSE;

    if (line.len == 0)
        line = hm_slice_str("");
    if (line.len <= ENGINE_PROCESS_LINE_MAX_BYTES && line_begins(line, "{") &&
        hm_json_is_within(line, LINE_JSON_DEPTH_MAX))
        rc = hm_json_parse(line, 0, &root, NULL);
    if (rc == 0 && json_is_object(root))
        rc = line_of_json(root, arena, out);
    else if (rc != HM_ENOMEM)
        rc = line_of_text(line, arena, out);
    json_decref(root);
    return rc != 0 ? hm_fail(error, rc, "no memory for a line of the engine's log") : 0;
}
