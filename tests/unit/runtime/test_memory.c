/* Memory that runs out: at the Nth allocation, for every N, once or from then on, whatever is made of bytes
 * from outside says so, leaves its outputs alone, leaks nothing and works the next time.
 *
 * Two depths. With `own`, the allocations of base and of jansson (by its hooks) fail. With `all`, every malloc
 * of the process does, those of libyaml, OpenSSL, protobuf-c and libc too; not under a sanitizer, which has a
 * malloc of its own. libarchive ends the process when it gets no memory for a text, so it is spared. */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "asset.h"
#include "runtime_cdi.h"
#include "runtime_images.h"
#include "runtime_json.h"
#include "runtime_layer.h"
#include "runtime_outputs.h"
#include "runtime_tar.h"
#include "runtime_yaml.h"
#include "trust.h"

#define NTH_MAX 20000

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OWN_MALLOC 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
#define OWN_MALLOC 0
#else
#define OWN_MALLOC 1
#endif
#else
#define OWN_MALLOC 1
#endif

/* --- every malloc of the process --------------------------------------------------------------------------- */

static unsigned long malloc_countdown, malloc_failures;
static bool malloc_lasting;
static long malloc_live;

#if OWN_MALLOC
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *ptr, size_t size);
void __libc_free(void *ptr);

static bool malloc_must_fail(void)
{
    if (malloc_countdown == 0)
        return false;
    if (malloc_countdown > 1) {
        malloc_countdown--;
        return false;
    }
    malloc_failures++;
    if (!malloc_lasting)
        malloc_countdown = 0;
    errno = ENOMEM;
    return true;
}

void *malloc(size_t size)
{
    void *ptr = malloc_must_fail() ? NULL : __libc_malloc(size);

    malloc_live += ptr != NULL;
    return ptr;
}

void *calloc(size_t count, size_t size)
{
    void *ptr = malloc_must_fail() ? NULL : __libc_calloc(count, size);

    malloc_live += ptr != NULL;
    return ptr;
}

void *realloc(void *old, size_t size)
{
    void *ptr = malloc_must_fail() ? NULL : __libc_realloc(old, size);

    malloc_live += old == NULL && ptr != NULL;
    return ptr;
}

void free(void *ptr)
{
    malloc_live -= ptr != NULL;
    __libc_free(ptr);
}
#endif

/* --- sweeps -------------------------------------------------------------------------------------------------- */

enum depth { OWN, ALL };

/* What is tried: returns its code, asserts that outputs are as they should be, and frees what it got. fail_now
 * is called when the part that may fail begins, fail_off when it is over. */
typedef int (*attempt_fn)(void);

static struct {
    enum depth depth;
    unsigned long nth;
    bool lasting;
    unsigned long failures;
} sweep;

static bool hit;
static struct hm_error fault; /* of the attempt under way */

static void fail_now(void)
{
    memset(&fault, 0, sizeof(fault));
    if (sweep.depth == ALL) {
        malloc_failures = 0;
        malloc_lasting = sweep.lasting;
        malloc_countdown = sweep.nth;
    } else {
        sweep.failures = hm_alloc_failures();
        if (sweep.lasting)
            hm_alloc_fail_from(sweep.nth);
        else
            hm_alloc_fail_at(sweep.nth);
    }
}

static bool fail_off(void)
{
    malloc_countdown = 0;
    hm_alloc_fail_at(0);
    return sweep.depth == ALL ? malloc_failures > 0 : hm_alloc_failures() > sweep.failures;
}

/* After everything that was got has been given back. What a library keeps for later (OpenSSL its list of errors) it
 * does not get again each time: only what each of many rounds leaves behind is a leak. */
#define LEAK_ROUNDS 40

static bool sweep_leaks(attempt_fn attempt)
{
    for (int round = 0; round < LEAK_ROUNDS; round++) {
        long before = malloc_live;

        (void)attempt();
        if (malloc_live == before)
            return false;
    }
    return true;
}

