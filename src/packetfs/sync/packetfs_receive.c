/* Handing over, the side that lacks: shows that it is meant for us, makes a folder of the offered volume, pulls it, restores it, and says so. */
#include <arpa/inet.h>
#include <errno.h>

#include "access/packetfs_key_file.h"
#include "access/packetfs_slot.h"
#include "access/packetfs_volume_file.h"
#include "access/packetfs_volume_key.h"
#include "get/packetfs_restore.h"
#include "store/packetfs_volume.h"
#include "sync/packetfs_code.h"
#include "sync/packetfs_peer.h"
#include "sync/packetfs_send_proof.h"
#include "sync/packetfs_send_state.h"

#define RECEIVE_CONNECT_MS  10000u
#define RECEIVE_TIMEOUT_MS  60000u
#define RECEIVE_TELL_MS     2000 /* how long a word on our progress may take to leave */
#define RECEIVE_TELL_NS     250000000u
#define RECEIVE_SLACK_BYTES ((uint64_t)64 << 20) /* lists of names and pieces */
#define RECEIVE_SLACK_FILES 4096u

struct receiving {
    const struct packetfs_receive_options *options;
    const struct packetfs_watch *watch;
    struct packetfs_peer *peer;
    struct packetfs_stream *stream;
    struct packetfs_talk talk;
    struct hm_buf offer_bytes;
    struct packetfs_offer offer;
    struct sockaddr_in6 remote;
    struct packetfs_state state;
    struct packetfs_volume *volume;
    enum packetfs_handover_stage stage;
    uint64_t told_ns;
    bool too_much; /* more came than was announced */
    bool quiet; /* the sender cannot be told any more */
    bool claimed; /* let in, with the offer */
    bool began; /* something may have come that is worth keeping */
};

/* --- being let in ----------------------------------------------------------------------------------------------------- */

static bool asked_to_stop(void *ctx)
{
    const struct receiving *receiving = ctx;
    const struct packetfs_watch *watch = receiving->watch;
    const struct packetfs_progress nothing = {.stage = "connect"};

    return watch != NULL && watch->progress != NULL && !watch->progress(watch->ctx, &nothing);
}

static int connect_and_claim(struct receiving *receiving, struct hm_error *error)
{
    const struct packetfs_receive_options *options = receiving->options;
    const struct packetfs_peer_options stranger = {.stranger = true};
    const struct packetfs_claim claim = {options->code, options->identity, options->from};
    unsigned patience = options->timeout_ms != 0 ? options->timeout_ms : RECEIVE_TIMEOUT_MS;
    uint8_t shown[PACKETFS_SHOWN_BYTES];
    int rc = packetfs_peer_address(options->remote, false, &receiving->remote, error);

    if (rc == 0)
        rc = packetfs_peer_open(&stranger, &receiving->peer, error);
    if (rc == 0)
        rc = packetfs_peer_connect(
            receiving->peer, &receiving->remote,
            (int)(patience < RECEIVE_CONNECT_MS ? patience : RECEIVE_CONNECT_MS),
            &receiving->stream, error);
    if (rc != 0)
        return rc;
    packetfs_talk_init(&receiving->talk, packetfs_stream_channel(receiving->stream), (int)patience);
    receiving->talk.stopped = asked_to_stop;
    receiving->talk.stopped_ctx = receiving;
    packetfs_stream_shown(receiving->stream, shown);
    rc = packetfs_claim_make(&claim, shown, &receiving->talk, &receiving->offer_bytes,
                             &receiving->offer, error);
    receiving->claimed = rc == 0;
    receiving->talk.patience_ms = RECEIVE_TELL_MS;
    return rc;
}

/* --- the volume ------------------------------------------------------------------------------------------------------- */

/* Is what an earlier try left a folder of this volume, with this key? */
static bool volume_is_here(const struct receiving *receiving, const uint8_t *volume_id)
{
    const struct packetfs_state *state = &receiving->state;
    const struct packetfs_unlock unlock = {.key_file = state->key};
    HM_AUTOFREE char *path = hm_asprintf("%s/volume", state->volume);
    HM_AUTOFREE char *opened_by = NULL;
    HM_CLEANUP(hm_buf) struct hm_buf file = {0};
    uint8_t key[PACKETFS_KEY_BYTES] = {0};
    bool same;

    if (path == NULL ||
        hm_file_read(path, PACKETFS_HANDOVER_VOLUME_FILE_MAX_BYTES, &file, NULL) != 0 ||
        !hm_slice_equal(hm_buf_slice(&file), receiving->offer.volume_file))
        return false;
    same = packetfs_volume_key_find(state->volume, volume_id, &unlock, key, &opened_by, NULL) ==
               0 &&
           hm_equal_ct(key, receiving->offer.volume_key, sizeof(key));
    hm_wipe(key, sizeof(key));
    return same;
}

