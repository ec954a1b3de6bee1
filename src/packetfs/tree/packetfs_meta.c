#include "tree/packetfs_meta.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/limits.h>
#include <pwd.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#define NAMES_SLOTS       256 /* of each table; a power of two */
#define NAME_LOOKUP_BYTES 16384
#define XATTR_LIST_BYTES  65536

/* --- names of owners ------------------------------------------------------------------------------------------------ */
struct owner {
    bool known;
    uint32_t id;
    char *name; /* NULL: none */
};

struct packetfs_names {
    struct owner users[NAMES_SLOTS], groups[NAMES_SLOTS];
    char *retired[NAMES_SLOTS]; /* thrown out of a table, but perhaps still pointed to */
    size_t retired_count;
    char lookup[NAME_LOOKUP_BYTES];
};

int packetfs_names_new(struct packetfs_names **out, struct hm_error *error)
{
    struct packetfs_names *names = hm_calloc(1, sizeof(*names));

    if (names == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for the names of owners");
    *out = names;
    return 0;
}

void packetfs_names_free(struct packetfs_names *names)
{
    if (names == NULL)
        return;
    for (size_t i = 0; i < NAMES_SLOTS; i++) {
        hm_free(names->users[i].name);
        hm_free(names->groups[i].name);
    }
    for (size_t i = 0; i < names->retired_count; i++)
        hm_free(names->retired[i]);
    hm_free(names);
}

static struct hm_slice owner_name(struct packetfs_names *names, struct owner *table, uint32_t id,
                                  bool group)
{
    /* Ids come in runs, so that the low bits spread them. */
    struct owner *slot = &table[id % NAMES_SLOTS];

    if (!slot->known || slot->id != id) {
        const char *found = NULL;
        if (slot->name != NULL) {
            if (names->retired_count == NAMES_SLOTS)
                return (struct hm_slice){.data = NULL};
            names->retired[names->retired_count++] = slot->name;
        }
        if (group) {
            struct group record, *result = NULL;
            if (getgrgid_r(id, &record, names->lookup, sizeof(names->lookup), &result) == 0 &&
                result != NULL)
                found = record.gr_name;
        } else {
            struct passwd record, *result = NULL;
            if (getpwuid_r(id, &record, names->lookup, sizeof(names->lookup), &result) == 0 &&
                result != NULL)
                found = record.pw_name;
        }
        *slot = (struct owner){.known = true, .id = id};
        if (found != NULL && strlen(found) <= PACKETFS_NAME_MAX_BYTES)
            slot->name = hm_strdup(found);
    }
    return slot->name != NULL ? hm_slice_str(slot->name) : (struct hm_slice){.data = NULL};
}

struct hm_slice packetfs_names_user(struct packetfs_names *names, uint32_t uid)
{
    return owner_name(names, names->users, uid, false);
}

struct hm_slice packetfs_names_group(struct packetfs_names *names, uint32_t gid)
{
    return owner_name(names, names->groups, gid, true);
}

/* --- stat ------------------------------------------------------------------------------------------------------------ */
enum packetfs_entry_type packetfs_meta_type(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
        return PACKETFS_FILE;
    case S_IFDIR:
        return PACKETFS_FOLDER;
    case S_IFLNK:
        return PACKETFS_SYMLINK;
    case S_IFIFO:
        return PACKETFS_FIFO;
    case S_IFSOCK:
        return PACKETFS_SOCKET;
    case S_IFCHR:
        return PACKETFS_CHARACTER_DEVICE;
    case S_IFBLK:
        return PACKETFS_BLOCK_DEVICE;
    default:
        return 0;
    }
}

void packetfs_meta_fill(const struct stat *st, struct packetfs_entry *out)
{
    out->type = packetfs_meta_type(st->st_mode);
    out->mode = st->st_mode & 07777;
    out->uid = st->st_uid;
    out->gid = st->st_gid;
    out->mtime_s = st->st_mtim.tv_sec;
    out->mtime_ns = (uint32_t)st->st_mtim.tv_nsec;
    out->device = 0;
    if (out->type == PACKETFS_CHARACTER_DEVICE || out->type == PACKETFS_BLOCK_DEVICE)
        out->device = (uint64_t)major(st->st_rdev) << 32 | minor(st->st_rdev);
}

