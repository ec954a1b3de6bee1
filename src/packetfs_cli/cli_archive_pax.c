/* Headers of POSIX pax archives. What fits stands in the ustar header alone; what does not (long or non-ASCII names, times below a second
 * or before 1970, sizes over 8 GiB, attributes, ACLs) in records before it, as IEEE Std 1003.1 "pax" has them and, for what it
 * has not, as GNU tar and star do. */
#include "cli_archive.h"

#define OCTAL_7_MAX  07777777u
#define OCTAL_11_MAX UINT64_C(077777777777)
#define ACL_TEXT_MAX 65536

/* The ustar header. */
struct ustar {
    char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100],
        magic[6], version[2], user[32], group[32], major[8], minor[8], prefix[155], rest[12];
};
_Static_assert(sizeof(struct ustar) == CLI_TAR_BLOCK_BYTES, "a header is one block");

/* --- pieces ------------------------------------------------------------------------------------------------------------------- */
static void octal(char *out, size_t room, uint64_t value)
{
    out[--room] = '\0';
    while (room > 0) {
        out[--room] = (char)('0' + (value & 7));
        value >>= 3;
    }
}

static void checksum(struct ustar *header)
{
    unsigned sum = 0;

    memset(header->checksum, ' ', sizeof(header->checksum));
    for (size_t i = 0; i < sizeof(*header); i++)
        sum += ((const uint8_t *)header)[i];
    octal(header->checksum, 7, sum);
}

static bool ascii(struct hm_slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] >= 0x80)
            return false;
    return true;
}

/* "LENGTH KEY=VALUE\n", where LENGTH counts itself. */
static int record(struct hm_buf *out, const char *key, struct hm_slice value)
{
    size_t body = strlen(key) + value.len + 3; /* ' ', '=', '\n' */
    size_t len = body + 1, digits = 1;
    char head[32];

    for (;;) {
        size_t need = 1;
        for (size_t rest = len; rest >= 10; rest /= 10)
            need++;
        if (need == digits)
            break;
        digits = need;
        len = body + digits;
    }
    (void)snprintf(head, sizeof(head), "%zu ", len);
    return hm_buf_append_str(out, head) != 0 || hm_buf_append_str(out, key) != 0 ||
                   hm_buf_append(out, "=", 1) != 0 ||
                   (value.len > 0 && hm_buf_append(out, value.data, value.len) != 0) ||
                   hm_buf_append(out, "\n", 1) != 0
               ? HM_ENOMEM
               : 0;
}

static int record_number(struct hm_buf *out, const char *key, uint64_t value)
{
    char text[32];

    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    return record(out, key, hm_slice_str(text));
}

/* --- attributes -------------------------------------------------------------------------------------------------------------- */
static bool named(struct packetfs_bytes name, const char *as)
{
    return name.len == strlen(as) && memcmp(name.data, as, name.len) == 0;
}

/* As GNU tar writes keys: what would end one is %3D, and % is %25. */
static int attribute_key(struct packetfs_bytes name, struct hm_buf *out)
{
    hm_buf_clear(out);
    if (hm_buf_append_str(out, "SCHILY.xattr.") != 0)
        return HM_ENOMEM;
    for (size_t i = 0; i < name.len; i++) {
        char c = (char)name.data[i];
        if ((c == '=' || c == '%' ? hm_buf_append_str(out, c == '=' ? "%3D" : "%25")
                                  : hm_buf_append(out, &c, 1)) != 0)
            return HM_ENOMEM;
    }
    return 0;
}

static int attributes_add(const struct cli_pax *pax, struct hm_buf *out)
{
    HM_CLEANUP(hm_buf) struct hm_buf key = {0};
    int result = 0;

    for (size_t i = 0; i < pax->count && result == 0; i++) {
        const struct packetfs_attribute *one = &pax->attributes[i];
        bool access = named(one->name, "system.posix_acl_access");
        if (access || named(one->name, "system.posix_acl_default")) {
            HM_AUTOFREE char *text = hm_malloc(ACL_TEXT_MAX);
            if (text == NULL)
                return HM_ENOMEM;
            if (cli_acl_text(one->value, text, ACL_TEXT_MAX)) {
                result = record(out, access ? "SCHILY.acl.access" : "SCHILY.acl.default",
                                hm_slice_str(text));
                continue;
            }
        }
        result = attribute_key(one->name, &key);
        if (result == 0)
            result = record(out, hm_buf_cstr(&key), hm_slice_of(one->value.data, one->value.len));
    }
    return result;
}

/* --- names -------------------------------------------------------------------------------------------------------------------------- */
/* In name and prefix where it fits; false: it does not. */
static bool name_fits(struct hm_slice path, struct ustar *header)
{
    size_t at = path.len;

    if (path.len <= sizeof(header->name)) {
        if (path.len > 0)
            memcpy(header->name, path.data, path.len);
        return true;
    }
    /* The last '/' that leaves a name of at most 100 bytes behind it, and at most 155 before. */
    while (at > 0) {
        at--;
        if (path.data[at] != '/' || at == 0 || at > sizeof(header->prefix))
            continue;
        if (path.len - at - 1 > sizeof(header->name))
            return false;
        if (path.len - at - 1 == 0)
            continue;
        memcpy(header->prefix, path.data, at);
        memcpy(header->name, path.data + at + 1, path.len - at - 1);
        return true;
    }
    return false;
}