static void sweep_one(const char *name, attempt_fn attempt, enum depth depth, bool lasting)
{
    sweep.depth = depth;
    sweep.lasting = lasting;
    for (sweep.nth = 1; sweep.nth < NTH_MAX; sweep.nth++) {
        long before = malloc_live;
        int rc = attempt();
        bool was_hit = hit;
        if (rc != 0 && rc != HM_ENOMEM)
            fail_msg("%s: allocation %lu lost: %s: %s", name, sweep.nth, hm_error_name(rc),
                     fault.text);
        if (rc != 0 && !hit)
            fail_msg("%s: fails by itself", name);
        if (OWN_MALLOC && malloc_live != before && sweep_leaks(attempt))
            fail_msg("%s: allocation %lu lost: others leak", name, sweep.nth);
        if (!was_hit) {
            assert_true(sweep.nth > 1);
            return;
        }
    }
    fail_msg("%s: more than %d allocations", name, NTH_MAX);
}

static void sweep_all(const char *name, attempt_fn attempt, enum depth deepest)
{
    sweep.depth = OWN;
    sweep.nth = 0; /* once without any failure: what stays for the life of the process */
    if (attempt() != 0)
        fail_msg("%s: %s", name, fault.text);
    for (int lasting = 0; lasting < 2; lasting++) {
        sweep_one(name, attempt, OWN, lasting);
        if (OWN_MALLOC && deepest == ALL)
            sweep_one(name, attempt, ALL, lasting);
    }
}

/* --- job specifications --------------------------------------------------------------------------------------- */

static const char job_yaml[] =
    "name: words\nimage: busybox\ncommand: [sh, -c, 'wc -w /in/*']\nenv: {A: b, C: \"d e\"}\n"
    "cpus: 0.5\nmemory: 64M\ninputs: ['/tmp:/in']\noutputs:\n  - {source: /out, target: out}\n";

static int attempt_job_spec(void)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
    Hypermesh__JobSpec *const untouched = (Hypermesh__JobSpec *)(void *)&arena;
    Hypermesh__JobSpec *spec = untouched;
    int rc;

    fail_now();
    rc = wire_job_spec_parse(hm_slice_str(job_yaml), "job.yaml", &arena, &spec, &fault);
    hit = fail_off();
    assert_true(rc == 0 || fault.code == rc);
    if (rc == 0)
        assert_string_equal(spec->outputs[0]->source, "/out");
    else
        assert_ptr_equal(spec, untouched);
    return rc;
}

static int attempt_job_json(void)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
    HM_CLEANUP(hm_buf) struct hm_buf json = {0};
    HM_CLEANUP(hm_buf) struct hm_buf packed = {0};
    Hypermesh__JobSpec *spec = NULL, *again = NULL;
    int rc;

    assert_int_equal(wire_job_spec_parse(hm_slice_str(job_yaml), "job.yaml", &arena, &spec, NULL),
                     0);
    fail_now();
    rc = wire_job_spec_json(spec, &json);
    if (rc == 0)
        rc = wire_pack(&spec->base, &packed);
    if (rc == 0)
        rc = WIRE_UNPACK(hypermesh__job_spec, hm_buf_slice(&packed), packed.len, &arena, &again,
                         &fault);
    hit = fail_off();
    if (rc != 0)
        assert_null(again);
    else
        assert_int_equal(again->n_command, 3);
    return rc;
}

static void test_job_spec(void **state)
{
    (void)state;
    sweep_all("job specification", attempt_job_spec, ALL);
    sweep_all("job specification as JSON and message", attempt_job_json, ALL);
}

/* --- YAML and CDI ---------------------------------------------------------------------------------------------- */

static const char cdi_yaml[] =
    "cdiVersion: 0.6.0\nkind: vendor.com/gpu\ncontainerEdits:\n  env: [A=b]\n  hooks:\n"
    "  - {hookName: createContainer, path: /bin/true, args: [\"true\", x]}\ndevices:\n- name: "
    "\"0\"\n"
    "  containerEdits:\n    deviceNodes:\n    - {path: /dev/null0, hostPath: /dev/null, type: c}\n"
    "    mounts:\n    - {hostPath: /usr/lib, containerPath: /lib/gpu, options: [ro, bind]}\n";

