#include "runtime_gpu.h"

#include <stdio.h>

#include "runtime_cdi.h"

/* An instance of MIG is a slice that the device itself holds; of any other device a share is a figure. */
static bool gpu_is_slice(const char *name)
{
    const char *device = strchr(name, '=');

    return device != NULL && (strncmp(device + 1, "MIG-", 4) == 0 || strchr(device, ':') != NULL);
}

static void gpu_warn_shares(struct runtime_sandbox *sandbox)
{
    const Hypermesh__SandboxLimits *lease = sandbox->request->limits;

    for (size_t i = 0; i < lease->n_gpu_devices && sandbox->limits.gpu_milli < 1000; i++) {
        if (gpu_is_slice(lease->gpu_devices[i]))
            continue;
        runtime_warn(sandbox->result,
                     "%u thousandths of a GPU are accounted, not enforced: the job can use all of "
                     "the device",
                     sandbox->limits.gpu_milli);
        return;
    }
}

int runtime_gpu_find(struct runtime_sandbox *sandbox, struct hm_error *error)
{
    const Hypermesh__SandboxLimits *lease = sandbox->request->limits;
    struct runtime_cdi_edits *edits;
    char share[40];
    int rc;

    if (lease == NULL || lease->n_gpu_devices == 0)
        return 0;
    edits = hm_arena_alloc(&sandbox->arena, sizeof(*edits));
    if (edits == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for the job's GPUs");
    edits->arena = &sandbox->arena;
    rc = runtime_cdi_find(sandbox->request->cdi_folders, lease->gpu_devices, lease->n_gpu_devices,
                          edits, error);
    snprintf(share, sizeof(share), "HYPERMESH_GPU_MILLI=%u", sandbox->limits.gpu_milli);
    if (rc == 0)
        rc = runtime_cdi_env_set(edits, share, error);
    if (rc != 0)
        return rc;
    gpu_warn_shares(sandbox);
    sandbox->cdi = edits;
    return 0;
}

int runtime_gpu_prepare(struct runtime_sandbox *sandbox, struct hm_error *error)
{
    char path[RUNTIME_PATH_MAX_BYTES];
    const struct runtime_cdi_host host = {
        .machine = sandbox->machine, .uid = sandbox->uid, .gid = sandbox->gid, .node_dir = path};
    int rc;

    if (sandbox->cdi == NULL)
        return 0;
    rc = runtime_path_join(path, sizeof(path), sandbox->oci.bundle, "devices", error);
    return rc != 0 ? rc : runtime_cdi_prepare(sandbox->cdi, &host, error);
}