/* As a second folder of a volume begins everywhere: the file "volume", and a slot; here with a key file of its own. */
static int volume_begin(const struct receiving *receiving, const uint8_t *volume_id,
                        struct hm_error *error)
{
    const struct packetfs_state *state = &receiving->state;
    const struct packetfs_offer *offer = &receiving->offer;
    HM_AUTOFREE char *keys = hm_asprintf("%s/keys", state->volume);
    HM_AUTOFREE char *slot_path = hm_asprintf("%s/keys/first.slot", state->volume);
    HM_AUTOFREE char *file_path = hm_asprintf("%s/volume", state->volume);
    HM_CLEANUP(hm_buf) struct hm_buf slot = {0};
    uint8_t key[PACKETFS_KEY_BYTES];
    int rc;

    if (keys == NULL || slot_path == NULL || file_path == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a path");
    rc = packetfs_state_clear(state, error);
    if (rc == 0)
        rc = hm_mkdir_all(keys, 0700, error);
    if (rc == 0)
        rc = packetfs_key_file_create(state->key, hm_random_system(), key, error);
    if (rc != 0)
        return rc;
    rc = packetfs_slot_seal_file(offer->volume_key, volume_id, key, hm_random_system(), &slot,
                                 error);
    hm_wipe(key, sizeof(key));
    if (rc == 0)
        rc = hm_file_replace(slot_path, slot.data, slot.len, 0600, error);
    if (rc == 0)
        rc = hm_file_replace(file_path, offer->volume_file.data, offer->volume_file.len, 0600,
                             error);
    return rc;
}

static int volume_make(struct receiving *receiving, struct hm_error *error)
{
    uint8_t volume_id[PACKETFS_VOLUME_ID_BYTES];
    struct packetfs_unlock unlock = {.key_file = NULL};
    int rc = packetfs_volume_file_id(receiving->offer.volume_file, volume_id, error);

    if (rc == 0)
        rc = packetfs_state_open(receiving->options->state, "receive", volume_id, false,
                                 &receiving->state, error);
    if (rc == 0 && !volume_is_here(receiving, volume_id))
        rc = volume_begin(receiving, volume_id, error);
    if (rc != 0)
        return rc;
    unlock.key_file = receiving->state.key;
    return packetfs_volume_open(receiving->state.volume, &unlock, false, &receiving->volume,
                                (struct packetfs_error *)(void *)error);
}

/* --- how far we are --------------------------------------------------------------------------------------------------- */

static void tell(struct receiving *receiving, const struct packetfs_progress *progress)
{
    const struct packetfs_handover_progress word = {.stage = receiving->stage,
                                                    .files_done = progress->files_done,
                                                    .bytes_done = progress->bytes_done};
    HM_CLEANUP(hm_buf) struct hm_buf body = {0};
    uint64_t now = hm_mono_ns(hm_clock_system());

    if (receiving->quiet || now - receiving->told_ns < RECEIVE_TELL_NS)
        return;
    receiving->told_ns = now;
    receiving->quiet = packetfs_handover_progress_write(&word, &body) != 0 ||
                       packetfs_talk_send(&receiving->talk, PACKETFS_WIRE_PROGRESS,
                                          hm_buf_slice(&body), NULL) != 0 ||
                       packetfs_talk_flush(&receiving->talk, NULL) != 0;
}

/* What a list of few bytes can stand for has no limit of its own: one piece a million times. So what was announced is the limit. */
static bool is_too_much(const struct receiving *receiving, const struct packetfs_progress *progress)
{
    const struct packetfs_offer *offer = &receiving->offer;
    bool restores = receiving->stage == PACKETFS_STAGE_RESTORE;

    return (progress->bytes_done > offer->bytes &&
            progress->bytes_done - offer->bytes > RECEIVE_SLACK_BYTES + offer->bytes / 4) ||
           (restores && progress->files_done > offer->files &&
            progress->files_done - offer->files > offer->folders + RECEIVE_SLACK_FILES);
}

static bool goes_on(void *ctx, const struct packetfs_progress *progress)
{
    struct receiving *receiving = ctx;
    const struct packetfs_watch *watch = receiving->watch;
    struct packetfs_progress shown = *progress;

    if (is_too_much(receiving, progress)) {
        receiving->too_much = true;
        return false;
    }
    tell(receiving, progress);
    if (shown.bytes_total == 0)
        shown.bytes_total = receiving->offer.bytes;
    if (shown.bytes_done > shown.bytes_total)
        shown.bytes_total = shown.bytes_done;
    return watch == NULL || watch->progress == NULL || watch->progress(watch->ctx, &shown);
}

static void finding(void *ctx, const char *sentence)
{
    const struct receiving *receiving = ctx;

    if (receiving->watch != NULL && receiving->watch->finding != NULL)
        receiving->watch->finding(receiving->watch->ctx, sentence);
}

/* --- the transfer ----------------------------------------------------------------------------------------------------- */

static int announced(const struct receiving *receiving, int rc, struct hm_error *error)
{
    return rc != 0 && receiving->too_much
               ? hm_fail(
                     error, HM_ELIMIT,
                     "the sender announced %llu bytes in %llu files and %llu folders, and sends "
                     "more: left as it is",
                     (unsigned long long)receiving->offer.bytes,
                     (unsigned long long)receiving->offer.files,
                     (unsigned long long)receiving->offer.folders)
               : rc;
}

static int pull(struct receiving *receiving, struct packetfs_receive_result *result,
                struct hm_error *error)
{
    struct sockaddr_in6 remote = receiving->remote;
    char address[STOQ_ADDRESS_TEXT_BYTES];
    const struct packetfs_transfer_options options = {.remote = address,
                                                      .newest_only = true,
                                                      .accept_rollback = true,
                                                      .snapshot = receiving->offer.snapshot,
                                                      .timeout_ms = receiving->options->timeout_ms};
    const struct packetfs_watch watch = {goes_on, finding, receiving};
    struct packetfs_transfer_result moved = {0};
    int rc;

