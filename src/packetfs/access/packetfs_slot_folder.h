/* DIR/keys: the files of a volume's slots. Who changes it holds it, so that two do not take away each other's slot; who reads does not wait. */
#ifndef HM_PACKETFS_SLOT_FOLDER_H
#define HM_PACKETFS_SLOT_FOLDER_H

#include "access/packetfs_slot.h"

/* More than there may be: a rotation of a full folder that was cut short leaves one too many, and the next one mends that. */
#define PACKETFS_SLOTS_READ_MAX (2 * PACKETFS_SLOTS_MAX)

struct packetfs_slot_file {
    char name[PACKETFS_SLOT_NAME_MAX + 1]; /* without ".slot" */
    struct hm_buf bytes;
};
struct packetfs_slot_folder {
    char *path;
    int fd; /* locked, or -1 */
    struct packetfs_slot_file *slots; /* by name */
    size_t count;
};

/* Reads all slots; lock: waits until nobody else changes them, and clears away what a killed writer left. HM_ELIMIT: more than PACKETFS_SLOTS_READ_MAX. */
int packetfs_slot_folder_open(const char *dir, bool lock, struct packetfs_slot_folder *out,
                              struct hm_error *error);
void packetfs_slot_folder_close(struct packetfs_slot_folder *folder); /* zeros are closed */
/* HM_ELIMIT: PACKETFS_SLOTS_MAX slots are there. */
int packetfs_slot_folder_has_room(const struct packetfs_slot_folder *folder,
                                  struct hm_error *error);
/* A name that no slot has. HM_EIO. */
int packetfs_slot_folder_draw(const struct packetfs_slot_folder *folder,
                              const struct hm_random *random, char name[PACKETFS_SLOT_NAME_MAX + 1],
                              struct hm_error *error);
/* Both of a locked folder, durable; slots[] stays as it was read. */
int packetfs_slot_folder_write(const struct packetfs_slot_folder *folder, const char *name,
                               struct hm_slice slot, struct hm_error *error);
int packetfs_slot_folder_remove(const struct packetfs_slot_folder *folder, const char *name,
                                struct hm_error *error);

#endif