static int attempt_cdi_parse(enum runtime_cdi_format format, const char *text)
{
    struct runtime_cdi_spec spec = {0};
    struct runtime_cdi_edits *edits = malloc(sizeof(*edits));
    HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
    int rc;

    assert_non_null(edits);
    memset(edits, 0, sizeof(*edits));
    edits->arena = &arena;
    fail_now();
    rc = runtime_cdi_spec_parse(hm_slice_str(text), format, "spec", &spec, &fault);
    if (rc == 0)
        rc = runtime_cdi_edits_add(edits, spec.json, &fault);
    if (rc == 0)
        rc = runtime_cdi_edits_add(edits, runtime_cdi_spec_device(&spec, "0"), &fault);
    hit = fail_off();
    if (rc == 0) {
        assert_int_equal(edits->mount_count, 1);
        assert_string_equal(edits->hooks[0].args.texts[1], "x");
    }
    runtime_cdi_spec_release(&spec);
    hm_arena_release(&arena);
    free(edits);
    return rc;
}

static int attempt_cdi_yaml(void)
{
    return attempt_cdi_parse(RUNTIME_CDI_YAML, cdi_yaml);
}

static char *cdi_json;

static int attempt_cdi_json(void)
{
    return attempt_cdi_parse(RUNTIME_CDI_JSON, cdi_json);
}

static char folder[256];

static int attempt_cdi_find(void)
{
    struct runtime_cdi_edits *edits = malloc(sizeof(*edits));
    HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
    char name[] = "vendor.com/gpu=0";
    char *names[] = {name};
    int rc;

    assert_non_null(edits);
    memset(edits, 0, sizeof(*edits));
    edits->arena = &arena;
    fail_now();
    rc = runtime_cdi_find(folder, names, 1, edits, &fault);
    hit = fail_off();
    if (rc == 0)
        assert_int_equal(edits->node_count, 1);
    hm_arena_release(&arena);
    free(edits);
    return rc;
}

static void test_cdi(void **state)
{
    json_t *made = NULL;
    char path[300];

    (void)state;
    assert_int_equal(runtime_yaml_parse(hm_slice_str(cdi_yaml), "spec", &made, NULL), 0);
    cdi_json = json_dumps(made, 0);
    json_decref(made);
    assert_non_null(cdi_json);
    sweep_all("CDI specification in YAML", attempt_cdi_yaml, ALL);
    sweep_all("CDI specification in JSON", attempt_cdi_json, ALL);

    make_dir(folder);
    snprintf(path, sizeof(path), "%s/gpu.yaml", folder);
    put_file(path, hm_slice_str(cdi_yaml));
    snprintf(path, sizeof(path), "%s/other.json", folder);
    put_file(path, hm_slice_str("{}"));
    sweep_all("CDI folder", attempt_cdi_find, ALL);
    assert_int_equal(hm_remove_tree(folder, NULL), 0);
    hm_free(cdi_json);
}

/* --- archives and images ---------------------------------------------------------------------------------------- */

static const struct tar_item layer_items[] = {{"hello", 'f', "hello", 0755, 0},
                                              {"w", 'd', NULL, 0755, 0},
                                              {"w/link", 'l', "../hello", 0, 0},
                                              {"w/hard", 'h', "hello", 0, 0},
                                              {".wh.gone", 'f', NULL, 0, 0}};
static struct hm_buf archive;

static size_t open_files(void)
{
    HM_CLEANUP(runtime_names) struct runtime_names names = {0};
    HM_AUTOCLOSE int fd = open("/proc/self/fd", O_RDONLY | O_DIRECTORY);

    assert_int_equal(runtime_names_read(fd, &names, NULL), 0);
    return names.count;
}

static int attempt_unpack(void)
{
    const struct runtime_owner nobody = {.set = false};
    struct runtime_archive_budget budget = {1 << 20, 100};
    struct runtime_archive_source source = {.fd = -1, .memory = hm_buf_slice(&archive)};
    uint8_t sha256[CRYPTO_SHA256_BYTES];
    size_t files = open_files();
    char path[300];
    int root, rc;

    snprintf(path, sizeof(path), "%s/l", folder);
    assert_int_equal(mkdir(path, 0755), 0);
    root = open(path, O_RDONLY | O_DIRECTORY);
    fail_now();
    rc = runtime_layer_unpack(&source, root, &nobody, &budget, sha256, &fault);
    hit = fail_off();
    assert_true(rc == 0 || fault.code == rc);
    (void)close(root);
    assert_int_equal(open_files(), files);
    assert_int_equal(hm_remove_tree(path, NULL), 0);
    return rc;
}

static void test_unpack(void **state)
{
    (void)state;
    make_dir(folder);
    tar_make(layer_items, HM_COUNT_OF(layer_items), TAR_ZSTD, &archive);
    sweep_all("layer", attempt_unpack, OWN);
    hm_buf_release(&archive);
    assert_int_equal(hm_remove_tree(folder, NULL), 0);
}