    remote.sin6_port = htons(receiving->offer.port);
    stoq_address_text(&remote, address);
    receiving->stage = PACKETFS_STAGE_RECEIVE;
    receiving->began = true;
    rc = packetfs_pull(receiving->volume, &options, &watch, &moved,
                       (struct packetfs_error *)(void *)error);
    result->bytes_sent += moved.bytes_sent;
    result->bytes_received += moved.bytes_received;
    return announced(receiving, rc, error);
}

static int snapshot_find(const struct receiving *receiving, struct packetfs_snapshot *out,
                         struct hm_error *error)
{
    struct packetfs_snapshot *list = NULL;
    size_t count = 0;
    int rc = packetfs_log(receiving->volume, &list, &count, (struct packetfs_error *)(void *)error);

    if (rc != 0)
        return rc;
    rc = HM_ENOTFOUND;
    for (size_t i = 0; i < count && rc != 0; i++)
        if (memcmp(list[i].id, receiving->offer.snapshot, sizeof(list[i].id)) == 0) {
            *out = list[i];
            rc = 0;
        }
    packetfs_free(list);
    return rc != 0 ? hm_fail(error, HM_ECORRUPT, "what was offered is not what was sent") : 0;
}

/* Of a number that somebody else chose: sums of it do not come round. */
static uint64_t most(uint64_t count)
{
    return count < UINT64_MAX / 4 ? count : UINT64_MAX / 4;
}

static int restore(struct receiving *receiving, struct packetfs_receive_result *result,
                   struct hm_error *error)
{
    const struct packetfs_get_options options = {.target = receiving->options->target,
                                                 .overwrite = receiving->options->overwrite};
    const struct packetfs_watch watch = {goes_on, finding, receiving};
    const struct packetfs_offer *offer = &receiving->offer;
    struct packetfs_snapshot snapshot;
    int rc = snapshot_find(receiving, &snapshot, error);

