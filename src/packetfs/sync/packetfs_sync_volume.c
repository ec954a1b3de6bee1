#include "sync/packetfs_sync_volume.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "crypto.h"

#define REPLICA_HEX_BYTES ((size_t)2 * PACKETFS_WIRE_REPLICA_BYTES)

/* --- state/ ------------------------------------------------------------------------------------------------------------- */

static void seen_key(const struct packetfs_keys *keys, uint8_t key[PACKETFS_KEY_BYTES])
{
    crypto_derive("hypermesh packetfs 1 seen", keys->volume, (struct hm_slice){0}, key);
}

int packetfs_seen_seal(const struct packetfs_keys *keys,
                       const uint8_t replica[PACKETFS_WIRE_REPLICA_BYTES], uint64_t sequence,
                       struct hm_buf *out, struct hm_error *error)
{
    uint8_t key[PACKETFS_KEY_BYTES];
    uint8_t plain[8];
    int rc;

    hm_put_be64(plain, sequence);
    seen_key(keys, key);
    rc = crypto_seal(key, hm_slice_of(replica, PACKETFS_WIRE_REPLICA_BYTES),
                     hm_slice_of(plain, sizeof(plain)), hm_random_system(), out, error);
    hm_wipe(key, sizeof(key));
    return rc;
}

int packetfs_seen_open(const struct packetfs_keys *keys,
                       const uint8_t replica[PACKETFS_WIRE_REPLICA_BYTES], struct hm_slice file,
                       uint64_t *sequence, struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf plain = {0};
    uint8_t key[PACKETFS_KEY_BYTES];
    int rc;

    if (file.len != PACKETFS_SEEN_BYTES)
        return hm_fail(error, HM_EAUTH, "what is remembered of a peer has a wrong length");
    seen_key(keys, key);
    rc = crypto_open(key, hm_slice_of(replica, PACKETFS_WIRE_REPLICA_BYTES), file, &plain, error);
    hm_wipe(key, sizeof(key));
    if (rc == 0)
        *sequence = hm_get_be64(plain.data);
    return rc;
}

static char *state_path(const struct packetfs_volume *volume, const char *prefix,
                        const uint8_t *replica)
{
    char hex[REPLICA_HEX_BYTES + 1] = "";

    if (replica != NULL)
        hm_hex_encode(replica, PACKETFS_WIRE_REPLICA_BYTES, hex);
    return hm_asprintf("%s/state%s%s", volume->dir, prefix, hex);
}

