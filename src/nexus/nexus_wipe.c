#include "nexus_wipe.h"

#include <malloc.h>

void nexus_wipe_free(void *ptr)
{
    if (ptr)
        hm_wipe(ptr, malloc_usable_size(ptr));
    hm_free(ptr);
}

void nexus_wipe_release(struct hm_buf *buf)
{
    if (buf->data)
        hm_wipe(buf->data, buf->cap);
    hm_buf_release(buf);
}
