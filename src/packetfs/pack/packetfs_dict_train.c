/* The trainer with fixed parameters is in zstd's library since 1.3.8 and not among what its header shows unasked. The one shown
 * tries several parameters on three quarters of the samples: four times the time, for a dictionary that measured worse. */
#define ZDICT_STATIC_LINKING_ONLY
#include <zdict.h>

#include "pack/packetfs_dict.h"

#define SEGMENT_BYTES          1024u /* of what is taken over as a whole (k) */
#define MATCH_BYTES            8u /* of what is counted (d) */
#define COUNT_LOG              20u /* 2^20 counters (f) */
#define ROOM_FIRST             256u
#define SAMPLES_PER_DICTIONARY 8u /* bytes of samples for each of the dictionary */

/* --- samples --- */

static int add(struct hm_buf *bytes, size_t **lens, size_t *count, size_t *room,
               struct hm_slice sample)
{
    if (*count == *room) {
        size_t more = *room ? *room * 2 : ROOM_FIRST;
        size_t *grown = hm_realloc(*lens, more * sizeof(*grown));

        if (!grown)
            return HM_ENOMEM;
        *lens = grown;
        *room = more;
    }
    if (hm_buf_append(bytes, sample.data, sample.len))
        return HM_ENOMEM;
    (*lens)[(*count)++] = sample.len;
    return 0;
}

int packetfs_dict_sample(struct packetfs_dict_samples *samples, struct hm_slice bytes)
{
    if ((samples->count + samples->held_count) % PACKETFS_DICT_HELD_EVERY ==
        PACKETFS_DICT_HELD_EVERY - 1)
        return add(&samples->held, &samples->held_lens, &samples->held_count, &samples->held_room,
                   bytes);
    return add(&samples->bytes, &samples->lens, &samples->count, &samples->room, bytes);
}

static void wipe(struct hm_buf *bytes)
{
    if (bytes->data)
        hm_wipe(bytes->data, bytes->cap);
    hm_buf_release(bytes);
}

void packetfs_dict_samples_release(struct packetfs_dict_samples *samples)
{
    wipe(&samples->bytes);
    wipe(&samples->held);
    hm_free(samples->lens);
    hm_free(samples->held_lens);
    memset(samples, 0, sizeof(*samples));
}

/* --- judging --- */

/* What the samples held back would take. */
static int cost(const struct packetfs_dict_samples *samples, struct packetfs_codec *codec,
                int level, const struct packetfs_dict *dict, uint64_t *out, struct hm_error *error)
{
    const uint8_t *at = samples->held.data;

    *out = 0;
    for (size_t i = 0; i < samples->held_count; i++) {
        struct packetfs_frame frame;
        int rc = packetfs_codec_pack(codec, level, dict, hm_slice_of(at, samples->held_lens[i]),
                                     &frame, error);

        if (rc)
            return rc;
        *out += packetfs_frame_len(&frame);
        at += samples->held_lens[i];
    }
    return 0;
}

static int judge(const struct packetfs_dict_samples *samples, int level,
                 const struct packetfs_dict *before, struct hm_slice object, bool *good,
                 struct hm_error *error)
{
    static const struct packetfs_id no_id;
    struct packetfs_dict *dict = NULL;
    struct packetfs_codec *codec = NULL;
    uint64_t with = 0, without = 0;
    int rc = packetfs_dict_new(&no_id, object, level, &dict, error);

    if (!rc && packetfs_codec_new(&codec))
        rc = hm_fail(error, HM_ENOMEM, "no memory to judge a dictionary");
    if (!rc)
        rc = cost(samples, codec, level, before, &without, error);
    if (!rc)
        rc = cost(samples, codec, level, dict, &with, error);
    packetfs_codec_free(codec);
    packetfs_dict_free(dict);
    *good = !rc && with * 100 <= without * (100 - PACKETFS_DICT_GAIN_PERCENT);
    return rc;
}

/* --- training --- */

/* 0 bytes: zstd finds nothing that they have in common. */
static size_t train(const struct packetfs_dict_samples *samples, uint8_t *room, size_t room_bytes,
                    int level)
{
    ZDICT_fastCover_params_t parameters = {
        .k = SEGMENT_BYTES, .d = MATCH_BYTES, .f = COUNT_LOG, .accel = 1};
    size_t len;

    parameters.zParams.compressionLevel = level;
    len = ZDICT_trainFromBuffer_fastCover(room, room_bytes, samples->bytes.data, samples->lens,
                                          (unsigned)samples->count, parameters);
    return ZDICT_isError(len) ? 0 : len;
}

int packetfs_dict_train(const struct packetfs_dict_samples *samples, unsigned class,
                        uint32_t sequence, int level, const struct packetfs_dict *before,
                        struct hm_buf *out, struct hm_error *error)
{
    size_t most = samples->bytes.len / SAMPLES_PER_DICTIONARY;
    struct packetfs_dict_head head = {.class = class, .sequence = sequence};
    HM_AUTOFREE uint8_t *room = NULL;
    bool good = false;
    size_t len;
    int rc;

    if (samples->count < PACKETFS_DICT_SAMPLES_MIN || samples->held_count == 0)
        return 0;
    most = most < PACKETFS_DICT_TRAINED_BYTES ? most : PACKETFS_DICT_TRAINED_BYTES;
    room = hm_malloc(most + 1);
    if (!room)
        return hm_fail(error, HM_ENOMEM, "no memory to train a dictionary");
    len = train(samples, room, most, level);
    if (len == 0)
        return 0;
    head.trained = hm_slice_of(room, len);
    rc = packetfs_dict_write(&head, out);
    if (rc)
        (void)hm_fail(error, rc, "no memory to train a dictionary");
    else
        rc = judge(samples, level, before, hm_buf_slice(out), &good, error);
    if (rc || !good)
        wipe(out);
    return rc;
}
