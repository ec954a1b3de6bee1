/* The GPUs of a lease, handed to its job. */
#ifndef HM_RUNTIME_GPU_H
#define HM_RUNTIME_GPU_H

#include "runtime_sandbox.h"

/* Whole devices by their CDI names, and HYPERMESH_GPU_MILLI in the environment. Sets sandbox->cdi, NULL
 * for a lease without GPUs. Makes nothing. HM_EUNAVAILABLE when no specification describes one. */
int runtime_gpu_find(struct runtime_sandbox *sandbox, struct hm_error *error);
/* After the job's user is known and its bundle folder made. Nothing to do without GPUs. */
int runtime_gpu_prepare(struct runtime_sandbox *sandbox, struct hm_error *error);

#endif
