/* Which dictionary a writer compresses with, and when it makes one. A class of small patterns uses the newest dictionary that the volume
 * has for it. Where there is none, the first PACKETFS_DICT_FIRST_BYTES that this writer brings of the class are samples (and so many that
 * PACKETFS_DICT_SAMPLES_MIN can be trained with), and one is trained. After that, or where there is one, every PACKETFS_DICT_AGAIN_EVERYth is a sample, and with
 * PACKETFS_DICT_AGAIN_TIMES as many bytes of them one is trained that must beat the one in use. Each happens once a writer and class. Without memory for
 * it nothing is trained; that is no failure. */
#include "store/packetfs_writer_inner.h"

struct class_state {
    bool looked; /* for what the volume has */
    bool again; /* the first was found, or tried: now for a better one */
    bool closed; /* nothing is sampled any more */
    bool training; /* a thread is at it */
    struct packetfs_dict *first, *second; /* the second is better; the first may be in use still */
    uint32_t sequence; /* of the next one */
    uint64_t seen; /* since then */
    struct packetfs_dict_samples samples;
};

struct packetfs_writer_dicts {
    pthread_mutex_t lock; /* over all that follows */
    struct class_state classes[PACKETFS_DICT_CLASSES];
};

int packetfs_writer_dicts_new(struct packetfs_writer_dicts **out)
{
    struct packetfs_writer_dicts *dicts = hm_calloc(1, sizeof(*dicts));

    if (!dicts)
        return HM_ENOMEM;
    (void)pthread_mutex_init(&dicts->lock, NULL);
    *out = dicts;
    return 0;
}

void packetfs_writer_dicts_free(struct packetfs_writer_dicts *dicts)
{
    if (!dicts)
        return;
    for (size_t i = 0; i < PACKETFS_DICT_CLASSES; i++) {
        packetfs_dict_free(dicts->classes[i].first);
        packetfs_dict_free(dicts->classes[i].second);
        packetfs_dict_samples_release(&dicts->classes[i].samples);
    }
    (void)pthread_mutex_destroy(&dicts->lock);
    hm_free(dicts);
}

static struct packetfs_dict *current(const struct class_state *state)
{
    return state->second ? state->second : state->first;
}

static void close_class(struct class_state *state)
{
    state->closed = true;
    packetfs_dict_samples_release(&state->samples);
}

/* The writer is registered: what is live now prune leaves alone until it has ended. */
static int look(struct packetfs_writer *writer, struct class_state *state, unsigned class,
                struct hm_error *error)
{
    size_t count = 0;
    int rc = packetfs_dict_newest(writer->store, class, writer->store->options.zstd_level,
                                  &state->first, &state->sequence, &count, error);

    state->looked = !rc;
    state->again = state->first != NULL;
    if (!rc && count >= PACKETFS_DICTS_MAX)
        close_class(state);
    return rc;
}

/* Whether there are enough samples with this one. */
static bool sample(const struct packetfs_writer *writer, struct class_state *state,
                   struct hm_slice bytes)
{
    size_t asked = writer->store->options.dictionary_samples_bytes;
    size_t first = asked ? asked : PACKETFS_DICT_FIRST_BYTES;
    size_t enough = state->again ? first * PACKETFS_DICT_AGAIN_TIMES : first;

    if (state->closed || state->training ||
        (state->again && state->seen++ % PACKETFS_DICT_AGAIN_EVERY != 0))
        return false;
    if (packetfs_dict_sample(&state->samples, bytes)) {
        close_class(state);
        return false;
    }
    return packetfs_dict_samples_bytes(&state->samples) >= enough &&
           state->samples.count >= PACKETFS_DICT_SAMPLES_MIN;
}

/* --- a new one --- */

static int open_pack(struct packetfs_writer *writer, const struct packetfs_id *id,
                     const struct packetfs_frame *frame, struct packetfs_writer_pack **out,
                     struct hm_error *error)
{
    struct packetfs_writer_pack *full = NULL;
    int rc;

