#include "api_etag.h"

#include "crypto.h"

void api_etag_of(struct hm_slice body, char etag[API_ETAG_MAX])
{
    uint8_t hash[CRYPTO_HASH_BYTES];

    crypto_hash(body.data ? body.data : (const uint8_t *)"", body.len, hash);
    etag[0] = '"';
    hm_hex_encode(hash, API_ETAG_BYTES, etag + 1);
    memcpy(etag + 1 + 2 * (size_t)API_ETAG_BYTES, "\"", 2);
}
_Static_assert(2 * API_ETAG_BYTES + 3 <= API_ETAG_MAX, "a tag fits");

static const char *skip_space(const char *at)
{
    while (*at == ' ' || *at == '\t')
        at++;
    return at;
}

static int not_tags(struct hm_error *error)
{
    return hm_fail(error, HM_EINVAL,
                   "If-Match and If-None-Match hold * or a list of ETags in quotes, at most %d",
                   API_ETAG_LIST_MAX);
}

int api_etag_listed(const char *header, const char *etag, bool weak, bool *listed,
                    struct hm_error *error)
{
    const char *at = skip_space(header);
    size_t len = strlen(etag);
    bool found = false;

    if (*at == '*') {
        if (*skip_space(at + 1) != '\0')
            return not_tags(error);
        *listed = len > 0;
        return 0;
    }
    for (unsigned i = 0; i < API_ETAG_LIST_MAX; i++) {
        bool is_weak = at[0] == 'W' && at[1] == '/';
        const char *open = is_weak ? at + 2 : at;
        const char *close = *open == '"' ? strchr(open + 1, '"') : NULL;

        if (!close)
            return not_tags(error);
        if ((weak || !is_weak) && len > 0 && (size_t)(close - open) + 1 == len &&
            memcmp(open, etag, len) == 0)
            found = true;
        at = skip_space(close + 1);
        if (*at == '\0') {
            *listed = found;
            return 0;
        }
        if (*at != ',')
            return not_tags(error);
        at = skip_space(at + 1);
    }
    return not_tags(error);
}

int api_things_init(struct api_things *things)
{
    pthread_rwlockattr_t attributes;
    size_t made = 0;

    if (pthread_rwlockattr_init(&attributes) != 0)
        return HM_ENOMEM;
    /* Otherwise a stream of unconditional acts would keep a conditional one waiting for ever. */
    (void)pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    while (made < API_THING_LOCKS && pthread_rwlock_init(&things->locks[made], &attributes) == 0)
        made++;
    (void)pthread_rwlockattr_destroy(&attributes);
    if (made == API_THING_LOCKS)
        return 0;
    while (made > 0)
        (void)pthread_rwlock_destroy(&things->locks[--made]);
    return HM_ENOMEM;
}

void api_things_release(struct api_things *things)
{
    for (size_t i = 0; i < API_THING_LOCKS; i++)
        (void)pthread_rwlock_destroy(&things->locks[i]);
}

pthread_rwlock_t *api_things_lock(struct api_things *things, const char *kind, struct hm_slice id)
{
    const struct hm_slice parts[] = {hm_slice_str(kind), id};
    uint8_t hash[CRYPTO_HASH_BYTES];

    crypto_hash_parts("hypermesh api thing", parts, HM_COUNT_OF(parts), hash);
    return &things->locks[hm_get_be32(hash) % API_THING_LOCKS];
}
