/* The system calls a job may use. */
#ifndef HM_RUNTIME_SECCOMP_H
#define HM_RUNTIME_SECCOMP_H

#include <jansson.h>

/* "linux.seccomp" of an OCI configuration: everything not listed fails with EPERM. New reference, NULL
 * when memory is out. */
json_t *runtime_seccomp_profile(void);

#endif
