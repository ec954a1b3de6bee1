/* Where either end of a handover keeps the volume that is handed over, from one try to the next:
 *   DIR/lock       locked (flock) while somebody works here; says that the folder is one of these
 *   DIR/key        a key file for
 *   DIR/volume/    the volume
 *   DIR/for        the sender's: what is sent to whom, PACKETFS_STATE_NAME_BYTES in hex
 *   DIR/code       the sender's: the code that opens it, until somebody gave a wrong one
 * Without a folder of the user's it lies in his cache: packetfs/send/HEX, packetfs/receive/HEX. There, what nobody touched for
 * PACKETFS_STATE_DAYS days is removed. A folder that is a link, another user's, or that others may write to is refused: who can exchange
 * what is in it chooses what is sent. */
#ifndef HM_PACKETFS_SEND_STATE_H
#define HM_PACKETFS_SEND_STATE_H

#include "packetfs_keys.h"

#define PACKETFS_STATE_NAME_BYTES 16
#define PACKETFS_STATE_DAYS       7

struct packetfs_state {
    char *dir, *volume, *key, *whom, *code;
    int lock;
    bool ours; /* in the cache: nothing else is there */
};
/* given: the user's folder, or NULL. several: with this name in use by another process a second is made beside it (else HM_EBUSY).
 * HM_EPERM: the folder, or what is in it, is a link or not the user's alone. HM_EEXIST: it holds other things. */
int packetfs_state_open(const char *given, const char *what,
                        const uint8_t name[PACKETFS_STATE_NAME_BYTES], bool several,
                        struct packetfs_state *out, struct hm_error *error);
/* Takes the volume, its key and the rest away, as before the first try. */
int packetfs_state_clear(const struct packetfs_state *state, struct hm_error *error);
/* Was what lies here begun under this name? And: from now on it is. */
bool packetfs_state_is_for(const struct packetfs_state *state,
                           const uint8_t name[PACKETFS_STATE_NAME_BYTES]);
int packetfs_state_mark(const struct packetfs_state *state,
                        const uint8_t name[PACKETFS_STATE_NAME_BYTES], struct hm_error *error);
/* remove: all of it goes. Accepts one of zeros. */
void packetfs_state_close(struct packetfs_state *state, bool remove);

/* CACHE/packetfs/WHAT (XDG_CACHE_HOME, else ~/.cache); hm_free. HM_ENOTFOUND: neither is set. */
int packetfs_state_cache(const char *what, char **out, struct hm_error *error);

#endif
