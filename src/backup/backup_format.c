#include "backup_format.h"

bool backup_name_ok(const char *name)
{
    size_t len = strlen(name);
    size_t part = 0; /* characters of the part so far */

    if (len == 0 || len > BACKUP_NAME_MAX_BYTES)
        return false;
    for (size_t i = 0; i <= len; i++) {
        char c = name[i];

        if (c == '/' || c == '\0') {
            const char *start = name + i - part;

            if (part == 0 || (part == 1 && start[0] == '.') ||
                (part == 2 && start[0] == '.' && start[1] == '.'))
                return false;
            part = 0;
        } else if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                   c == '.' || c == '_' || c == '-') {
            part++;
        } else {
            return false;
        }
    }
    return true;
}

struct hm_slice backup_about(const uint8_t head[BACKUP_HEAD_BYTES], uint64_t number, bool last,
                             uint8_t out[BACKUP_ABOUT_BYTES])
{
    memcpy(out, head, BACKUP_HEAD_BYTES);
    hm_put_be64(out + BACKUP_HEAD_BYTES, number);
    out[BACKUP_HEAD_BYTES + 8] = last;
    return hm_slice_of(out, BACKUP_ABOUT_BYTES);
}

/* --- the stream ------------------------------------------------------------------------------- */

void backup_parser_init(struct backup_parser *parser)
{
    *parser = (struct backup_parser){0};
}

/* Fills `fixed` up to `need` bytes; true when they are all there. */
static bool gather(struct backup_parser *parser, struct hm_slice *bytes, size_t need)
{
    size_t lacks = need > parser->fixed_len ? need - parser->fixed_len : 0;
    size_t take = lacks < bytes->len ? lacks : bytes->len;

    if (take > 0)
        memcpy(parser->fixed + parser->fixed_len, bytes->data, take);
    parser->fixed_len += take;
    bytes->data += take;
    bytes->len -= take;
    return take == lacks;
}

static void record_over(struct backup_parser *parser)
{
    parser->kind = 0;
    parser->fixed_len = 0;
}

static int step_file(struct backup_parser *parser, struct hm_slice *bytes, enum backup_found *found,
                     struct hm_error *error)
{
    size_t len;

    if (!gather(parser, bytes, 2))
        return 0;
    len = (size_t)parser->fixed[0] << 8 | parser->fixed[1];
    if (len > BACKUP_NAME_MAX_BYTES)
        return hm_fail(error, HM_ELIMIT, "the backup has a name of %zu bytes", len);
    if (!gather(parser, bytes, 2 + len))
        return 0;
    memcpy(parser->name, parser->fixed + 2, len);
    parser->name[len] = '\0';
    if (strlen(parser->name) != len || !backup_name_ok(parser->name))
        return hm_fail(error, HM_EPARSE, "the backup has a file with a name that is not allowed");
    if (parser->files == BACKUP_FILES_MAX)
        return hm_fail(error, HM_ELIMIT, "the backup has more than %d files", BACKUP_FILES_MAX);
    parser->files++;
    parser->in_file = true;
    crypto_hasher_init(&parser->hasher);
    record_over(parser);
    *found = BACKUP_FOUND_FILE;
    return 0;
}

static int step_data(struct backup_parser *parser, struct hm_slice *bytes, enum backup_found *found,
                     struct hm_slice *data, struct hm_error *error)
{
    size_t take;

    if (parser->left == 0) {
        if (!gather(parser, bytes, 4))
            return 0;
        parser->left = hm_get_be32(parser->fixed);
        if (parser->left == 0 || parser->left > BACKUP_CHUNK_MAX_BYTES)
            return hm_fail(error, HM_EPARSE, "the backup has a piece of %u bytes", parser->left);
    }
    take = parser->left < bytes->len ? parser->left : bytes->len;
    if (take == 0)
        return 0;
    *data = hm_slice_of(bytes->data, take);
    crypto_hasher_update(&parser->hasher, bytes->data, take);
    bytes->data += take;
    bytes->len -= take;
    parser->left -= (uint32_t)take;
    if (parser->left == 0)
        record_over(parser);
    *found = BACKUP_FOUND_DATA;
    return 0;
}

static int step_done(struct backup_parser *parser, struct hm_slice *bytes, enum backup_found *found,
                     struct hm_error *error)
{
    uint8_t digest[CRYPTO_HASH_BYTES];

    if (!gather(parser, bytes, CRYPTO_HASH_BYTES))
        return 0;
    crypto_hasher_final(&parser->hasher, digest);
    if (memcmp(digest, parser->fixed, sizeof(digest)) != 0)
        return hm_fail(error, HM_EPARSE, "%s in the backup is not what was written", parser->name);
    parser->in_file = false;
    record_over(parser);
    *found = BACKUP_FOUND_DONE;
    return 0;
}

static int step_end(struct backup_parser *parser, struct hm_slice *bytes, enum backup_found *found,
                    struct hm_error *error)
{
    if (!gather(parser, bytes, 4))
        return 0;
    if (hm_get_be32(parser->fixed) != parser->files)
        return hm_fail(error, HM_EPARSE, "the backup has %u files and should have %u",
                       parser->files, hm_get_be32(parser->fixed));
    parser->ended = true;
    record_over(parser);
    *found = BACKUP_FOUND_END;
    return 0;
}

int backup_parser_step(struct backup_parser *parser, struct hm_slice *bytes,
                       enum backup_found *found, struct hm_slice *data, struct hm_error *error)
{
    *found = BACKUP_FOUND_MORE;
    if (bytes->len == 0)
        return 0;
    if (parser->ended)
        return hm_fail(error, HM_EPARSE, "the backup goes on behind its end");
    if (parser->kind == 0) {
        bool between = bytes->data[0] == BACKUP_RECORD_FILE || bytes->data[0] == BACKUP_RECORD_END;

        if (bytes->data[0] < BACKUP_RECORD_FILE || bytes->data[0] > BACKUP_RECORD_END ||
            between == parser->in_file)
            return hm_fail(error, HM_EPARSE, "the backup has a record where it does not belong");
        parser->kind = bytes->data[0];
        bytes->data++;
        bytes->len--;
    }
    switch (parser->kind) {
    case BACKUP_RECORD_FILE:
        return step_file(parser, bytes, found, error);
    case BACKUP_RECORD_DATA:
        return step_data(parser, bytes, found, data, error);
    case BACKUP_RECORD_DONE:
        return step_done(parser, bytes, found, error);
    default:
        return step_end(parser, bytes, found, error);
    }
}
