#include "powercut_image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOG_MAX_BYTES ((size_t)4 << 30)
#define FILE_MAX_MODE 0600

enum variant { NOTHING, EVERYTHING, TORN_HEAD, TORN_TAIL, LAST_ALONE, RANDOM };

struct pending {
    const uint8_t *data; /* NULL: the file gets this length */
    uint64_t offset; /* or the length */
    uint64_t len;
    bool doubtful; /* a sync failed since */
};

struct file {
    uint64_t number;
    struct hm_buf durable;
    struct pending *pending;
    size_t count;
    size_t cap;
    struct file *next; /* newest first: an inode number used again finds the new file */
};

struct name_change {
    enum powercut_kind kind;
    const char *a;
    const char *b;
    struct file *file;
};

struct name {
    char *path;
    struct file *file; /* NULL: a folder */
    struct name *next;
};

struct powercut_image {
    const struct powercut_log *log;
    const char *base;
    size_t at; /* the record that comes next */
    bool half; /* of a WRITE_SYNC: written, not yet synced */
    size_t step;
    uint64_t mark;
    struct file *files;
    struct name *names; /* durable */
    struct name *names_now; /* as the program sees them */
    struct name_change *changes; /* of names, not durable yet */
    size_t change_count;
    size_t change_cap;
};

static void *must_have(void *memory)
{
    if (!memory)
        abort(); /* test code: no memory ends the test */
    return memory;
}

int powercut_load(const char *path, struct powercut_log *out, struct hm_error *error)
{
    struct powercut_log log = {0};
    size_t at = 0;
    int rc = hm_file_read(path, LOG_MAX_BYTES, &log.bytes, error);

    if (rc)
        return rc;
    while (at + sizeof(struct powercut_record) <= log.bytes.len) {
        struct powercut_record *record = (void *)(log.bytes.data + at);
        struct powercut_record head;

        memcpy(&head, record, sizeof(head));
        if (head.magic != POWERCUT_MAGIC || head.len > POWERCUT_PAYLOAD_BYTES) {
            powercut_log_release(&log);
            return hm_fail(error, HM_EPARSE, "%s: no record at byte %zu", path, at);
        }
        if (at + sizeof(head) + head.len > log.bytes.len)
            break;
        if (log.count % 1024 == 0)
            log.records = must_have(
                hm_realloc(log.records, (log.count + 1024) * sizeof(*log.records)));
        log.records[log.count++] = record;
        at += sizeof(head) + head.len;
    }
    *out = log;
    return 0;
}

void powercut_log_release(struct powercut_log *log)
{
    hm_buf_release(&log->bytes);
    hm_free(log->records);
    *log = (struct powercut_log){0};
}

/* Records lie at any address. */
static struct powercut_record head_of(const struct powercut_log *log, size_t at)
{
    struct powercut_record head;

    memcpy(&head, log->records[at], sizeof(head));
    return head;
}

static const uint8_t *payload_of(const struct powercut_log *log, size_t at)
{
    return (const uint8_t *)log->records[at] + sizeof(struct powercut_record);
}

/* --- content of files --- */

static void set_length(struct hm_buf *buf, uint64_t len)
{
    if (len > buf->len) {
        if (hm_buf_reserve(buf, (size_t)len - buf->len))
            abort();
        memset(buf->data + buf->len, 0, (size_t)len - buf->len);
    }
    buf->len = (size_t)len;
}

static void apply(struct hm_buf *buf, const struct pending *change, uint64_t from, uint64_t to)
{
    if (!change->data) {
        set_length(buf, change->offset);
        return;
    }
    if (from >= to)
        return;
    if (change->offset + to > buf->len)
        set_length(buf, change->offset + to);
    memcpy(buf->data + change->offset + from, change->data + from, (size_t)(to - from));
}

static void file_add(struct file *file, const uint8_t *data, uint64_t offset, uint64_t len)
{
    if (file->count == file->cap) {
        file->cap = file->cap ? 2 * file->cap : 64;
        file->pending = must_have(hm_realloc(file->pending, file->cap * sizeof(*file->pending)));
    }
    file->pending[file->count++] = (struct pending){.data = data, .offset = offset, .len = len};
}

