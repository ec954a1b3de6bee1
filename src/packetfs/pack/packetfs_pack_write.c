#include <time.h>

#include "pack/packetfs_pack.h"
#include "packetfs_time.h"

#define STAGE_BYTES ((size_t)1 << 20) /* written at once: what was sealed is still in the cache */
#define ROOM_FIRST  256u

static void draft_copy(uint8_t *to, const struct packetfs_frame *frame)
{
    memcpy(to, frame->head, PACKETFS_FRAME_HEAD_BYTES);
    to += PACKETFS_FRAME_HEAD_BYTES;
    memcpy(to, frame->payload.data, frame->payload.len);
    memset(to + frame->payload.len, 0, frame->fill);
}

int packetfs_pack_draft_add(struct packetfs_pack_draft *draft, const struct packetfs_id *id,
                            const struct packetfs_frame *frame, struct hm_error *error)
{
    size_t len = packetfs_frame_len(frame);
    uint64_t ref;

    if (packetfs_frame_dictionary(frame->head, frame->payload, &ref) &&
        packetfs_pack_names_add(&draft->names, ref))
        return hm_fail(error, HM_ELIMIT, "a pack would name more than %u dictionaries",
                       PACKETFS_PACK_DICTIONARIES_MAX);
    if (draft->count == draft->room) {
        uint32_t room = draft->room ? draft->room * 2 : ROOM_FIRST;
        struct packetfs_pack_item *items = hm_realloc(draft->items, room * sizeof(*items));

        if (!items)
            return hm_fail(error, HM_ENOMEM, "no memory for a pack");
        draft->items = items;
        draft->room = room;
    }
    if (hm_buf_reserve(&draft->frames, len))
        return hm_fail(error, HM_ENOMEM, "no memory for a pack");
    draft_copy(draft->frames.data + draft->frames.len, frame);
    draft->frames.len += len;
    draft->items[draft->count++] = (struct packetfs_pack_item){
        .id = *id, .offset = (uint32_t)(draft->frames.len - len), .len = (uint32_t)len};
    draft->bytes += (uint32_t)len + CRYPTO_AEAD_TAG_BYTES;
    return 0;
}

void packetfs_pack_draft_release(struct packetfs_pack_draft *draft)
{
    hm_buf_release(&draft->frames);
    hm_free(HM_TAKE(draft->items));
    draft->count = draft->room = draft->bytes = draft->names.count = 0;
}

/* --- writing one --- */

struct pack_job {
    struct packetfs_pack_draft *draft;
    struct packetfs_pack_key key;
    struct packetfs_pack_row *rows; /* in the order of the file */
    uint32_t *order;
    uint8_t *stage;
    size_t staged;
    uint32_t position; /* units, behind what is staged */
    int fd;
    struct packetfs_pack_cost *cost;
};

static void job_release(struct pack_job *job)
{
    packetfs_pack_key_release(&job->key);
    hm_free(job->rows);
    hm_free(job->order);
    hm_free(job->stage);
}

static int stage_flush(struct pack_job *job, struct hm_error *error)
{
    uint64_t before = packetfs_thread_ns();
    int rc = hm_write_all(job->fd, job->stage, job->staged, error);

    job->cost->ns_write += packetfs_thread_ns() - before;
    job->staged = 0;
    return rc;
}

/* Room for len more bytes of the file; they count as written. Longer than the stage is no part of a pack but the folder,
 * which has a stage of its own (write_folder). */
static int stage_take(struct pack_job *job, size_t len, uint8_t **out, struct hm_error *error)
{
    int rc = job->staged + len > STAGE_BYTES + PACKETFS_OBJECT_MAX_BYTES ? stage_flush(job, error)
                                                                         : 0;

    if (rc)
        return rc;
    *out = job->stage + job->staged;
    job->staged += len;
    job->position += (uint32_t)(len / PACKETFS_UNIT_BYTES);
    return 0;
}

static int shuffle(struct pack_job *job, bool pad, const struct hm_random *random,
                   struct hm_error *error)
{
    uint32_t count = job->draft->count;
    HM_AUTOFREE uint32_t *dice = NULL;

    for (uint32_t i = 0; i < count; i++)
        job->order[i] = i;
    if (!pad || count < 2)
        return 0;
    dice = hm_malloc(count * sizeof(*dice));
    if (!dice)
        return hm_fail(error, HM_ENOMEM, "no memory to write a pack");
    if (random->fill(random->ctx, dice, count * sizeof(*dice)))
        return hm_fail(error, HM_EIO, "the source of random bytes failed");
    for (uint32_t i = count - 1; i > 0; i--) {
        uint32_t j = (uint32_t)((uint64_t)dice[i] * (i + 1) >> 32);
        uint32_t swap = job->order[i];

        job->order[i] = job->order[j];
        job->order[j] = swap;
    }
    return 0;
}

static int write_objects(struct pack_job *job, struct hm_error *error)
{
    for (uint32_t i = 0; i < job->draft->count; i++) {
        struct packetfs_pack_item *item = &job->draft->items[job->order[i]];
        size_t len = item->len + CRYPTO_AEAD_TAG_BYTES;
        uint8_t *at = NULL;
        int rc;

        item->position = job->position;
        job->rows[i] = (struct packetfs_pack_row){.id = item->id,
                                                  .position = job->position,
                                                  .length = (uint32_t)(len / PACKETFS_UNIT_BYTES)};
        rc = stage_take(job, len, &at, error);
        if (!rc)
            rc = packetfs_pack_seal_object(
                &job->key, &item->id, item->position,
                hm_slice_of(job->draft->frames.data + item->offset, item->len), at, error);
        if (rc)
            return rc;
    }
    return 0;
}

