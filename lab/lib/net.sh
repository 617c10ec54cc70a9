# The switch and its cables.  One namespace holds three plain bridges: `mgmt`, on which the services and the
# migration tunnel are reached, `under`, which carries the slices' frames, and `ext`, which leads outside.  Each host
# has a cable to all.  Outside is a namespace of its own, the world, which has the routers' addresses of all sites.
# shellcheck shell=bash

# A guest's 1500-byte packet needs 50 bytes more inside VXLAN; the rest is for VLAN tags and experiment headers.
UNDERLAY_MTU=1600

switch_is_up() {
    ip -n "$(switch_netns)" link show under && ip -n "$(world_netns)" link show ext0 && ip link show "$(services_nic)"
} >/dev/null 2>&1

# Open vSwitch's userspace datapath keeps frames in socket buffers: those on hold for a guest that is being
# moved (sending), and those that arrive while its main thread is busy (receiving). The kernel's defaults
# take some 250 small frames (see packaging/sysctl.d).
room_for_frames() {
    local setting
    for setting in wmem_default=1048576 rmem_default=4194304; do
        [ "$(sysctl -n "net.core.${setting%=*}")" -ge "${setting#*=}" ] || sysctl -qw "net.core.$setting"
    done
}

switch_up() {
    room_for_frames
    switch_is_up && return
    switch_down
    local sw
    sw=$(switch_netns)
    ip netns add "$sw"
    ip -n "$sw" -batch - <<BATCH
link add mgmt type bridge stp_state 0 mcast_snooping 0
link add under type bridge stp_state 0 mcast_snooping 0
link add ext type bridge stp_state 0 mcast_snooping 0
link set under mtu $UNDERLAY_MTU
link set mgmt up
link set under up
link set ext up
BATCH
    world_up
    ip link add "$(services_nic)" type veth peer name services netns "$sw"
    ip -n "$sw" link set services master mgmt up
    ip address add "$(services_address)/24" dev "$(services_nic)"
    ip link set "$(services_nic)" up
}

switch_down() {
    ip link delete "$(services_nic)" 2>/dev/null || true
    netns_remove "$(switch_netns)"
    netns_remove "$(world_netns)"
}

world_up() {
    local sw world site
    sw=$(switch_netns) world=$(world_netns)
    ip netns add "$world"
    ip -n "$sw" link add world type veth peer name ext0 netns "$world"
    ip -n "$sw" link set world master ext up
    ip -n "$world" link set lo up
    checksums_in_full "$world" ext0
    for site in $SITES; do
        ip -n "$world" address add "$(site_router "$site")/24" dev ext0
    done
    ip -n "$world" link set ext0 up
}

# On a veth the kernel leaves transport checksums to a card that is not there (ETHTOOL_STXCSUM: it shall not).  Frames
# that leave the kernel's own path, by a packet socket of Open vSwitch, would arrive with wrong ones.
checksums_in_full() {
    ip netns exec "$1" python3 - "$2" <<'PYTHON'
import array, fcntl, socket, struct, sys
value = array.array("B", struct.pack("II", 0x17, 0))
request = struct.pack("16sP", sys.argv[1].encode(), value.buffer_info()[0])
fcntl.ioctl(socket.socket(socket.AF_INET, socket.SOCK_DGRAM), 0x8946, request)
PYTHON
}

netns_remove() {
    [ ! -e "/run/netns/$1" ] || ip netns delete "$1"
}

netns_has_nic() { ip -n "$1" link show "$2" >/dev/null 2>&1; }

# Plugs the cables of a host in.  `under0` becomes a port of the host's br-phy, see host_boot.
cables_plug() {
    local host=$1 sw ns leg
    sw=$(switch_netns) ns=$(host_netns "$1")
    ip -n "$ns" link set lo up
    for leg in mgmt under ext; do
        ip -n "$sw" link delete "$host-$leg" 2>/dev/null || true
        ip -n "$sw" link add "$host-$leg" type veth peer name "${leg}0" netns "$ns"
        ip -n "$sw" link set "$host-$leg" master "$leg" up
    done
    ip -n "$sw" link set "$host-under" mtu $UNDERLAY_MTU
    ip -n "$ns" link set under0 mtu $UNDERLAY_MTU up
    ip -n "$ns" link set mgmt0 up
    ip netns exec "$ns" sysctl -qw net.ipv6.conf.ext0.disable_ipv6=1 # the host itself says nothing there
    ip -n "$ns" link set ext0 up
    ip -n "$ns" address add "$(mgmt_address "$host")/24" dev mgmt0
}

cables_unplug() {
    local leg
    for leg in mgmt under ext; do
        ip -n "$(switch_netns)" link delete "$1-$leg" 2>/dev/null || true
    done
}

# A disabled bridge port drops every frame, both ways, while the host's link stays up: nobody is told.
# (bridge(8), not `ip link set ... type bridge_slave state`: that one's change is undone at once.)
cables_set() {
    local host=$1 leg number=3
    [ "$2" = forwarding ] || number=0
    for leg in "${@:3}"; do
        bridge -n "$(switch_netns)" link set dev "$host-$leg" state "$number"
    done
}