/* Under a name that an old reader shows: the end of it. */
static void name_cut(struct hm_slice path, char *out, size_t room)
{
    size_t skip = path.len > room ? path.len - room : 0;

    if (path.len > 0)
        memcpy(out, path.data + skip, path.len - skip);
}

static bool text_valid(struct hm_slice text)
{
    return hm_utf8_valid((const char *)text.data, text.len);
}

/* Records of one text, and its place in the header. ASCII that fits needs no record; nor do bytes that are not UTF-8: the header
 * takes them as they are, a record would have to say which characters they are. */
static int text_place(struct hm_slice text, const char *key, char *field, size_t room, bool *binary,
                      struct hm_buf *records)
{
    name_cut(text, field, room);
    if (text.len <= room && (ascii(text) || !text_valid(text)))
        return 0;
    *binary = *binary || !text_valid(text);
    return record(records, key, text);
}

static int path_place(struct hm_slice path, struct ustar *header, bool *binary,
                      struct hm_buf *records)
{
    if (name_fits(path, header) && (ascii(path) || !text_valid(path)))
        return 0;
    memset(header->prefix, 0, sizeof(header->prefix));
    memset(header->name, 0, sizeof(header->name));
    name_cut(path, header->name, sizeof(header->name));
    *binary = *binary || !text_valid(path);
    return record(records, "path", path);
}

/* --- the header --------------------------------------------------------------------------------------------------------------------- */
static char type_of(const struct cli_pax *pax)
{
    if (pax->link.len > 0)
        return '1';
    switch (pax->item->type) {
    case PACKETFS_SYMLINK:
        return '2';
    case PACKETFS_CHARACTER_DEVICE:
        return '3';
    case PACKETFS_BLOCK_DEVICE:
        return '4';
    case PACKETFS_FOLDER:
        return '5';
    case PACKETFS_FIFO:
        return '6';
    case PACKETFS_FILE:
    case PACKETFS_SOCKET:
        break;
    }
    return '0';
}

static int number_place(uint64_t value, const char *key, char *field, size_t room, uint64_t most,
                        struct hm_buf *records)
{
    octal(field, room, value <= most ? value : 0);
    return value <= most ? 0 : record_number(records, key, value);
}

/* A decimal fraction: half a second before 1970 is "-0.5". */
static int time_place(const struct packetfs_item *item, struct ustar *header,
                      struct hm_buf *records)
{
    bool plain = item->mtime_s >= 0 && (uint64_t)item->mtime_s <= OCTAL_11_MAX;
    bool before = item->mtime_s < 0;
    uint64_t seconds = before ? (uint64_t)0 - (uint64_t)item->mtime_s : (uint64_t)item->mtime_s;
    uint32_t ns = item->mtime_ns;
    char text[48];

    octal(header->mtime, sizeof(header->mtime), plain ? (uint64_t)item->mtime_s : 0);
    if (plain && ns == 0)
        return 0;
    if (before && ns > 0) {
        seconds--;
        ns = 1000000000u - ns;
    }
    int n = snprintf(text, sizeof(text), "%s%llu", before ? "-" : "", (unsigned long long)seconds);
    if (ns > 0)
        (void)snprintf(text + n, sizeof(text) - (size_t)n, ".%09u", (unsigned)ns);
    return record(records, "mtime", hm_slice_str(text));
}

static int sparse_add(const struct cli_pax *pax, struct hm_slice path, struct hm_buf *records)
{
    int result = record_number(records, "GNU.sparse.major", 1);

    if (result == 0)
        result = record_number(records, "GNU.sparse.minor", 0);
    if (result == 0)
        result = record(records, "GNU.sparse.name", path);
    return result == 0 ? record_number(records, "GNU.sparse.realsize", pax->item->bytes) : result;
}

/* DIR/GNUSparseFile.0/NAME: what a reader that knows no sparse files unpacks it as. */
static int sparse_path(struct hm_slice path, struct hm_buf *out)
{
    size_t at = path.len;

    while (at > 0 && path.data[at - 1] != '/')
        at--;
    return (at > 0 && hm_buf_append(out, path.data, at) != 0) ||
                   hm_buf_append_str(out, "GNUSparseFile.0/") != 0 ||
                   hm_buf_append(out, path.data + at, path.len - at) != 0
               ? HM_ENOMEM
               : 0;
}