static int write_folder(struct pack_job *job, struct packetfs_pack_footer *footer,
                        struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf folder = {0};
    int rc = stage_flush(job, error);

    if (rc)
        return rc;
    if (packetfs_pack_folder_make(job->rows, job->draft->count, &job->draft->names, &folder) ||
        hm_buf_reserve(&folder, CRYPTO_AEAD_TAG_BYTES))
        return hm_fail(error, HM_ENOMEM, "no memory for a pack's folder");
    footer->objects = job->draft->count;
    footer->folder_position = job->position;
    rc = packetfs_pack_seal_part(&job->key, PACKETFS_PART_FOLDER, job->position,
                                 hm_buf_slice(&folder), folder.data, error);
    if (!rc)
        rc = hm_write_all(job->fd, folder.data, folder.len + CRYPTO_AEAD_TAG_BYTES, error);
    footer->folder_length = (uint32_t)((folder.len + CRYPTO_AEAD_TAG_BYTES) / PACKETFS_UNIT_BYTES);
    job->position += footer->folder_length;
    return rc;
}

static int write_filler(struct pack_job *job, uint32_t units, struct hm_error *error)
{
    while (units > 0) {
        uint32_t piece = packetfs_pack_filler_piece(units);
        uint32_t position = job->position;
        size_t plain = (size_t)(piece - 1) * PACKETFS_UNIT_BYTES;
        uint8_t *at = NULL;
        int rc = stage_take(job, (size_t)piece * PACKETFS_UNIT_BYTES, &at, error);

        if (rc)
            return rc;
        memset(at, 0, plain);
        rc = packetfs_pack_seal_part(&job->key, PACKETFS_PART_FILLER, position,
                                     hm_slice_of(at, plain), at, error);
        if (rc)
            return rc;
        units -= piece;
    }
    return 0;
}

static int write_footer(struct pack_job *job, const struct packetfs_pack_footer *footer,
                        struct hm_error *error)
{
    uint32_t position = job->position;
    uint8_t plain[PACKETFS_PACK_FOOTER_BYTES - CRYPTO_AEAD_TAG_BYTES];
    uint8_t *at = NULL;
    int rc = stage_take(job, PACKETFS_PACK_FOOTER_BYTES, &at, error);

    if (rc)
        return rc;
    packetfs_pack_footer_make(footer, plain);
    rc = packetfs_pack_seal_part(&job->key, PACKETFS_PART_FOOTER, position,
                                 hm_slice_of(plain, sizeof(plain)), at, error);
    return rc ? rc : stage_flush(job, error);
}

static int write_parts(struct pack_job *job, bool pad, struct hm_error *error)
{
    struct packetfs_pack_footer footer = {0};
    uint32_t bare;
    int rc = write_objects(job, error);

    if (!rc)
        rc = write_folder(job, &footer, error);
    if (rc)
        return rc;
    bare = job->position + PACKETFS_PACK_FOOTER_UNITS;
    footer.file_length = pad ? packetfs_pack_padded(bare) : bare;
    if (footer.file_length >= PACKETFS_PACK_MAX_UNITS)
        return hm_fail(error, HM_ELIMIT, "a pack would pass %u MiB",
                       PACKETFS_PACK_MAX_UNITS / 65536u);
    rc = write_filler(job, footer.file_length - bare, error);
    return rc ? rc : write_footer(job, &footer, error);
}

static int job_init(struct pack_job *job, const struct packetfs_keys *keys,
                    enum packetfs_suite suite, const struct hm_random *random,
                    struct hm_error *error)
{
    struct packetfs_pack_header header;
    uint8_t salt[PACKETFS_PACK_SALT_BYTES];
    uint32_t count = job->draft->count;
    uint8_t *at = NULL;
    int rc;

    if (random->fill(random->ctx, salt, sizeof(salt)))
        return hm_fail(error, HM_EIO, "the source of random bytes failed");
    packetfs_pack_header_make(job->draft->kind, suite, keys->volume_id, salt, &header);
    job->rows = hm_malloc((count + 1) * sizeof(*job->rows));
    job->order = hm_malloc((count + 1) * sizeof(*job->order));
    job->stage = hm_malloc(STAGE_BYTES + PACKETFS_OBJECT_MAX_BYTES);
    if (!job->rows || !job->order || !job->stage)
        return hm_fail(error, HM_ENOMEM, "no memory to write a pack");
    rc = packetfs_pack_key_init(&job->key, keys, &header, error);
    if (!rc)
        rc = stage_take(job, PACKETFS_PACK_HEADER_BYTES, &at, error);
    if (!rc)
        memcpy(at, header.bytes, PACKETFS_PACK_HEADER_BYTES);
    return rc;
}

int packetfs_pack_write(struct packetfs_pack_draft *draft, const struct packetfs_keys *keys,
                        enum packetfs_suite suite, bool pad, const struct hm_random *random, int fd,
                        uint64_t *bytes, struct packetfs_pack_cost *cost, struct hm_error *error)
{
    struct pack_job job = {.draft = draft, .fd = fd, .cost = cost};
    uint64_t before = packetfs_thread_ns();
    uint64_t wrote = cost->ns_write;
    int rc = job_init(&job, keys, suite, random, error);

    if (!rc)
        rc = shuffle(&job, pad, random, error);
    if (!rc)
        rc = write_parts(&job, pad, error);
    if (!rc)
        *bytes = (uint64_t)job.position * PACKETFS_UNIT_BYTES;
    job_release(&job);
    cost->ns_seal += packetfs_thread_ns() - before - (cost->ns_write - wrote);
    return rc;
}