/* --- extended attributes, read --------------------------------------------------------------------------------------- */
/* One file by descriptor, or by a path that is not followed at its end. */
struct place {
    int fd;
    const char *path; /* NULL: fd */
};

static ssize_t place_list(const struct place *place, char *out, size_t len)
{
    return place->path != NULL ? llistxattr(place->path, out, len)
                               : flistxattr(place->fd, out, len);
}

static ssize_t place_get(const struct place *place, const char *name, void *out, size_t len)
{
    return place->path != NULL ? lgetxattr(place->path, name, out, len)
                               : fgetxattr(place->fd, name, out, len);
}

static int xattr_read_one(const struct place *place, const char *name, struct hm_buf *out,
                          struct hm_error *error)
{
    size_t name_len = strlen(name), header = out->len;
    uint8_t lengths[8];

    ssize_t len = place_get(place, name, NULL, 0);
    if (len < 0)
        /* It went away, or is one that only shows in the list. */
        return errno == ENODATA || errno == ENOTSUP || errno == EACCES || errno == EPERM
                   ? 0
                   : hm_fail_errno(error, HM_EIO, "cannot read extended attribute %s", name);
    if (out->len + name_len + (size_t)len + 8 > PACKETFS_XATTRS_MAX_BYTES)
        return hm_fail(error, HM_ELIMIT, "its extended attributes take more than %d bytes",
                       PACKETFS_XATTRS_MAX_BYTES);
    if (hm_buf_append(out, lengths, sizeof(lengths)) != 0 ||
        hm_buf_append(out, name, name_len) != 0 || hm_buf_reserve(out, (size_t)len + 1) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory for extended attributes");
    ssize_t got = place_get(place, name, out->data + out->len, (size_t)len);
    if (got < 0) {
        out->len = header;
        return errno == ENODATA
                   ? 0
                   : hm_fail_errno(error, HM_EIO, "cannot read extended attribute %s", name);
    }
    hm_put_be32(out->data + header, (uint32_t)name_len);
    hm_put_be32(out->data + header + 4, (uint32_t)got);
    out->len += (size_t)got;
    return 0;
}

static int xattrs_read(const struct place *place, struct hm_buf *out, struct hm_error *error)
{
    char small[512];
    HM_AUTOFREE char *large = NULL;
    char *list = small;
    ssize_t len = place_list(place, small, sizeof(small));

    hm_buf_clear(out);
    if (len < 0 && errno == ERANGE) {
        large = hm_malloc(XATTR_LIST_BYTES);
        if (large == NULL)
            return hm_fail(error, HM_ENOMEM, "no memory for extended attributes");
        list = large;
        len = place_list(place, large, XATTR_LIST_BYTES);
    }
    if (len < 0)
        return errno == ENOTSUP || errno == ENOSYS
                   ? 0
                   : hm_fail_errno(error, errno == EACCES || errno == EPERM ? HM_EPERM : HM_EIO,
                                   "cannot list its extended attributes");
    for (const char *name = list; name < list + len; name += strlen(name) + 1) {
        int result = xattr_read_one(place, name, out, error);
        if (result != 0) {
            hm_buf_clear(out);
            return result;
        }
    }
    return 0;
}

int packetfs_xattrs_read_fd(int fd, struct hm_buf *out, struct hm_error *error)
{
    return xattrs_read(&(struct place){.fd = fd}, out, error);
}

/* A name in a folder that is held open, as a path: nobody can exchange the folders above it. */
static void path_in_folder(int folder, const char *name, char out[PACKETFS_NAME_MAX_BYTES + 64])
{
    (void)snprintf(out, PACKETFS_NAME_MAX_BYTES + 64, "/proc/self/fd/%d/%s", folder, name);
}

int packetfs_xattrs_read_at(int folder, const char *name, struct hm_buf *out,
                            struct hm_error *error)
{
    char path[PACKETFS_NAME_MAX_BYTES + 64];

    path_in_folder(folder, name, path);
    return xattrs_read(&(struct place){.fd = -1, .path = path}, out, error);
}

static int xattr_order(const void *a, const void *b)
{
    return hm_slice_compare(((const struct packetfs_xattr *)a)->name,
                            ((const struct packetfs_xattr *)b)->name);
}

int packetfs_xattrs_unpack(struct hm_slice packed, struct packetfs_xattr **out, size_t *count,
                           struct hm_error *error)
{
    size_t n = 0;

