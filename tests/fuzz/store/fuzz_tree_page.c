/* Pages of the tree as they come from a disk that may be damaged. */
#include <stdlib.h>

#include "store_tree_page.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct store_tree_page page;
    static struct store_tree_page back;
    uint8_t bytes[STORE_TREE_PAGE_MAX_BYTES];
    size_t len;

    if (store_tree_page_decode(hm_slice_of(data, size), &page))
        return 0;
    len = store_tree_page_encode(&page, bytes);
    if (len > size || store_tree_page_decode(hm_slice_of(bytes, len), &back) ||
        memcmp(&page, &back, sizeof(page)) != 0)
        abort();
    return 0;
}