static int side_seen_read(void *ctx, const uint8_t replica[PACKETFS_WIRE_REPLICA_BYTES],
                          uint64_t *sequence, struct hm_error *error)
{
    const struct packetfs_sync_volume *self = ctx;
    HM_AUTOFREE char *path = state_path(self->volume, "/seen-", replica);
    HM_CLEANUP(hm_buf) struct hm_buf file = {0};
    int rc;

    if (path == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for what is known of the peer");
    rc = hm_file_read(path, PACKETFS_SEEN_BYTES + 1, &file, error);
    if (rc == HM_ENOTFOUND) {
        *sequence = 0;
        return 0;
    }
    if (rc == 0)
        rc = packetfs_seen_open(&self->volume->keys, replica, hm_buf_slice(&file), sequence, error);
    if (rc != 0)
        return hm_error_prefix(error, rc == HM_EAUTH ? HM_ECORRUPT : rc,
                               "%s (remove it if you know why)", path);
    return 0;
}

static int side_seen_write(void *ctx, const uint8_t replica[PACKETFS_WIRE_REPLICA_BYTES],
                           uint64_t sequence, struct hm_error *error)
{
    const struct packetfs_sync_volume *self = ctx;
    HM_AUTOFREE char *path = state_path(self->volume, "/seen-", replica);
    HM_CLEANUP(hm_buf) struct hm_buf file = {0};
    uint64_t before = 0;
    int rc;

    if (path == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for what is known of the peer");
    if (side_seen_read(ctx, replica, &before, NULL) == 0 && before == sequence)
        return 0;
    rc = packetfs_seen_seal(&self->volume->keys, replica, sequence, &file, error);
    return rc == 0 ? hm_file_replace(path, file.data, file.len, 0600, error) : rc;
}

/* Reads state/replica, or makes it. Two that make it at once: the first wins, both read it. */
static int replica_of(const struct packetfs_volume *volume,
                      uint8_t out[PACKETFS_WIRE_REPLICA_BYTES], struct hm_error *error)
{
    HM_AUTOFREE char *dir = state_path(volume, "", NULL);
    HM_AUTOFREE char *path = state_path(volume, "/replica", NULL);
    HM_AUTOFREE char *fresh = hm_asprintf("%s.%ld", path != NULL ? path : "", (long)gettid());
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    char hex[REPLICA_HEX_BYTES + 1];
    int rc;

    if (dir == NULL || path == NULL || fresh == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for this volume's state");
    if (hm_file_read(path, REPLICA_HEX_BYTES + 1, &text, NULL) != 0) {
        if (volume->read_only)
            return 0; /* zeros: nobody can tell whether it was rolled back */
        if (hm_random_system()->fill(NULL, out, PACKETFS_WIRE_REPLICA_BYTES) != 0)
            return hm_fail(error, HM_EIO, "the source of random bytes failed");
        hm_hex_encode(out, PACKETFS_WIRE_REPLICA_BYTES, hex);
        rc = hm_mkdir_all(dir, 0700, error);
        if (rc == 0)
            rc = hm_file_replace(fresh, hex, REPLICA_HEX_BYTES, 0600, error);
        if (rc != 0)
            return rc;
        if (link(fresh, path) != 0 && errno != EEXIST)
            rc = hm_fail_errno(error, HM_EIO, "%s cannot be made", path);
        (void)unlink(fresh);
        if (rc != 0)
            return rc;
        hm_buf_clear(&text);
        rc = hm_file_read(path, REPLICA_HEX_BYTES + 1, &text, error);
        if (rc != 0)
            return rc;
    }
    if (text.len < REPLICA_HEX_BYTES || hm_hex_decode((const char *)text.data, REPLICA_HEX_BYTES,
                                                      out, PACKETFS_WIRE_REPLICA_BYTES, NULL) != 0)
        return hm_fail(error, HM_ECORRUPT, "%s does not hold what it should: remove it", path);
    return 0;
}

/* --- the side ----------------------------------------------------------------------------------------------------------- */

static int side_snapshots(void *ctx, struct packetfs_snapshot **out, size_t *count,
                          struct hm_error *error)
{
    const struct packetfs_sync_volume *self = ctx;

    return packetfs_snapshot_list(self->volume->store, out, count, error);
}

static int side_snapshot_read(void *ctx, const uint8_t id[PACKETFS_SNAPSHOT_ID_BYTES],
                              struct hm_buf *out, struct hm_error *error)
{
    const struct packetfs_sync_volume *self = ctx;

    return packetfs_snapshot_read(self->volume->store, id, out, error);
}

static int side_snapshot_open(void *ctx, struct hm_slice sealed, struct packetfs_snapshot *out,
                              struct hm_error *error)
{
    const struct packetfs_sync_volume *self = ctx;

    return packetfs_snapshot_unseal(&self->volume->keys, sealed, out, error);
}

static int side_snapshot_add(void *ctx, struct hm_slice sealed, struct hm_error *error)
{
    const struct packetfs_sync_volume *self = ctx;
    struct packetfs_snapshot snapshot;

    return packetfs_snapshot_import(self->volume->store, sealed, &snapshot, error);
}

static int side_flush(void *ctx, struct hm_error *error)
{
    const struct packetfs_sync_volume *self = ctx;

    return packetfs_writer_flush(self->writer, error);
}

static int highest_sequence(struct packetfs_sync_volume *self, struct hm_error *error)
{
    HM_AUTOFREE struct packetfs_snapshot *list = NULL;
    size_t count = 0;
    int rc = packetfs_snapshot_list(self->volume->store, &list, &count, error);

    for (size_t i = 0; rc == 0 && i < count; i++)
        if (list[i].sequence > self->sequence)
            self->sequence = list[i].sequence;
    return rc;
}

int packetfs_sync_volume_open(struct packetfs_sync_volume *out, struct packetfs_volume *volume,
                              bool sink, struct hm_error *error)
{
    int rc = 0;

    *out = (struct packetfs_sync_volume){.volume = volume};
    if (sink && volume->read_only)
        return hm_fail(error, HM_EPERM, "this volume was opened to be read alone");
    if (sink) /* before its snapshots are listed: what they need stays from now on */
        rc = packetfs_writer_open(volume->store, &out->writer, error);
    out->side = (struct packetfs_side){
        .keys = &volume->keys,
        .objects = rc == 0 && sink ? packetfs_writer_objects(out->writer)
                                   : packetfs_store_objects(volume->store),
        .ctx = out,
        .snapshots = side_snapshots,
        .snapshot_read = side_snapshot_read,
        .snapshot_open = side_snapshot_open,
        .snapshot_add = sink ? side_snapshot_add : NULL,
        .flush = sink ? side_flush : NULL,
        .seen_read = sink ? side_seen_read : NULL,
        .seen_write = sink ? side_seen_write : NULL,
    };
    if (rc == 0)
        rc = replica_of(volume, out->side.replica, error);
    if (rc == 0)
        rc = highest_sequence(out, error);
    if (rc != 0)
        packetfs_sync_volume_release(out);
    return rc;
}

void packetfs_sync_volume_release(struct packetfs_sync_volume *volume)
{
    packetfs_writer_close(volume->writer);
    volume->writer = NULL;
}
