/* ACLs: as the kernel keeps them (the value of system.posix_acl_access and _default: a version, then eight bytes a line, little-endian), as text of
 * tar records, and as libarchive takes that text apart. */
#include <archive.h>
#include <archive_entry.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>

#include "cli_archive.h"

#define ACL_VERSION    2
#define ACL_HEAD_BYTES 4
#define ACL_LINE_BYTES 8
#define ACL_LINES_MAX  ((CLI_ACL_MAX_BYTES - ACL_HEAD_BYTES) / ACL_LINE_BYTES)
#define LOOKUP_BYTES   16384

/* --- to text ---------------------------------------------------------------------------------------------------- */
static uint32_t le_get(const uint8_t *at, size_t bytes)
{
    uint32_t value = 0;

    while (bytes > 0)
        value = value << 8 | at[--bytes];
    return value;
}

bool cli_acl_text(struct packetfs_bytes acl, char *out, size_t room)
{
    size_t at = 0;

    if (acl.len < 4 || (acl.len - 4) % ACL_LINE_BYTES != 0 || acl.len == 4 ||
        le_get(acl.data, 4) != ACL_VERSION)
        return false;
    for (size_t i = 4; i < acl.len; i += ACL_LINE_BYTES) {
        unsigned tag = le_get(acl.data + i, 2), perm = le_get(acl.data + i + 2, 2);
        uint32_t id = le_get(acl.data + i + 4, 4);
        char who[32];
        switch (tag) {
        case 0x01:
            (void)snprintf(who, sizeof(who), "user:");
            break;
        case 0x02:
            (void)snprintf(who, sizeof(who), "user:%u", (unsigned)id);
            break;
        case 0x04:
            (void)snprintf(who, sizeof(who), "group:");
            break;
        case 0x08:
            (void)snprintf(who, sizeof(who), "group:%u", (unsigned)id);
            break;
        case 0x10:
            (void)snprintf(who, sizeof(who), "mask:");
            break;
        case 0x20:
            (void)snprintf(who, sizeof(who), "other:");
            break;
        default:
            return false;
        }
        if (perm > 7)
            return false;
        int n = snprintf(out + at, room - at, "%s%s:%c%c%c", i > 4 ? "," : "", who,
                         (perm & 4) != 0 ? 'r' : '-', (perm & 2) != 0 ? 'w' : '-',
                         (perm & 1) != 0 ? 'x' : '-');
        if (n < 0 || (size_t)n >= room - at)
            return false;
        at += (size_t)n;
    }
    return true;
}

/* --- from libarchive ---------------------------------------------------------------------------------------------------- */
struct acl_line {
    uint16_t tag, perm;
    uint32_t id;
};

static int acl_order(const void *a, const void *b)
{
    const struct acl_line *x = a, *y = b;

    if (x->tag != y->tag)
        return x->tag < y->tag ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

/* By the number that the archive gives, else by the name as it is known here. */
static bool acl_id(int64_t id, const char *name, bool group, uint32_t *out)
{
    char lookup[LOOKUP_BYTES], *end = NULL;

    if (id < 0 && name != NULL && name[0] >= '0' && name[0] <= '9') {
        id = (int64_t)strtoul(name, &end, 10);
        if (*end != '\0')
            id = -1;
    }
    if (id < 0 && name != NULL && group) {
        struct group record, *found = NULL;
        if (getgrnam_r(name, &record, lookup, sizeof(lookup), &found) == 0 && found != NULL)
            id = found->gr_gid;
    } else if (id < 0 && name != NULL) {
        struct passwd record, *found = NULL;
        if (getpwnam_r(name, &record, lookup, sizeof(lookup), &found) == 0 && found != NULL)
            id = found->pw_uid;
    }
    if (id < 0 || id >= (int64_t)UINT32_MAX)
        return false;
    *out = (uint32_t)id;
    return true;
}

/* One line; false: it is of no kind that Linux has. */
static bool acl_line(int tag, int permset, int64_t id, const char *name, struct acl_line *out)
{
    *out = (struct acl_line){.id = UINT32_MAX};
    out->perm = (uint16_t)(((permset & ARCHIVE_ENTRY_ACL_READ) != 0 ? 4 : 0) |
                           ((permset & ARCHIVE_ENTRY_ACL_WRITE) != 0 ? 2 : 0) |
                           ((permset & ARCHIVE_ENTRY_ACL_EXECUTE) != 0 ? 1 : 0));
    switch (tag) {
    case ARCHIVE_ENTRY_ACL_USER_OBJ:
        out->tag = 0x01;
        return true;
    case ARCHIVE_ENTRY_ACL_USER:
        out->tag = 0x02;
        return acl_id(id, name, false, &out->id);
    case ARCHIVE_ENTRY_ACL_GROUP_OBJ:
        out->tag = 0x04;
        return true;
    case ARCHIVE_ENTRY_ACL_GROUP:
        out->tag = 0x08;
        return acl_id(id, name, true, &out->id);
    case ARCHIVE_ENTRY_ACL_MASK:
        out->tag = 0x10;
        return true;
    case ARCHIVE_ENTRY_ACL_OTHER:
        out->tag = 0x20;
        return true;
    default:
        return false;
    }
}

static void le_put(uint8_t *out, uint32_t value, size_t bytes)
{
    for (; bytes > 0; bytes--, value >>= 8)
        *out++ = (uint8_t)value;
}

size_t cli_acl_read(struct archive_entry *entry, bool access, uint8_t *out, int *mask,
                    const char **lost)
{
    int want = access ? ARCHIVE_ENTRY_ACL_TYPE_ACCESS : ARCHIVE_ENTRY_ACL_TYPE_DEFAULT;
    struct acl_line lines[ACL_LINES_MAX];
    int type, permset, tag, id;
    const char *name;
    size_t count = 0;

    if (archive_entry_acl_reset(entry, want) == 0)
        return 0;
    while (archive_entry_acl_next(entry, want, &type, &permset, &tag, &id, &name) == ARCHIVE_OK) {
        if (count == ACL_LINES_MAX || !acl_line(tag, permset, id, name, &lines[count])) {
            *lost = name != NULL ? name : "without a name";
            continue;
        }
        if (lines[count].tag == 0x10 && mask != NULL)
            *mask = lines[count].perm;
        count++;
    }
    if (count == 0)
        return 0;
    qsort(lines, count, sizeof(lines[0]), acl_order);
    le_put(out, ACL_VERSION, ACL_HEAD_BYTES);
    for (size_t i = 0; i < count; i++) {
        uint8_t *at = out + ACL_HEAD_BYTES + i * ACL_LINE_BYTES;
        le_put(at, lines[i].tag, 2);
        le_put(at + 2, lines[i].perm, 2);
        le_put(at + 4, lines[i].id, 4);
    }
    return ACL_HEAD_BYTES + count * ACL_LINE_BYTES;
}