static struct runtime_images *images;
static const char *import_from;

static size_t entries_of(const char *what)
{
    HM_CLEANUP(runtime_names) struct runtime_names names = {0};
    char path[400];
    HM_AUTOCLOSE int dir = -1;

    snprintf(path, sizeof(path), "%s/images/%s", folder, what);
    dir = open(path, O_RDONLY | O_DIRECTORY);
    assert_int_equal(runtime_names_read(dir, &names, NULL), 0);
    return names.count;
}

static int attempt_import(void)
{
    struct runtime_image image = {.layers = 77};
    size_t files = open_files();
    int rc;

    fail_now();
    rc = runtime_image_import(images, import_from, "tested", &image, &fault);
    hit = fail_off();
    assert_int_equal(image.layers, rc == 0 ? 1 : 77);
    assert_int_equal(open_files(), files);
    if (entries_of("tmp") != 0) { /* the memory to remove it was not there */
        struct runtime_images *again = NULL;

        assert_true(hit);
        assert_int_equal(runtime_images_open(folder, &again, NULL), 0);
        runtime_images_close(again);
    }
    assert_int_equal(entries_of("tmp"), 0);
    if (rc == 0 && runtime_image_remove(images, "tested", &fault) != 0)
        fail_msg("allocation %lu lost: imported, but: %s", sweep.nth, fault.text);
    if (rc != 0)
        assert_int_equal(runtime_image_get(images, "tested", &image, NULL), HM_ENOTFOUND);
    return rc;
}

static int attempt_list(void)
{
    struct runtime_image *list = NULL, image;
    HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
    struct runtime_image_loaded *loaded = malloc(sizeof(*loaded));
    size_t count = 7;
    int rc;

    fail_now();
    rc = runtime_image_list(images, &list, &count, &fault);
    if (rc == 0)
        rc = runtime_image_get(images, "kept", &image, &fault);
    if (rc == 0)
        rc = runtime_image_load(images, "kept", &arena, loaded, &fault);
    hit = fail_off();
    assert_int_equal(list != NULL ? count : 7, list != NULL ? 1 : 7);
    hm_free(list);
    free(loaded);
    hm_arena_release(&arena);
    return rc;
}

static int attempt_remove(void)
{
    struct runtime_image image;
    int rc;

    assert_int_equal(runtime_image_import(images, import_from, "gone", &image, NULL), 0);
    fail_now();
    rc = runtime_image_remove(images, "gone", &fault);
    hit = fail_off();
    if (rc != 0) /* its name may have gone before the memory did; the image can be brought back */
        assert_int_equal(runtime_image_import(images, import_from, "gone", &image, NULL), 0);
    if (rc != 0)
        assert_int_equal(runtime_image_remove(images, "gone", NULL), 0);
    if (entries_of("blobs/sha256") != 2) /* of "kept" */
        fail_msg("allocation %lu lost: %s, but blobs are left", sweep.nth, hm_error_name(rc));
    return rc;
}

/* A store makes all it does durable; hundreds of imports take minutes on a disk. */
static void make_dir_in_memory(void)
{
    const char *tmpdir = getenv("TMPDIR");
    HM_AUTOFREE char *before = tmpdir != NULL ? hm_strdup(tmpdir) : NULL;

    if (access("/dev/shm", W_OK) == 0)
        assert_int_equal(setenv("TMPDIR", "/dev/shm", 1), 0);
    make_dir(folder);
    assert_int_equal(before != NULL ? setenv("TMPDIR", before, 1) : unsetenv("TMPDIR"), 0);
}