    for (size_t at = 0; at + 8 <= packed.len; n++)
        at += 8 + hm_get_be32(packed.data + at) + hm_get_be32(packed.data + at + 4);
    if (n == 0) {
        *out = NULL;
        *count = 0;
        return 0;
    }
    struct packetfs_xattr *list = hm_calloc(n, sizeof(*list));
    if (list == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for extended attributes");
    const uint8_t *at = packed.data;
    for (size_t i = 0; i < n; i++) {
        size_t name = hm_get_be32(at), value = hm_get_be32(at + 4);
        list[i].name = hm_slice_of(at + 8, name);
        list[i].value = hm_slice_of(at + 8 + name, value);
        at += 8 + name + value;
    }
    qsort(list, n, sizeof(*list), xattr_order);
    *out = list;
    *count = n;
    return 0;
}

/* --- writing ----------------------------------------------------------------------------------------------------------- */
static bool starts_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

static const struct packetfs_xattr *xattr_find(const struct packetfs_entry *entry, const char *name)
{
    struct hm_slice key = hm_slice_str(name);

    for (size_t i = 0; i < entry->xattr_count; i++)
        if (hm_slice_equal(entry->xattrs[i].name, key))
            return &entry->xattrs[i];
    return NULL;
}

static void xattr_drop(const struct place *place, const char *name)
{
    /* Labels that the system itself puts on every new file stay. */
    if (!starts_with(name, "user.") && !starts_with(name, "system.posix_acl_"))
        return;
    if (place->path != NULL)
        (void)lremovexattr(place->path, name);
    else
        (void)fremovexattr(place->fd, name);
}

static int xattr_set(const struct place *place, const struct packetfs_xattr *xattr, bool root,
                     struct hm_error *error)
{
    char name[XATTR_NAME_MAX + 1];