    (void)pthread_mutex_lock(&writer->lock);
    rc = packetfs_writer_make_room(writer, PACKETFS_DICTIONARY, packetfs_frame_len(frame), &full,
                                   error);
    if (!rc)
        rc = packetfs_pack_draft_add(&writer->open[PACKETFS_DICTIONARY]->draft, id, frame, error);
    if (!rc)
        *out = packetfs_writer_detach(writer, PACKETFS_DICTIONARY);
    (void)pthread_mutex_unlock(&writer->lock);
    return rc;
}

/* A pack of its own, at once durable and in the index: from then on frames may name it. */
static int store(struct packetfs_writer *writer, const struct packetfs_id *id,
                 struct hm_slice object, struct hm_error *error)
{
    struct packetfs_writer_pack *pack = NULL;
    struct packetfs_frame frame = {0};
    struct packetfs_hand *hand = NULL;
    int rc = packetfs_store_hand_take(writer->store, &hand, error);

    if (!rc)
        rc = packetfs_codec_pack(hand->codec, writer->store->options.zstd_level, NULL, object,
                                 &frame, error);
    if (!rc)
        rc = open_pack(writer, id, &frame, &pack, error);
    packetfs_store_hand_give(writer->store, hand);
    if (!rc)
        rc = packetfs_writer_seal(writer, pack, error);
    if (!rc)
        rc = packetfs_writer_settle(writer, true, error);
    if (rc)
        return rc;
    writer->counts.objects_new[PACKETFS_DICTIONARY]++;
    writer->counts.bytes_new[PACKETFS_DICTIONARY] += object.len;
    return 0;
}

/* *out stays NULL when nothing better came out. */
static int make(struct packetfs_writer *writer, const struct packetfs_dict_samples *samples,
                unsigned class, uint32_t sequence, const struct packetfs_dict *before,
                struct packetfs_dict **out, struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf object = {0};
    int level = writer->store->options.zstd_level;
    struct packetfs_dict *made = NULL;
    struct packetfs_id id;
    int rc = packetfs_dict_train(samples, class, sequence, level, before, &object, NULL);

    if (rc || object.len == 0)
        return 0;
    packetfs_keys_object_id(&writer->store->keys, PACKETFS_DICTIONARY, hm_buf_slice(&object), &id);
    if (packetfs_dict_new(&id, hm_buf_slice(&object), level, &made, NULL))
        return 0;
    rc = store(writer, &id, hm_buf_slice(&object), error);
    if (rc)
        packetfs_dict_free(made);
    else
        *out = made;
    return rc;
}

static int train(struct packetfs_writer *writer, struct class_state *state, unsigned class,
                 struct packetfs_dict_samples *samples, const struct packetfs_dict **out,
                 struct hm_error *error)
{
    struct packetfs_dict *made = NULL;
    int rc = make(writer, samples, class, state->sequence, state->first, &made, error);

    packetfs_dict_samples_release(samples);
    (void)pthread_mutex_lock(&writer->dicts->lock);
    state->training = false;
    if (state->again)
        close_class(state);
    state->again = true;
    if (made && state->first)
        state->second = made;
    else if (made)
        state->first = made;
    state->sequence++;
    *out = current(state);
    (void)pthread_mutex_unlock(&writer->dicts->lock);
    return rc;
}

int packetfs_writer_dictionary(struct packetfs_writer *writer, enum packetfs_kind kind,
                               struct hm_slice bytes, const struct packetfs_dict **out,
                               struct hm_error *error)
{
    struct packetfs_dict_samples samples = {0};
    struct class_state *state;
    unsigned class;
    bool enough = false;
    int rc = 0;

    *out = NULL;
    if (!writer->dicts || kind != PACKETFS_PATTERN || bytes.len >= PACKETFS_DICT_SMALL_BYTES)
        return 0;
    class = packetfs_dict_class(bytes);
    state = &writer->dicts->classes[class];
    if (class == PACKETFS_DICT_NONE)
        return 0;
    (void)pthread_mutex_lock(&writer->dicts->lock);
    if (!state->looked)
        rc = look(writer, state, class, error);
    if (!rc)
        enough = sample(writer, state, bytes);
    if (enough) {
        samples = state->samples;
        memset(&state->samples, 0, sizeof(state->samples));
        state->training = true;
    }
    *out = current(state);
    (void)pthread_mutex_unlock(&writer->dicts->lock);
    if (!rc && enough)
        rc = train(writer, state, class, &samples, out, error);
    return rc;
}