static void test_images(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf plain = {0};
    HM_CLEANUP(hm_buf) struct hm_buf packed = {0};
    HM_CLEANUP(hm_buf) struct hm_buf docker = {0};
    struct runtime_image image;
    char layout[300], save[300];

    (void)state;
    assert_int_equal(crypto_setup(NULL), 0);
    make_dir_in_memory();
    assert_int_equal(runtime_images_open(folder, &images, NULL), 0);
    tar_make(layer_items, 2, TAR_PLAIN, &plain);
    tar_make(layer_items, 2, TAR_GZIP, &packed);
    snprintf(layout, sizeof(layout), "%s/layout", folder);
    layout_make(layout, hm_buf_slice(&packed), hm_buf_slice(&plain), 0);
    docker_make(hm_buf_slice(&plain), &docker);
    snprintf(save, sizeof(save), "%s/save.tar", folder);
    put_file(save, hm_buf_slice(&docker));

    import_from = layout;
    sweep_all("import of a layout", attempt_import, OWN);
    import_from = save;
    sweep_all("import of a docker archive", attempt_import, OWN);
    assert_int_equal(runtime_image_import(images, layout, "kept", &image, NULL), 0);
    sweep_all("list of images", attempt_list, ALL);
    sweep_all("removal of an image", attempt_remove, OWN);
    runtime_images_close(images);
    assert_int_equal(hm_remove_tree(folder, NULL), 0);
}

/* --- outputs ------------------------------------------------------------------------------------------------------ */

static int attempt_outputs(void)
{
    struct runtime_outputs *outputs = malloc(sizeof(*outputs));
    char to[300];
    int rc;

    assert_non_null(outputs);
    snprintf(to, sizeof(to), "%s-to", folder);
    runtime_outputs_init(outputs, 1 << 20);
    fail_now();
    rc = runtime_outputs_copy(outputs, "/out", folder, to, &fault);
    hit = fail_off();
    if (rc == 0)
        assert_int_equal(outputs->bytes, 5);
    assert_int_equal(hm_remove_tree(to, NULL), 0);
    free(outputs);
    return rc;
}

static void test_outputs(void **state)
{
    char path[300];

    (void)state;
    make_dir(folder);
    snprintf(path, sizeof(path), "%s/f", folder);
    put_file(path, hm_slice_str("hello"));
    snprintf(path, sizeof(path), "%s/d", folder);
    assert_int_equal(mkdir(path, 0755), 0);
    sweep_all("outputs", attempt_outputs, ALL);
    assert_int_equal(hm_remove_tree(folder, NULL), 0);
}

/* --- keys and hardware ------------------------------------------------------------------------------------------- */

static int attempt_keystore(void)
{
    static const uint8_t digest[CRYPTO_HASH_BYTES];
    struct trust_keystore *keystore = NULL;
    struct trust_identity *identity = NULL;
    HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
    Hypermesh__RootAuth auth = HYPERMESH__ROOT_AUTH__INIT;
    struct trust_entry entry;
    struct trust_session session;
    char path[300];
    int rc;

    snprintf(path, sizeof(path), "%s/keys", folder);
    fail_now();
    rc = trust_keystore_open(path, NULL, hm_random_system(), &keystore, &fault);
    if (rc == 0)
        rc = trust_identity_create(keystore, "user", &entry, &fault);
    if (rc == 0)
        rc = trust_identity_open(keystore, "user", &identity, &fault);
    if (rc == 0)
        rc = trust_session_begin(identity, 1000, &session, &fault);
    if (rc == 0)
        rc = trust_session_adopt(identity, &fault);
    if (rc == 0)
        rc = trust_identity_sign_root(identity, digest, &arena, &auth, &fault);
    hit = fail_off();
    trust_identity_free(identity);
    trust_keystore_close(keystore);
    assert_int_equal(hm_remove_tree(path, NULL), 0);
    return rc;
}

static int attempt_scan(void)
{
    const struct asset_sources sources = {.storage_dir = folder};
    struct asset_inventory inventory = {.count = 7};
    HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
    int rc;

    fail_now();
    rc = asset_scan(&sources, &arena, &inventory, &fault);
    hit = fail_off();
    if (rc != 0)
        assert_int_equal(inventory.count, 7);
    return rc;
}

static void test_keys_and_hardware(void **state)
{
    (void)state;
    assert_int_equal(crypto_setup(NULL), 0);
    make_dir(folder);
    sweep_all("keystore", attempt_keystore, ALL);
    sweep_all("hardware", attempt_scan, OWN); /* hwloc ends the process */
    assert_int_equal(hm_remove_tree(folder, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_job_spec), cmocka_unit_test(test_cdi),
        cmocka_unit_test(test_unpack),   cmocka_unit_test(test_images),
        cmocka_unit_test(test_outputs),  cmocka_unit_test(test_keys_and_hardware),
    };

    if (!OWN_MALLOC)
        (void)printf("a sanitizer is at work: libraries without hooks keep their memory\n");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
