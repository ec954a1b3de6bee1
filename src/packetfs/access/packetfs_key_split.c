/* A volume's key in the hands of trustees: given out, asked back, joined. */
#include <stdio.h>

#include "access/packetfs_key_volume.h"
#include "access/packetfs_message.h"
#include "access/packetfs_share.h"
#include "packetfs_error.h"

static uint64_t now_ns(void)
{
    return hm_wall_ms(hm_clock_system()) * 1000000u;
}

static void shares_free(struct packetfs_share *shares, size_t count)
{
    if (shares != NULL)
        hm_wipe(shares, count * sizeof(*shares));
    hm_free(shares);
}

/* A share, sealed. */
static int share_send(const struct packetfs_identity *from, const struct packetfs_contact *to,
                      const struct packetfs_share *share, struct packetfs_sealed *out,
                      struct hm_error *error)
{
    struct hm_buf sealed = {0}, bytes = {0};
    int rc = packetfs_share_encode(share, &bytes);

    if (rc != 0)
        rc = hm_fail(error, rc, "no memory for a share");
    else
        rc = packetfs_message_write(from, to, PACKETFS_MESSAGE_SHARE, now_ns(),
                                    hm_buf_slice(&bytes), hm_random_system(), &sealed, error);
    hm_wipe(bytes.data, bytes.len);
    hm_buf_release(&bytes);
    if (rc != 0) {
        hm_buf_release(&sealed);
        return rc;
    }
    *out = (struct packetfs_sealed){sealed.data, sealed.len};
    return 0;
}

/* The share in a message to us, verified; from may be NULL: who sent it. */
static int share_receive(const struct packetfs_identity *identity, struct packetfs_bytes message,
                         struct packetfs_share *out, struct packetfs_contact *from,
                         struct hm_error *error)
{
    struct packetfs_message_parts parts;
    struct packetfs_share share;
    struct hm_buf plain = {0};
    int rc = packetfs_message_read(identity, hm_slice_of(message.data, message.len), &plain, &parts,
                                   error);

    if (rc == 0 && parts.kind != PACKETFS_MESSAGE_SHARE)
        rc = hm_fail(error, HM_EPARSE, "this message holds no share of a key");
    if (rc == 0)
        rc = packetfs_share_decode(parts.content, &share, error);
    if (rc == 0)
        rc = packetfs_share_verify(&share, error);
    if (rc == 0) {
        *out = share;
        if (from != NULL)
            *from = parts.from;
    }
    hm_wipe(&share, sizeof(share));
    hm_wipe(plain.data, plain.cap);
    hm_buf_release(&plain);
    return rc;
}

/* --- giving out --- */

static int trustees_check(const struct packetfs_contact *const *trustees, size_t n,
                          struct hm_error *error)
{
    if (n == 0 || n > PACKETFS_SHARES_MAX)
        return hm_fail(error, HM_EINVAL, "a key is split among 1 to %u trustees, not %zu",
                       PACKETFS_SHARES_MAX, n);
    for (size_t i = 1; i < n; i++)
        for (size_t j = 0; j < i; j++)
            if (memcmp(trustees[i]->id, trustees[j]->id, sizeof(trustees[i]->id)) == 0)
                return hm_fail(error, HM_EINVAL, "trustee %s (%s) is there twice",
                               trustees[i]->name, trustees[i]->id_text);
    return 0;
}

static int shares_send(const struct packetfs_identity *by, const struct packetfs_share *shares,
                       const struct packetfs_contact *const *trustees, size_t n,
                       struct packetfs_sealed *out, struct hm_error *error)
{
    for (size_t i = 0; i < n; i++) {
        int rc = share_send(by, trustees[i], &shares[i], &out[i], error);
        if (rc == 0)
            continue;
        while (i-- > 0) {
            hm_free(out[i].data);
            out[i] = (struct packetfs_sealed){NULL, 0};
        }
        return rc;
    }
    return 0;
}

int packetfs_key_split(const char *dir, const struct packetfs_unlock *unlock,
                       const struct packetfs_identity *by, unsigned k,
                       const struct packetfs_contact *const *trustees, size_t n,
                       struct packetfs_sealed *out, struct packetfs_error *error)
{
    struct hm_error *own = packetfs_error_own(error);
    struct packetfs_key_volume volume;
    struct packetfs_share *shares;
    int rc = trustees_check(trustees, n, own);

    if (rc == 0 && (k < 1 || k > n))
        rc = hm_fail(own, HM_EINVAL, "%u of %zu shares cannot give a key back", k, n);
    if (rc == 0)
        rc = packetfs_key_volume_open(dir, unlock, &volume, own);
    if (rc != 0)
        return rc;
    shares = hm_calloc(n, sizeof(*shares));
    if (shares == NULL)
        rc = hm_fail(own, HM_ENOMEM, "no memory for %zu shares", n);
    else
        rc = packetfs_shares_make(volume.key, volume.id, by, k, (unsigned)n, hm_random_system(),
                                  shares, own);
    packetfs_key_volume_release(&volume);
    if (rc == 0)
        rc = shares_send(by, shares, trustees, n, out, own);
    shares_free(shares, n);
    return rc;
}

