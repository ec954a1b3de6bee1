/* A chain can be come back to, and its nodes still hold a validator to what it signed there: so no record is written over by that of
 * another chain. In two steps, the mark between them: set aside what was, begin what is. Each may be done twice. */
#include "node_era_record.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "json.h"

#define RECORD_FILE_MODE  0600
#define RECORD_MAX_BYTES  65536
#define RECORD_MARK_BYTES 256
/* No record: the name of no chain. */
#define RECORD_IS_ASIDE "-"
/* A validator with such a record signs nothing: what it has signed is not known. */
#define RECORD_SIGNED_ALL UINT64_C(9223372036854775807)
#define RECORD_NAME_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
#define RECORD_NAME_MAX   64

/* The bytes of one, which CometBFT signs again as they are, and its height. */
struct record {
    struct hm_buf text;
    uint64_t height;
    bool there, known;
};

static void record_release(struct record *record)
{
    hm_buf_release(&record->text);
}

/* --- reading and writing -------------------------------------------------------------------------------------- */

static int record_height(struct hm_slice text, uint64_t *height, struct hm_error *error)
{
    HM_CLEANUP(json) json_t *json = NULL;
    int rc = hm_json_parse(text, JSON_REJECT_DUPLICATES, &json, NULL);

    if (rc != 0)
        return hm_fail(error, rc, "it is not JSON");
    const char *digits = json_string_value(json_object_get(json, "height"));
    return digits != NULL ? hm_u64_parse(digits, height, error)
                          : hm_fail(error, HM_EPARSE, "it has no height");
}

static int record_read(const char *path, struct record *out, struct hm_error *error)
{
    int rc = hm_file_read(path, RECORD_MAX_BYTES, &out->text, error);

    if (rc == HM_ENOTFOUND)
        return 0;
    if (rc == 0)
        rc = record_height(hm_buf_slice(&out->text), &out->height, error);
    if (rc != 0)
        return hm_error_prefix(error, rc, "%s, the record of what a validator has signed", path);
    out->there = true;
    out->known = out->height < RECORD_SIGNED_ALL;
    return 0;
}

static int record_write(const char *path, uint64_t height, struct hm_error *error)
{
    HM_AUTOFREE char *text = hm_asprintf("{\"height\":\"%" PRIu64 "\",\"round\":0,\"step\":0}\n",
                                         height);

    return text != NULL ? hm_file_replace(path, text, strlen(text), RECORD_FILE_MODE, error)
                        : hm_fail(error, HM_ENOMEM, "no memory for a validator's record");
}

static char *record_path(const struct node_era_turn *turn)
{
    return hm_asprintf("%s/" ENGINE_VALIDATOR_STATE_NAME, turn->keys);
}

/* NULL: no memory, or the name is none. */
static char *record_aside_path(const struct node_era_turn *turn, const char *chain)
{
    size_t len = strlen(chain);

    if (len == 0 || len > RECORD_NAME_MAX || strspn(chain, RECORD_NAME_CHARS) != len)
        return NULL;
    return hm_asprintf("%s/priv_validator_state.%s.json", turn->keys, chain);
}

static int record_bad_name(const char *chain, struct hm_error *error)
{
    return hm_fail(error, HM_EINVAL,
                   "'%.100s' is no name of a chain: at most %d letters, digits and -._", chain,
                   RECORD_NAME_MAX);
}

/* --- before --------------------------------------------------------------------------------------------------- */

static int record_missing(const char *path, struct hm_error *error)
{
    return hm_fail(error, HM_ECONFLICT,
                   "%s is missing, the record of what the key beside it has signed: with "
                   "unix:// servers, asked for their newest block, it can begin after that",
                   path);
}

int node_era_record_check(const struct node_era_turn *turn, bool any, bool same, bool fresh,
                          struct hm_error *error)
{
    HM_AUTOFREE char *path = record_path(turn);
    HM_AUTOFREE char *aside_path = record_aside_path(turn, turn->chain);
    HM_CLEANUP(record) struct record now = {.height = 0};
    HM_CLEANUP(record) struct record aside = {.height = 0};

