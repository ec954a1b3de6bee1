/* The public error has the layout of ours. */
#ifndef HM_PACKETFS_ERROR_H
#define HM_PACKETFS_ERROR_H

#include "base.h"
#include "packetfs.h"

_Static_assert(sizeof(struct packetfs_error) == sizeof(struct hm_error) &&
                   offsetof(struct packetfs_error, text) == offsetof(struct hm_error, text) &&
                   sizeof(((struct packetfs_error *)0)->text) == HM_ERROR_TEXT_BYTES,
               "struct packetfs_error is struct hm_error by another name");
static inline struct hm_error *packetfs_error_own(struct packetfs_error *error)
{
    return (struct hm_error *)(void *)error;
}

#endif