static int names_place(const struct cli_pax *pax, struct ustar *header, struct hm_buf *records)
{
    const struct packetfs_item *item = pax->item;
    HM_CLEANUP(hm_buf) struct hm_buf path = {0};
    struct hm_slice own = hm_slice_of(item->path.data, item->path.len);
    struct hm_slice link = pax->link.len > 0 ? hm_slice_of(pax->link.data, pax->link.len)
                                             : hm_slice_of(item->target.data, item->target.len);
    bool binary = false;
    int result = 0;

    if (pax->sparse)
        result = sparse_path(own, &path);
    else if (hm_buf_append(&path, own.data, own.len) != 0 ||
             (item->type == PACKETFS_FOLDER && hm_buf_append(&path, "/", 1) != 0))
        result = HM_ENOMEM;
    if (result == 0)
        result = path_place(hm_buf_slice(&path), header, &binary, records);
    if (result == 0 && (pax->link.len > 0 || item->type == PACKETFS_SYMLINK))
        result = text_place(link, "linkpath", header->link, sizeof(header->link), &binary, records);
    /* The last byte of these two is a NUL. */
    if (result == 0)
        result = text_place(hm_slice_of(item->user.data, item->user.len), "uname", header->user,
                            sizeof(header->user) - 1, &binary, records);
    if (result == 0)
        result = text_place(hm_slice_of(item->group.data, item->group.len), "gname", header->group,
                            sizeof(header->group) - 1, &binary, records);
    if (result == 0 && binary) {
        /* Before what it is about. */
        HM_CLEANUP(hm_buf) struct hm_buf all = {0};
        result = record(&all, "hdrcharset", hm_slice_str("BINARY"));
        if (result == 0 && hm_buf_append(&all, records->data, records->len) != 0)
            result = HM_ENOMEM;
        struct hm_buf swap = *records;
        *records = all;
        all = swap;
    }
    if (result == 0 && pax->sparse)
        result = sparse_add(pax, own, records);
    return result;
}

static int numbers_place(const struct cli_pax *pax, struct ustar *header, struct hm_buf *records)
{
    const struct packetfs_item *item = pax->item;
    bool device = item->type == PACKETFS_CHARACTER_DEVICE || item->type == PACKETFS_BLOCK_DEVICE;
    int result = number_place(item->uid, "uid", header->uid, sizeof(header->uid), OCTAL_7_MAX,
                              records);

    octal(header->mode, sizeof(header->mode), item->mode);
    if (result == 0)
        result = number_place(item->gid, "gid", header->gid, sizeof(header->gid), OCTAL_7_MAX,
                              records);
    if (result == 0)
        result = number_place(pax->stored, "size", header->size, sizeof(header->size), OCTAL_11_MAX,
                              records);
    if (result == 0)
        result = time_place(item, header, records);
    if (result == 0)
        result = number_place(device ? item->device >> 32 : 0, "SCHILY.devmajor", header->major,
                              sizeof(header->major), OCTAL_7_MAX, records);
    if (result == 0)
        result = number_place(device ? item->device & UINT32_MAX : 0, "SCHILY.devminor",
                              header->minor, sizeof(header->minor), OCTAL_7_MAX, records);
    return result;
}

static int block_add(struct hm_buf *out, struct ustar *header)
{
    memcpy(header->magic, "ustar", 6);
    memcpy(header->version, "00", 2);
    checksum(header);
    return hm_buf_append(out, header, sizeof(*header));
}

/* The records' own header and they themselves. */
static int records_add(struct hm_buf *out, const struct ustar *of, struct hm_buf *records)
{
    static const uint8_t zeros[CLI_TAR_BLOCK_BYTES];
    struct ustar header = {.type = 'x'};
    size_t over = records->len % CLI_TAR_BLOCK_BYTES;
    struct hm_slice shown = hm_slice_of((const uint8_t *)of->name,
                                        strnlen(of->name, sizeof(of->name) - 16));

    memcpy(header.name, "PaxHeaders/", 11);
    memcpy(header.name + 11, shown.data, shown.len);
    octal(header.mode, sizeof(header.mode), 0644);
    octal(header.uid, sizeof(header.uid), 0);
    octal(header.gid, sizeof(header.gid), 0);
    octal(header.size, sizeof(header.size), records->len);
    octal(header.mtime, sizeof(header.mtime), 0);
    octal(header.major, sizeof(header.major), 0);
    octal(header.minor, sizeof(header.minor), 0);
    if (block_add(out, &header) != 0 || hm_buf_append(out, records->data, records->len) != 0)
        return HM_ENOMEM;
    return over > 0 ? hm_buf_append(out, zeros, CLI_TAR_BLOCK_BYTES - over) : 0;
}

int cli_pax_header(const struct cli_pax *pax, struct hm_buf *out, struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf records = {0};
    struct ustar header = {.type = type_of(pax)};
    int result = names_place(pax, &header, &records);

    if (result == 0)
        result = numbers_place(pax, &header, &records);
    /* Of another name of the same file its first one says it. */
    if (result == 0 && pax->link.len == 0)
        result = attributes_add(pax, &records);
    if (result == 0 && records.len > 0)
        result = records_add(out, &header, &records);
    if (result == 0)
        result = block_add(out, &header);
    return result == 0 ? 0 : hm_fail(error, HM_ENOMEM, "no memory for an archive's header");
}