    if (path == NULL || aside_path == NULL)
        return record_bad_name(turn->chain, error);
    int rc = record_read(path, &now, error);
    if (rc == 0)
        rc = record_read(aside_path, &aside, error);
    if (rc != 0)
        return rc;
    if (!any && now.known) /* of what chain is not known: what is higher stays */
        return turn->signed_height > now.height ? record_write(path, turn->signed_height, error)
                                                : 0;
    /* The others' answer is what counts when the record of that chain is lost; where it was never on it, its own record says so. */
    if (now.known ? !same && aside.there && !aside.known && turn->signed_height == 0
                  : !(fresh && any) && turn->signed_height == 0 && (same || !aside.known))
        return record_missing(now.known ? aside_path : path, error);
    if (now.known)
        return 0;
    return record_write(path, same || !any ? turn->signed_height : RECORD_SIGNED_ALL, error);
}

/* --- the turn ------------------------------------------------------------------------------------------------- */

int node_era_record_mark(const struct node_era_turn *turn, const char *path, const char *old,
                         struct hm_error *error)
{
    char text[RECORD_MARK_BYTES];
    int len = snprintf(text, sizeof(text), "%s %" PRIu64 "\n", old, turn->signed_height);

    if (len <= 0 || (size_t)len >= sizeof(text))
        return record_bad_name(old, error);
    return hm_file_replace(path, text, (size_t)len, RECORD_FILE_MODE, error);
}

/* An empty mark sets nothing aside. */
static int record_mark_read(const char *path, char old[RECORD_MARK_BYTES], uint64_t *signed_height,
                            struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    int rc = hm_file_read(path, RECORD_MARK_BYTES - 1, &text, error);

    *signed_height = 0;
    snprintf(old, RECORD_MARK_BYTES, RECORD_IS_ASIDE);
    if (rc != 0 || text.len == 0)
        return rc;
    snprintf(old, RECORD_MARK_BYTES, "%s", hm_buf_cstr(&text));
    old[strcspn(old, "\n")] = '\0';
    char *space = strchr(old, ' ');
    if (space == NULL)
        return hm_fail(error, HM_EPARSE, "%s does not say whose record is set aside", path);
    *space = '\0';
    rc = hm_u64_parse(space + 1, signed_height, error);
    return rc != 0 ? hm_error_prefix(error, rc, "%s", path) : 0;
}

/* What lies aside never gets lower. A record that was missing is one of which nothing is known. */
static int record_set_aside(const struct node_era_turn *turn, const char *old,
                            struct hm_error *error)
{
    HM_AUTOFREE char *path = record_path(turn);
    HM_AUTOFREE char *aside_path = record_aside_path(turn, old);
    HM_CLEANUP(record) struct record now = {.height = 0};
    HM_CLEANUP(record) struct record aside = {.height = 0};

    if (path == NULL || aside_path == NULL)
        return record_bad_name(old, error);
    int rc = record_read(path, &now, error);
    if (rc == 0)
        rc = record_read(aside_path, &aside, error);
    if (rc != 0 || (aside.there && aside.height > now.height))
        return rc;
    return now.there
               ? hm_file_replace(aside_path, now.text.data, now.text.len, RECORD_FILE_MODE, error)
               : record_write(aside_path, RECORD_SIGNED_ALL, error);
}

static int record_begin(const struct node_era_turn *turn, uint64_t signed_height,
                        struct hm_error *error)
{
    HM_AUTOFREE char *path = record_path(turn);
    HM_AUTOFREE char *aside_path = record_aside_path(turn, turn->chain);
    HM_CLEANUP(record) struct record aside = {.height = 0};

    if (path == NULL || aside_path == NULL)
        return record_bad_name(turn->chain, error);
    int rc = record_read(aside_path, &aside, error);
    if (rc != 0)
        return rc;
    /* It is exact: with a later one of the others' a chain that waits for just this validator would wait for ever. */
    if (aside.known || (aside.there && signed_height == 0))
        return hm_file_replace(path, aside.text.data, aside.text.len, RECORD_FILE_MODE, error);
    return record_write(path, signed_height, error);
}

int node_era_record_begin(const struct node_era_turn *turn, struct hm_error *error)
{
    char old[RECORD_MARK_BYTES];
    struct node_era_turn now = *turn;
    int rc = record_mark_read(turn->mark, old, &now.signed_height, error);

    if (rc != 0)
        return rc == HM_ENOTFOUND ? 0 : rc;
    if (strcmp(old, RECORD_IS_ASIDE) != 0) {
        rc = record_set_aside(turn, old, error);
        if (rc == 0) /* from here on the record is the new chain's */
            rc = node_era_record_mark(&now, turn->mark, RECORD_IS_ASIDE, error);
    }
    return rc != 0 ? rc : record_begin(turn, now.signed_height, error);
}
