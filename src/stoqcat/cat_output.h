/* Standard output for those who must not wait for it: blocks are queued, and a thread writes them. */
#ifndef CAT_OUTPUT_H
#define CAT_OUTPUT_H

#include "cat.h"

struct cat_output;
/* broken_fd: an eventfd, made readable when standard output takes no more. STOQ_ENOMEM, STOQ_EIO. */
int cat_output_open(struct cat_output **out, int broken_fd, struct stoq_error *error);
/* Copies a block; false: it is lost, because too much waits already or there is no memory. */
bool cat_output_add(struct cat_output *output, const uint8_t *data, size_t len);
/* Writes what waits, and frees. Returns how many blocks were lost; *failed: some could not be written. NULL is fine. */
uint64_t cat_output_close(struct cat_output *output, bool *failed);

#endif
