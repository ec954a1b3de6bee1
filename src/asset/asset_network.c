/* Network links of the machine itself: those with hardware behind them and bonds of such. Bridges, tunnels and
 * the virtual ends of containers come and go with jobs and are left out. */
#include "asset_build.h"

#include <stdio.h>

static bool network_is_physical(const struct asset_builder *build, const char *name)
{
    return asset_read_exists("%s/class/net/%s/device", build->sysfs, name) ||
           asset_read_exists("%s/class/net/%s/bonding", build->sysfs, name);
}

/* Inside a container the only way out is a virtual pair's end with an ordinary name. */
static bool network_has_common_name(const char *name)
{
    return strncmp(name, "eth", 3) == 0 || strncmp(name, "en", 2) == 0;
}

static void network_probe_link(struct asset_builder *build, const char *name)
{
    char state[32], address[64], duplex[16];
    struct asset_item *item;
    uint64_t mbit, mtu, bits;
    char id[64];

    if (asset_read_u64(&mtu, "%s/class/net/%s/type", build->sysfs, name) && mtu == 772)
        return; /* ARPHRD_LOOPBACK */
    asset_text_id(hm_slice_str(name), id, sizeof(id));
    item = asset_build_item(build, HYPERMESH__ASSET_KIND__NETWORK, "net-%s", id);
    if (item == NULL)
        return;
    /* "-1" or an error: not said, as on virtual links and links that are down. */
    if (asset_read_u64(&mbit, "%s/class/net/%s/speed", build->sysfs, name) && mbit < UINT32_MAX &&
        hm_mul_u64(mbit, 1000000, &bits)) {
        item->found.capacity = bits;
        asset_build_title(build, item, "%s, %" PRIu64 " Mb/s", name, mbit);
    } else {
        asset_build_title(build, item, "%s, speed not said", name);
    }
    if (asset_read_u64(&mtu, "%s/class/net/%s/mtu", build->sysfs, name))
        asset_build_attribute(build, item, "mtu", "%" PRIu64, mtu);
    if (asset_read_text(address, sizeof(address), "%s/class/net/%s/address", build->sysfs, name))
        asset_build_live(build, item, "address", "%s", address);
    if (asset_read_text(duplex, sizeof(duplex), "%s/class/net/%s/duplex", build->sysfs, name) &&
        strcmp(duplex, "unknown") != 0)
        asset_build_attribute(build, item, "duplex", "%s", duplex);
    if (!asset_read_text(state, sizeof(state), "%s/class/net/%s/operstate", build->sysfs, name))
        return;
    asset_build_live(build, item, "state", "%s", state);
    if (strcmp(state, "down") == 0 || strcmp(state, "lowerlayerdown") == 0 ||
        strcmp(state, "notpresent") == 0)
        asset_build_unhealthy(build, item, "the link is down");
}

void asset_probe_network(struct asset_builder *build)
{
    char path[ASSET_PATH_BYTES];
    const char **names;
    size_t count, physical = 0;

    if (snprintf(path, sizeof(path), "%s/class/net", build->sysfs) >= (int)sizeof(path) ||
        asset_read_folder(build, path, &names, &count) != 0) {
        asset_build_note(build, "network: %s/class/net cannot be read: links are not known",
                         build->sysfs);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (!network_is_physical(build, names[i]))
            continue;
        network_probe_link(build, names[i]);
        physical++;
    }
    for (size_t i = 0; i < count && physical == 0; i++)
        if (network_has_common_name(names[i]))
            network_probe_link(build, names[i]);
}
