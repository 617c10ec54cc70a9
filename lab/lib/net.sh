# The switch and its cables.  One namespace holds two plain bridges: `mgmt`, on which the services and the
# migration tunnel are reached, and `under`, which carries the slices' frames.  Each host has a cable to both.
# shellcheck shell=bash

# A guest's 1500-byte packet needs 50 bytes more inside VXLAN; the rest is for VLAN tags and experiment headers.
UNDERLAY_MTU=1600

switch_is_up() {
    ip -n "$(switch_netns)" link show under && ip link show "$(services_nic)"
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
link set under mtu $UNDERLAY_MTU
link set mgmt up
link set under up
BATCH
    ip link add "$(services_nic)" type veth peer name services netns "$sw"
    ip -n "$sw" link set services master mgmt up
    ip address add "$(services_address)/24" dev "$(services_nic)"
    ip link set "$(services_nic)" up
}

switch_down() {
    ip link delete "$(services_nic)" 2>/dev/null || true
    netns_remove "$(switch_netns)"
}

netns_remove() {
    [ ! -e "/run/netns/$1" ] || ip netns delete "$1"
}

netns_has_nic() { ip -n "$1" link show "$2" >/dev/null 2>&1; }

# Plugs both cables of a host in.  `under0` becomes a port of the host's br-phy, see host_boot.
cables_plug() {
    local host=$1 sw ns leg
    sw=$(switch_netns) ns=$(host_netns "$1")
    ip -n "$ns" link set lo up
    for leg in mgmt under; do
        ip -n "$sw" link delete "$host-$leg" 2>/dev/null || true
        ip -n "$sw" link add "$host-$leg" type veth peer name "${leg}0" netns "$ns"
        ip -n "$sw" link set "$host-$leg" master "$leg" up
    done
    ip -n "$sw" link set "$host-under" mtu $UNDERLAY_MTU
    ip -n "$ns" link set under0 mtu $UNDERLAY_MTU up
    ip -n "$ns" link set mgmt0 up
    ip -n "$ns" address add "$(mgmt_address "$host")/24" dev mgmt0
}

cables_unplug() {
    local leg
    for leg in mgmt under; do
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
