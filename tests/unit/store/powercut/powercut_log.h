/* What the preload library writes down and the images are made from: a file of records, each appended
 * whole. Numbers are the machine's own; a log never leaves it. */
#ifndef HM_POWERCUT_LOG_H
#define HM_POWERCUT_LOG_H

#include <stdint.h>

#define POWERCUT_MAGIC         UINT32_C(0x50574354)
#define POWERCUT_PAYLOAD_BYTES (UINT64_C(1) << 30) /* of one record, at most */

enum powercut_kind {
    POWERCUT_OPEN = 1, /* payload: path below the folder; the file (inode) goes by that name */
    POWERCUT_CREATE, /* as OPEN, and the name is new */
    POWERCUT_WRITE, /* payload: the bytes, at offset */
    POWERCUT_WRITE_SYNC, /* as WRITE, through O_DSYNC or O_SYNC: durable when the next record begins */
    POWERCUT_LENGTH, /* the file is offset bytes long now */
    POWERCUT_SYNC, /* fsync or fdatasync of the file returned 0 */
    POWERCUT_SYNC_FAILED, /* it failed: what was not synced may be lost for good */
    POWERCUT_SYNC_FOLDER, /* fsync of a folder; payload: its path */
    POWERCUT_RENAME, /* payload: both paths, each with its NUL */
    POWERCUT_UNLINK, /* payload: path */
    POWERCUT_MKDIR, /* payload: path */
    POWERCUT_MARK, /* offset: a number the program (or a test beside it) gave */
    POWERCUT_NOTHING /* never written: what a test puts in the place of a record */
};

struct powercut_record {
    uint32_t magic;
    uint32_t kind;
    uint64_t file; /* inode number; 0 for names and marks */
    uint64_t offset;
    uint64_t len; /* of the payload that follows */
};

/* In the preload library; find it with dlsym(RTLD_DEFAULT, "powercut_mark"): absent when the program runs
 * without it. Says in the log that from here on number is promised to the world. */
typedef void powercut_mark_fn(uint64_t number);

#endif