static bool overlap(const struct pending *a, const struct pending *b)
{
    return a->data && b->data && a->offset < b->offset + b->len && b->offset < a->offset + a->len;
}

/* What a failed sync left in doubt stays so, unless newer bytes took its place. */
static void file_sync(struct file *file)
{
    size_t kept = 0;

    for (size_t i = 0; i < file->count; i++) {
        struct pending change = file->pending[i];
        bool replaced = false;

        if (!change.doubtful) {
            apply(&file->durable, &change, 0, change.len);
            continue;
        }
        for (size_t j = i + 1; j < file->count && !replaced; j++)
            replaced = !file->pending[j].doubtful && overlap(&change, &file->pending[j]);
        if (!replaced)
            file->pending[kept++] = change;
    }
    file->count = kept;
}

static struct file *file_new(struct powercut_image *image, uint64_t number)
{
    struct file *file = must_have(hm_calloc(1, sizeof(*file)));

    file->number = number;
    file->next = image->files;
    image->files = file;
    return file;
}

static struct file *file_of(struct powercut_image *image, uint64_t number)
{
    for (struct file *file = image->files; file; file = file->next)
        if (file->number == number)
            return file;
    return NULL;
}

/* --- names --- */

static struct name *name_find(struct name *names, const char *path)
{
    while (names && strcmp(names->path, path) != 0)
        names = names->next;
    return names;
}

static void name_drop(struct name **names, const char *path)
{
    for (; *names; names = &(*names)->next) {
        struct name *gone = *names;

        if (strcmp(gone->path, path) == 0) {
            *names = gone->next;
            hm_free(gone->path);
            hm_free(gone);
            return;
        }
    }
}

static void name_set(struct name **names, const char *path, struct file *file)
{
    struct name *name;

    name_drop(names, path);
    name = must_have(hm_calloc(1, sizeof(*name)));
    name->path = must_have(hm_strdup(path));
    name->file = file;
    while (*names) /* at the end: a folder comes before what is in it */
        names = &(*names)->next;
    *names = name;
}

static void names_free(struct name *names)
{
    while (names)
        name_drop(&names, names->path);
}

static struct name *names_copy(const struct name *names)
{
    struct name *copy = NULL;

    for (; names; names = names->next)
        name_set(&copy, names->path, names->file);
    return copy;
}

static void name_change_apply(struct name **names, const struct name_change *change)
{
    const struct name *from;
    struct file *file;

    switch (change->kind) {
    case POWERCUT_RENAME:
        from = name_find(*names, change->a);
        file = from ? from->file : change->file;
        name_drop(names, change->a);
        name_set(names, change->b, file);
        break;
    case POWERCUT_UNLINK:
        name_drop(names, change->a);
        break;
    default:
        name_set(names, change->a, change->file);
        break;
    }
}

static void name_change_add(struct powercut_image *image, struct name_change change)
{
    if (image->change_count == image->change_cap) {
        image->change_cap = image->change_cap ? 2 * image->change_cap : 16;
        image->changes = must_have(
            hm_realloc(image->changes, image->change_cap * sizeof(*image->changes)));
    }
    image->changes[image->change_count++] = change;
    name_change_apply(&image->names_now, &change);
}

static bool lies_in(const char *path, const char *folder)
{
    size_t len = strlen(folder);
    const char *rest = path + len + (len > 0);

    if (len > 0 && (strncmp(path, folder, len) != 0 || path[len] != '/'))
        return false;
    return strchr(rest, '/') == NULL;
}

/* fsync of a folder: the names in it are durable, in the order in which they came. */
static void names_sync(struct powercut_image *image, const char *folder)
{
    size_t kept = 0;

    for (size_t i = 0; i < image->change_count; i++) {
        struct name_change change = image->changes[i];

        if (lies_in(change.b ? change.b : change.a, folder))
            name_change_apply(&image->names, &change);
        else
            image->changes[kept++] = change;
    }
    image->change_count = kept;
}

