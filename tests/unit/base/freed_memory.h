/* Looks into memory that the program gives back: a secret that is still there was not wiped. The program that links this has its free
 * and realloc, whatever library calls them. Any thread. */
#ifndef HM_FREED_MEMORY_H
#define HM_FREED_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

/* False under a sanitizer, whose free is its own: then nothing is ever found. Says so. */
bool freed_can_look(void);
/* From now on, for these bytes, which stay the caller's and must outlive the search. */
void freed_look_for(const void *bytes, size_t len);
/* Ends the search; how many blocks were given back with the bytes in them. */
unsigned freed_found(void);

#endif
