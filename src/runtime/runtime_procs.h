/* The processes of a container, for machines where no cgroup counts for us. */
#ifndef HM_RUNTIME_PROCS_H
#define HM_RUNTIME_PROCS_H

#include <sys/types.h>

#include "base.h"

#define RUNTIME_PROCS_MAX 65536

/* Memory of the first process and all below it: proportional set sizes where the kernel shows them,
 * else resident ones. Orphans of a container hang below its first process, so none is missed. */
uint64_t runtime_procs_memory(pid_t first);

#endif