    if (rc == 0 &&
        (snapshot.bytes > receiving->offer.bytes || snapshot.files > receiving->offer.files)) {
        receiving->too_much = true;
        rc = HM_ELIMIT;
    }
    receiving->stage = PACKETFS_STAGE_RESTORE;
    if (rc == 0)
        rc = packetfs_get_strange(receiving->volume, &snapshot, &options,
                                  most(offer->files) + most(offer->folders) + RECEIVE_SLACK_FILES,
                                  &watch, &result->restored,
                                  (struct packetfs_error *)(void *)error);
    receiving->too_much |= rc == HM_ELIMIT;
    return announced(receiving, rc, error);
}

static int take(struct receiving *receiving, struct packetfs_receive_result *result,
                struct hm_error *error)
{
    const struct packetfs_offer *offer = &receiving->offer;
    const struct packetfs_receive_options *options = receiving->options;
    int rc;

    if (options->accept != NULL &&
        !options->accept(options->ctx, offer->files, offer->folders, offer->bytes))
        return hm_fail(error, HM_ECANCELLED, "it was not wanted");
    rc = volume_make(receiving, error);
    if (rc == 0)
        rc = pull(receiving, result, error);
    if (rc == 0)
        rc = restore(receiving, result, error);
    /* The sender waits for this word. Without it everything is here all the same. */
    if (rc == 0 &&
        packetfs_talk_send(&receiving->talk, PACKETFS_WIRE_TAKEN, (struct hm_slice){0}, NULL) == 0)
        (void)packetfs_talk_flush(&receiving->talk, NULL);
    return rc;
}

/* --- all of it -------------------------------------------------------------------------------------------------------- */

static int options_check(const struct packetfs_receive_options *options,
                         char code[PACKETFS_CODE_MAX_BYTES], struct hm_error *error)
{
    bool by_identity = options->identity != NULL && options->from != NULL;

    if (options->target == NULL || options->target[0] == '\0')
        return hm_fail(error, HM_EINVAL, "received into which folder?");
    if ((options->code != NULL) == by_identity || (options->code != NULL && options->from != NULL))
        return hm_fail(error, HM_EINVAL, "to receive takes a code, or our identity and theirs");
    return options->code != NULL ? packetfs_code_parse(hm_slice_str(options->code), code, error)
                                 : 0;
}

static void receiving_end(struct receiving *receiving, int rc, const struct hm_error *error,
                          struct packetfs_receive_result *result)
{
    struct hm_error told = *error;

    /* Whom we looked for, who is there need not know: neither from a sentence nor from which check it was that failed. */
    if (rc == HM_EAUTH || (rc != 0 && receiving->options->code == NULL && !receiving->claimed))
        (void)hm_fail(&told, HM_EAUTH, "this is not the sender who was looked for");
    if (rc != 0 && receiving->talk.channel.ctx != NULL && !receiving->quiet)
        packetfs_talk_fail(&receiving->talk, &told);
    packetfs_talk_release(&receiving->talk);
    packetfs_stream_free(receiving->stream);
    packetfs_peer_bytes(receiving->peer, &result->bytes_sent, &result->bytes_received);
    packetfs_peer_free(receiving->peer);
    packetfs_volume_close(receiving->volume);
    packetfs_state_close(&receiving->state, rc == 0 || !receiving->began || rc == HM_ELIMIT);
    hm_wipe(&receiving->offer, sizeof(receiving->offer));
    if (receiving->offer_bytes.data != NULL)
        hm_wipe(receiving->offer_bytes.data, receiving->offer_bytes.cap);
    hm_buf_release(&receiving->offer_bytes);
}

int packetfs_receive(const struct packetfs_receive_options *options,
                     const struct packetfs_watch *watch, struct packetfs_receive_result *result,
                     struct packetfs_error *error)
{
    struct packetfs_receive_options own_options = *options;
    struct receiving receiving = {.options = &own_options, .watch = watch, .state = {.lock = -1}};
    struct packetfs_receive_result done = {0};
    struct hm_error why = {0};
    char code[PACKETFS_CODE_MAX_BYTES] = "";
    int rc = options_check(options, code, packetfs_error_own(error));

    if (rc != 0)
        return rc;
    if (options->code != NULL)
        own_options.code = code;
    rc = connect_and_claim(&receiving, &why);
    if (rc == 0)
        rc = take(&receiving, &done, &why);
    receiving_end(&receiving, rc, &why, &done);
    hm_wipe(code, sizeof(code));
    if (result != NULL)
        *result = done;
    return rc != 0 ? hm_fail(packetfs_error_own(error), rc, "%s", why.text) : 0;
}