/* A file that was there before the log began: what it held is in the base folder. */
static void file_existing(struct powercut_image *image, uint64_t number, const char *path)
{
    const struct name *name = name_find(image->names_now, path);
    HM_AUTOFREE char *from = NULL;
    struct file *file;

    if (name && name->file && name->file->number == number)
        return;
    file = file_new(image, number);
    if (image->base) {
        from = must_have(hm_asprintf("%s/%s", image->base, path));
        (void)hm_file_read(from, LOG_MAX_BYTES, &file->durable, NULL);
    }
    name_set(&image->names, path, file);
    name_set(&image->names_now, path, file);
}

/* --- the log, record by record --- */

struct powercut_image *powercut_image_new(const struct powercut_log *log, const char *base)
{
    struct powercut_image *image = must_have(hm_calloc(1, sizeof(*image)));

    image->log = log;
    image->base = base;
    return image;
}

void powercut_image_free(struct powercut_image *image)
{
    if (!image)
        return;
    while (image->files) {
        struct file *file = image->files;

        image->files = file->next;
        hm_buf_release(&file->durable);
        hm_free(file->pending);
        hm_free(file);
    }
    names_free(image->names);
    names_free(image->names_now);
    hm_free(image->changes);
    hm_free(image);
}

static void take_name(struct powercut_image *image, const struct powercut_record *head,
                      const char *path)
{
    struct name_change change = {.kind = head->kind, .a = path};
    const struct name *name;

    if (head->kind == POWERCUT_CREATE) {
        change.file = file_new(image, head->file);
    } else if (head->kind == POWERCUT_RENAME) {
        change.b = path + strlen(path) + 1;
        name = name_find(image->names_now, path);
        change.file = name ? name->file : NULL;
    }
    name_change_add(image, change);
}

static void take_content(struct powercut_image *image, const struct powercut_record *head,
                         const uint8_t *data)
{
    struct file *file = file_of(image, head->file);

    if (!file)
        return;
    switch (head->kind) {
    case POWERCUT_WRITE:
    case POWERCUT_WRITE_SYNC:
        file_add(file, data, head->offset, head->len);
        break;
    case POWERCUT_LENGTH:
        file_add(file, NULL, head->offset, 0);
        break;
    case POWERCUT_SYNC:
        file_sync(file);
        break;
    default: /* a sync failed */
        for (size_t i = 0; i < file->count; i++)
            file->pending[i].doubtful = true;
        break;
    }
}

/* The write through O_DSYNC that was under way is durable; nothing else is. */
static void finish_sync_write(struct powercut_image *image)
{
    struct powercut_record head = head_of(image->log, image->at);
    struct file *file = file_of(image, head.file);

    if (file && file->count) {
        struct pending *last = &file->pending[--file->count];

        apply(&file->durable, last, 0, last->len);
    }
}

bool powercut_image_advance(struct powercut_image *image)
{
    struct powercut_record head;
    const uint8_t *data;

    if (image->at == image->log->count)
        return false;
    head = head_of(image->log, image->at);
    data = payload_of(image->log, image->at);
    image->step++;
    if (image->half) {
        finish_sync_write(image);
        image->half = false;
        image->at++;
        return true;
    }
    switch (head.kind) {
    case POWERCUT_OPEN:
        file_existing(image, head.file, (const char *)data);
        break;
    case POWERCUT_CREATE:
    case POWERCUT_RENAME:
    case POWERCUT_UNLINK:
    case POWERCUT_MKDIR:
        take_name(image, &head, (const char *)data);
        break;
    case POWERCUT_SYNC_FOLDER:
        names_sync(image, (const char *)data);
        break;
    case POWERCUT_MARK:
        image->mark = head.offset;
        break;
    case POWERCUT_NOTHING:
        break;
    default:
        take_content(image, &head, data);
        break;
    }
    image->half = head.kind == POWERCUT_WRITE_SYNC;
    image->at += !image->half;
    return true;
}

uint64_t powercut_image_mark(const struct powercut_image *image)
{
    return image->mark;
}

size_t powercut_image_step(const struct powercut_image *image)
{
    return image->step;
}

/* --- images --- */

static size_t pending_count(const struct powercut_image *image)
{
    size_t count = image->change_count;

    for (const struct file *file = image->files; file; file = file->next)
        count += file->count;
    return count;
}

