#include "sync/packetfs_code.h"

#include <ctype.h>
#include <stdio.h>

#define CODE_TYPED_MAX_BYTES 128
#define CODE_NUMBER_DIGITS   4
#define CODE_PARTS           3

int packetfs_code_make(const struct hm_random *random, char out[PACKETFS_CODE_MAX_BYTES],
                       struct hm_error *error)
{
    struct {
        uint64_t number; /* so wide that the remainder favours nothing */
        uint8_t words[2];
    } drawn;

    if (random->fill(random->ctx, &drawn, sizeof(drawn)) != 0)
        return hm_fail(error, HM_EIO, "the source of random bytes failed");
    (void)snprintf(
        out, PACKETFS_CODE_MAX_BYTES, "%u-%s-%s",
        (unsigned)(PACKETFS_CODE_NUMBER_MIN +
                   drawn.number % (PACKETFS_CODE_NUMBER_MAX - PACKETFS_CODE_NUMBER_MIN + 1)),
        packetfs_code_words[drawn.words[0]], packetfs_code_words[drawn.words[1]]);
    hm_wipe(&drawn, sizeof(drawn));
    return 0;
}

/* --- reading ---------------------------------------------------------------------------------------------------------- */

static bool between(uint8_t c)
{
    return c == '-' || c == ' ' || c == '\t';
}

/* The next part without what stands between parts; empty at the end. */
static struct hm_slice part_take(struct hm_slice *text)
{
    size_t from = 0, to;

    while (from < text->len && between(text->data[from]))
        from++;
    to = from;
    while (to < text->len && !between(text->data[to]))
        to++;
    struct hm_slice part = hm_slice_of(text->data + from, to - from);
    *text = hm_slice_of(text->data + to, text->len - to);
    return part;
}

/* Letters that differ, or a letter more or less, at most one: what a slip of the finger makes. */
static bool slipped(const char *word, struct hm_slice typed)
{
    size_t len = strlen(word), same = 0, same_end = 0;
    size_t shorter = len < typed.len ? len : typed.len, longer = len + typed.len - shorter;

    if (longer - shorter > 1)
        return false;
    while (same < shorter && word[same] == tolower(typed.data[same]))
        same++;
    while (same_end < shorter - same &&
           word[len - 1 - same_end] == tolower(typed.data[typed.len - 1 - same_end]))
        same_end++;
    return same + same_end + 1 >= longer;
}

static bool is_word(const char *word, struct hm_slice typed)
{
    if (strlen(word) != typed.len)
        return false;
    for (size_t i = 0; i < typed.len; i++)
        if (word[i] != tolower(typed.data[i]))
            return false;
    return true;
}

static int word_find(struct hm_slice typed, unsigned place, const char **out,
                     struct hm_error *error)
{
    const char *near = NULL;

    for (size_t i = 0; i < PACKETFS_CODE_WORDS; i++) {
        if (is_word(packetfs_code_words[i], typed)) {
            *out = packetfs_code_words[i];
            return 0;
        }
        if (near == NULL && slipped(packetfs_code_words[i], typed))
            near = packetfs_code_words[i];
    }
    if (near != NULL)
        return hm_fail(error, HM_EINVAL, "word %u of the code is in no code; was it %s?", place,
                       near);
    return hm_fail(error, HM_EINVAL, "word %u of the code is in no code: read it again", place);
}

static bool number_is(struct hm_slice typed)
{
    if (typed.len != CODE_NUMBER_DIGITS || typed.data[0] == '0')
        return false;
    for (size_t i = 0; i < typed.len; i++)
        if (typed.data[i] < '0' || typed.data[i] > '9')
            return false;
    return true;
}

int packetfs_code_parse(struct hm_slice text, char out[PACKETFS_CODE_MAX_BYTES],
                        struct hm_error *error)
{
    struct hm_slice parts[CODE_PARTS];
    const char *words[2];
    int rc;

    if (text.len == 0 || text.len > CODE_TYPED_MAX_BYTES)
        return hm_fail(error, HM_EINVAL, "a code looks like 4821-harbor-violin");
    for (size_t i = 0; i < CODE_PARTS; i++)
        parts[i] = part_take(&text);
    if (parts[CODE_PARTS - 1].len == 0 || part_take(&text).len != 0 || !number_is(parts[0]))
        return hm_fail(error, HM_EINVAL,
                       "a code is four digits and two words, as in 4821-harbor-violin");
    rc = word_find(parts[1], 1, &words[0], error);
    if (rc == 0)
        rc = word_find(parts[2], 2, &words[1], error);
    if (rc == 0)
        (void)snprintf(out, PACKETFS_CODE_MAX_BYTES, "%.*s-%s-%s", (int)parts[0].len,
                       (const char *)parts[0].data, words[0], words[1]);
    return rc;
}