/* --- asking back --- */

static void info_of(const struct packetfs_share *share, struct packetfs_share_info *info)
{
    hm_hex_encode(share->volume_id, sizeof(share->volume_id), info->volume);
    hm_hex_encode(share->split_id, sizeof(share->split_id), info->split);
    info->index = share->index;
    info->k = share->k;
    info->n = share->n;
    memcpy(info->by_id, share->by.id_text, sizeof(info->by_id));
    memcpy(info->by_name, share->by.name, sizeof(info->by_name));
}

int packetfs_key_answer(const struct packetfs_identity *trustee, struct packetfs_bytes message,
                        const struct packetfs_contact *to, struct packetfs_sealed *out,
                        struct packetfs_share_info *info, struct packetfs_error *error)
{
    struct hm_error *own = packetfs_error_own(error);
    struct packetfs_share share;
    int rc = share_receive(trustee, message, &share, NULL, own);

    if (rc == 0 && to != NULL)
        rc = share_send(trustee, to, &share, out, own);
    if (rc == 0 && info != NULL)
        info_of(&share, info);
    hm_wipe(&share, sizeof(share));
    return rc;
}

/* --- joining --- */

struct joining {
    struct packetfs_share *shares;
    const struct packetfs_share **list;
    char (*names)[160]; /* "answer 2 (of Ada, pfi1…)" */
    const char **name_list;
    size_t count;
};

static void joining_release(struct joining *joining)
{
    shares_free(joining->shares, joining->count);
    hm_free(joining->list);
    hm_free(joining->names);
    hm_free(joining->name_list);
}

static int joining_init(struct joining *joining, size_t count, struct hm_error *error)
{
    *joining = (struct joining){
        .shares = hm_calloc(count, sizeof(*joining->shares)),
        .list = hm_calloc(count, sizeof(*joining->list)),
        .names = hm_calloc(count, sizeof(*joining->names)),
        .name_list = hm_calloc(count, sizeof(*joining->name_list)),
        .count = count,
    };
    if (joining->shares == NULL || joining->list == NULL || joining->names == NULL ||
        joining->name_list == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for %zu shares", count);
    return 0;
}

static int answers_open(const struct packetfs_identity *identity,
                        const struct packetfs_bytes *answers, struct joining *joining,
                        struct hm_error *error)
{
    struct packetfs_contact from;

    for (size_t i = 0; i < joining->count; i++) {
        int rc = share_receive(identity, answers[i], &joining->shares[i], &from, error);
        if (rc != 0)
            return hm_error_prefix(error, rc, "answer %zu", i + 1);
        (void)snprintf(joining->names[i], sizeof(joining->names[i]), "answer %zu (of %s, %.16s…)",
                       i + 1, from.name[0] != 0 ? from.name : "somebody", from.id_text);
        joining->list[i] = &joining->shares[i];
        joining->name_list[i] = joining->names[i];
    }
    return 0;
}

/* The key, if it is the volume's: its own file opens with it. */
static int joined_check(const char *dir, const struct joining *joining,
                        struct packetfs_key_volume *volume, struct hm_error *error)
{
    int rc = packetfs_key_volume_look(dir, volume, error);

    for (size_t i = 0; i < joining->count && rc == 0; i++)
        if (memcmp(volume->id, joining->shares[i].volume_id, sizeof(volume->id)) != 0)
            rc = hm_fail(error, HM_ECONFLICT, "%s is a share of another volume than %s",
                         joining->names[i], dir);
    if (rc == 0)
        rc = packetfs_shares_join(joining->list, joining->name_list, joining->count, volume->key,
                                  error);
    return rc != 0 ? rc : packetfs_key_volume_prove(volume, error);
}

int packetfs_key_join(const char *dir, const struct packetfs_identity *identity,
                      const struct packetfs_bytes *answers, size_t count,
                      const struct packetfs_unlock *fresh, struct packetfs_error *error)
{
    struct hm_error *own = packetfs_error_own(error);
    struct packetfs_key_volume volume = {.file = {0}};
    struct joining joining;
    int rc;

    if (count == 0 || count > PACKETFS_SHARES_MAX)
        return hm_fail(own, HM_EINVAL, "1 to %u answers give a key, not %zu", PACKETFS_SHARES_MAX,
                       count);
    rc = joining_init(&joining, count, own);
    if (rc == 0)
        rc = answers_open(identity, answers, &joining, own);
    if (rc == 0)
        rc = joined_check(dir, &joining, &volume, own);
    if (rc == 0)
        rc = packetfs_key_volume_wrap(dir, &volume, fresh, false, own);
    packetfs_key_volume_release(&volume);
    joining_release(&joining);
    return rc;
}