unsigned powercut_variants(const struct powercut_image *image, unsigned random_ones)
{
    size_t pending = pending_count(image);

    if (pending == 0)
        return NOTHING + 1;
    return pending == 1 ? TORN_TAIL + 1 : RANDOM + random_ones;
}

/* splitmix64 (Steele, Lea, Flood 2014) */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static void apply_random(struct hm_buf *buf, const struct pending *change, uint64_t *random)
{
    uint64_t choice = next_random(random) % 4;

    if (choice == 0)
        return;
    if (choice < 3 || !change->data) {
        apply(buf, change, 0, change->len);
        return;
    }
    for (uint64_t at = 0; at < change->len;) { /* sector by sector of the file */
        uint64_t end = at + POWERCUT_SECTOR_BYTES - (change->offset + at) % POWERCUT_SECTOR_BYTES;

        if (end > change->len)
            end = change->len;
        if (next_random(random) % 2)
            apply(buf, change, at, end);
        at = end;
    }
}

/* Where a write is torn: at the last sector's edge before its middle, or at its start. */
static uint64_t tear(const struct pending *change)
{
    uint64_t middle = change->offset + change->len / 2;

    middle -= middle % POWERCUT_SECTOR_BYTES;
    return middle > change->offset ? middle - change->offset : 0;
}

static void content(const struct file *file, unsigned variant, uint64_t *random, struct hm_buf *out)
{
    if (hm_buf_append(out, file->durable.data, file->durable.len))
        abort();
    for (size_t i = 0; i < file->count; i++) {
        const struct pending *change = &file->pending[i];
        bool last = i + 1 == file->count;

        if (variant == NOTHING || (variant == LAST_ALONE && !last))
            continue;
        if (variant == TORN_HEAD && last)
            apply(out, change, 0, tear(change));
        else if (variant == TORN_TAIL && last)
            apply(out, change, tear(change), change->len);
        else if (variant >= RANDOM)
            apply_random(out, change, random);
        else
            apply(out, change, 0, change->len);
    }
}

static int put_file(const struct file *file, unsigned variant, uint64_t *random, const char *path,
                    struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    HM_AUTOCLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, FILE_MAX_MODE);

    if (fd < 0)
        return hm_fail_errno(error, HM_EIO, "%s", path);
    content(file, variant, random, &bytes);
    return bytes.len ? hm_write_all(fd, bytes.data, bytes.len, error) : 0;
}

/* A folder whose own name was lost is not there, nor what is in it. */
static bool has_parent(char *path)
{
    char *slash = strrchr(path, '/');
    bool there;

    *slash = '\0';
    there = access(path, F_OK) == 0;
    *slash = '/';
    return there;
}

static int put_folder(const char *folder, const char *name, bool *made, struct hm_error *error)
{
    HM_AUTOFREE char *path = must_have(hm_asprintf("%s/%s", folder, name));

    if (access(path, F_OK) == 0 || !has_parent(path))
        return 0;
    *made = true;
    return hm_mkdir_all(path, 0700, error);
}

int powercut_image_write(const struct powercut_image *image, unsigned variant, const char *folder,
                         struct hm_error *error)
{
    uint64_t random = image->step * 1000003u + variant;
    struct name *names = names_copy(image->names);
    size_t changes = variant == NOTHING ? 0 : image->change_count;
    int rc = 0;

    if (variant >= RANDOM)
        changes = (size_t)(next_random(&random) % (image->change_count + 1));
    for (size_t i = 0; i < changes; i++)
        name_change_apply(&names, &image->changes[i]);
    if (access(folder, F_OK) == 0)
        rc = hm_remove_tree(folder, error);
    if (!rc)
        rc = hm_mkdir_all(folder, 0700, error);
    /* A folder's name may have become durable after what is in it. */
    for (bool more = true; more && !rc;) {
        more = false;
        for (const struct name *name = names; name && !rc; name = name->next)
            if (!name->file)
                rc = put_folder(folder, name->path, &more, error);
    }
    for (const struct name *name = names; name && !rc; name = name->next) {
        HM_AUTOFREE char *path = must_have(hm_asprintf("%s/%s", folder, name->path));

        if (name->file && has_parent(path))
            rc = put_file(name->file, variant, &random, path, error);
    }
    names_free(names);
    return rc;
}