    if (xattr->name.len == 0 || xattr->name.len > XATTR_NAME_MAX)
        return hm_fail(error, HM_EUNSUPPORTED, "an extended attribute has a name of %zu bytes",
                       xattr->name.len);
    memcpy(name, xattr->name.data, xattr->name.len);
    name[xattr->name.len] = '\0';
    int failed = place->path != NULL
                     ? lsetxattr(place->path, name, xattr->value.data, xattr->value.len, 0)
                     : fsetxattr(place->fd, name, xattr->value.data, xattr->value.len, 0);
    /* An ordinary user cannot set what only the system sets; that is known and not worth a word for each file. */
    if (failed == 0 || (!root && (starts_with(name, "trusted.") || starts_with(name, "security."))))
        return 0;
    return hm_fail_errno(error,
                         errno == EPERM || errno == EACCES ? HM_EPERM
                         : errno == ENOTSUP                ? HM_EUNSUPPORTED
                                                           : HM_EIO,
                         "cannot set extended attribute %s", name);
}

bool packetfs_meta_takes(struct hm_slice xattr, const struct packetfs_meta_rules *rules)
{
    static const char *const roots[] = {"security.", "trusted."};

    for (size_t i = 0; rules->strange && i < HM_COUNT_OF(roots); i++)
        if (xattr.len >= strlen(roots[i]) && memcmp(xattr.data, roots[i], strlen(roots[i])) == 0)
            return false;
    return true;
}

bool packetfs_meta_is_unfinished(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && (st.st_mode & 01777) == PACKETFS_META_UNFINISHED;
}

static int xattrs_apply(const struct place *place, const struct packetfs_entry *entry,
                        const struct packetfs_meta_rules *rules, struct hm_error *error)
{
    char list[4096];
    ssize_t len = place_list(place, list, sizeof(list));
    int result = 0;

    for (const char *name = list; len > 0 && name < list + len; name += strlen(name) + 1)
        if (xattr_find(entry, name) == NULL)
            xattr_drop(place, name);
    for (size_t i = 0; i < entry->xattr_count; i++) {
        if (!packetfs_meta_takes(entry->xattrs[i].name, rules))
            continue;
        int one = xattr_set(place, &entry->xattrs[i], rules->root, result == 0 ? error : NULL);
        if (result == 0)
            result = one;
    }
    return result;
}

static void times_of(const struct packetfs_entry *entry, struct timespec out[2])
{
    out[0] = (struct timespec){.tv_nsec = UTIME_OMIT};
    out[1] = (struct timespec){.tv_sec = entry->mtime_s, .tv_nsec = (long)entry->mtime_ns};
}

/* Bits that lend the owner's rights must not lend another's. */
mode_t packetfs_meta_mode(const struct packetfs_entry *entry,
                          const struct packetfs_meta_rules *rules, bool owned)
{
    return (mode_t)(entry->mode & (owned && !rules->strange ? 07777 : 01777));
}

static bool sets_owners(const struct packetfs_meta_rules *rules)
{
    return (rules->root || rules->owners) && !rules->strange;
}

int packetfs_meta_apply_fd(int fd, const struct packetfs_entry *entry,
                           const struct packetfs_meta_rules *rules, struct hm_error *error)
{
    struct timespec times[2];
    struct stat now;
    int result = 0;

    if (fstat(fd, &now) != 0)
        return hm_fail_errno(error, HM_EIO, "cannot look at what was restored");
    bool owned = now.st_uid == entry->uid && now.st_gid == entry->gid;
    if (!owned && sets_owners(rules)) {
        owned = fchown(fd, entry->uid, entry->gid) == 0;
        if (!owned)
            result = hm_fail_errno(error, HM_EPERM, "cannot give it to user %u, group %u",
                                   entry->uid, entry->gid);
    }
    /* Attributes before the mode: an ordinary user may set none on what he may not write. */
    if (!rules->root && (now.st_mode & S_IWUSR) == 0)
        (void)fchmod(fd, (now.st_mode & 01777) | S_IWUSR);
    int one = xattrs_apply(&(struct place){.fd = fd}, entry, rules, result == 0 ? error : NULL);
    if (result == 0)
        result = one;
    times_of(entry, times);
    if (futimens(fd, times) != 0 && result == 0)
        result = hm_fail_errno(error, HM_EPERM, "cannot set its times");
    if (fchmod(fd, packetfs_meta_mode(entry, rules, owned)) != 0 && result == 0)
        result = hm_fail_errno(error, HM_EPERM, "cannot set its mode %04o", entry->mode);
    return result;
}

/* fchmodat follows links; a descriptor of the very thing does not. */
static int mode_set_at(int folder, const char *name, mode_t mode)
{
    HM_AUTOCLOSE int fd = openat(folder, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    char path[64];

    if (fd < 0)
        return -1;
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return chmod(path, mode);
}

int packetfs_meta_apply_at(int folder, const char *name, const struct packetfs_entry *entry,
                           const struct packetfs_meta_rules *rules, struct hm_error *error)
{
    char path[PACKETFS_NAME_MAX_BYTES + 64];
    struct timespec times[2];
    struct stat now;
    int result = 0;

    if (fstatat(folder, name, &now, AT_SYMLINK_NOFOLLOW) != 0)
        return hm_fail_errno(error, HM_EIO, "cannot look at what was restored");
    bool owned = now.st_uid == entry->uid && now.st_gid == entry->gid;
    if (!owned && sets_owners(rules)) {
        owned = fchownat(folder, name, entry->uid, entry->gid, AT_SYMLINK_NOFOLLOW) == 0;
        if (!owned)
            result = hm_fail_errno(error, HM_EPERM, "cannot give it to user %u, group %u",
                                   entry->uid, entry->gid);
    }
    path_in_folder(folder, name, path);
    int one = xattrs_apply(&(struct place){.fd = -1, .path = path}, entry, rules,
                           result == 0 ? error : NULL);
    if (result == 0)
        result = one;
    /* A link's own mode says nothing and cannot be set. */
    if (entry->type != PACKETFS_SYMLINK &&
        mode_set_at(folder, name, packetfs_meta_mode(entry, rules, owned)) != 0 && result == 0)
        result = hm_fail_errno(error, HM_EPERM, "cannot set its mode %04o", entry->mode);
    times_of(entry, times);
    if (utimensat(folder, name, times, AT_SYMLINK_NOFOLLOW) != 0 && result == 0)
        result = hm_fail_errno(error, HM_EPERM, "cannot set its times");
    return result;
}
