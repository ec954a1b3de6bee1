/* Tickets used for early data: a set-associative table. Ids are random (ours), so their first bytes are the hash. */
#include "stoq_tls_replay.h"

#include <pthread.h>

struct replay_entry {
    uint8_t id[STOQ_REPLAY_ID_BYTES];
    uint64_t used_seconds; /* 0: empty */
};

struct stoq_replay {
    pthread_mutex_t lock;
    uint64_t born_seconds;
    struct replay_entry entries[STOQ_REPLAY_ENTRIES];
};

struct stoq_replay *stoq_replay_new(uint64_t now_seconds)
{
    struct stoq_replay *replay = hm_calloc(1, sizeof(*replay));
    if (replay == NULL)
        return NULL;
    if (pthread_mutex_init(&replay->lock, NULL) != 0) {
        hm_free(replay);
        return NULL;
    }
    replay->born_seconds = now_seconds;
    return replay;
}

void stoq_replay_free(struct stoq_replay *replay)
{
    if (replay == NULL)
        return;
    pthread_mutex_destroy(&replay->lock);
    hm_free(replay);
}

static bool still_needed(const struct replay_entry *entry, uint64_t now)
{
    /* A clock that went back makes the entry look new: kept. */
    return entry->used_seconds != 0 &&
           (entry->used_seconds >= now || now - entry->used_seconds < STOQ_REPLAY_WINDOW_S);
}

static bool take_locked(struct stoq_replay *replay, const uint8_t *id, uint64_t now)
{
    size_t set = hm_get_be32(id) % (STOQ_REPLAY_ENTRIES / STOQ_REPLAY_WAYS);
    struct replay_entry *ways = &replay->entries[set * STOQ_REPLAY_WAYS];
    struct replay_entry *oldest = NULL;

    for (size_t i = 0; i < STOQ_REPLAY_WAYS; i++) {
        struct replay_entry *entry = &ways[i];
        if (entry->used_seconds != 0 && memcmp(entry->id, id, STOQ_REPLAY_ID_BYTES) == 0)
            return false;
        if (!still_needed(entry, now) &&
            (oldest == NULL || entry->used_seconds < oldest->used_seconds))
            oldest = entry;
    }
    if (oldest == NULL)
        return false;
    memcpy(oldest->id, id, STOQ_REPLAY_ID_BYTES);
    oldest->used_seconds = now == 0 ? 1 : now;
    return true;
}

bool stoq_replay_take(struct stoq_replay *replay, const uint8_t id[STOQ_REPLAY_ID_BYTES],
                      uint64_t issued_seconds, uint64_t now_seconds)
{
    pthread_mutex_lock(&replay->lock);
    bool unseen_use = issued_seconds < replay->born_seconds &&
                      now_seconds < replay->born_seconds + STOQ_REPLAY_WINDOW_S;
    bool taken = !unseen_use && take_locked(replay, id, now_seconds);
    pthread_mutex_unlock(&replay->lock);
    return taken;
}
