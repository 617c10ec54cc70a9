# A host's life.  create makes its directories; boot starts its namespaces and daemons; crash ends them all at
# once and keeps the directories; remove forgets everything.
# shellcheck shell=bash

HOST_DAEMONS="ovsdb-server ovs-vswitchd virtlogd libvirtd"

host_create() {
    local root dir
    root=$(host_root "$1")
    mkdir -p "$root" "$(host_disk "$1")" "$(host_dir "$1")"/{log,pid}
    ln -sfn "$(host_disk "$1")" "$root/var"
    for dir in $HOST_DIRS; do
        mkdir -p "$root$dir"
    done
    config_write "$1"
    ovsdb-tool create "$root/etc/openvswitch/conf.db" /usr/share/openvswitch/vswitch.ovsschema
}

# Makes what is missing: of a host that is down everything, of a degraded one the daemons that died.
host_boot() {
    local host=$1 daemon
    if ! anchor_pid "$host" >/dev/null; then
        host_crash "$host" # whatever half-started host is there
        ip netns add "$(host_netns "$host")"
        cables_plug "$host"
        anchor_start "$host"
    fi
    for daemon in $HOST_DAEMONS; do
        daemon_pid "$host" "$daemon" >/dev/null || host_daemon_start "$host" "$daemon"
    done
}

# The keeper notes its own id before it forks the anchor, and takes the anchor with it when it is killed: at no
# instant is there a host that `down` could not find.
anchor_start() {
    local host=$1 dir
    dir=$(host_dir "$host")
    rm -f "$dir/root/run/lab-ready"
    # shellcheck disable=SC2086,SC2016  # lists of words; the inner shell expands its own
    LAB_PIDFILE=$dir/pid/keeper setsid bash -c '
        source "$1/lib/process.sh" && pidfile_write "$LAB_PIDFILE" $$ && shift && exec "$@"' keeper "$LAB_HOME" \
        nsenter --net="/run/netns/$(host_netns "$host")" \
        unshare --mount --uts --pid --fork --kill-child --mount-proc \
        bash "$LAB_HOME/lib/anchor.sh" "$host" "$dir/root" $HOST_FILES $HOST_DIRS \
        </dev/null >>"$(host_log "$host" anchor)" 2>&1 9>&- &
    wait_until 10 test -e "$dir/root/run/lab-ready" || die "$host has no anchor; see $(host_log "$host" anchor)"
}

# Starts one of HOST_DAEMONS and waits until it serves.
host_daemon_start() {
    case $2 in
    ovsdb-server) ovsdb_start "$1" ;;
    ovs-vswitchd) vswitchd_start "$1" ;;
    virtlogd) daemon_start "$1" virtlogd virtlogd ;;
    libvirtd) libvirtd_start "$1" ;;
    *) die "a host's daemons are: $HOST_DAEMONS" ;;
    esac
}

ovsdb_start() {
    local host=$1 socket
    socket=$(host_root "$host")/run/openvswitch/db.sock
    mkdir -p "$(dirname "$socket")"
    rm -f "$socket"
    daemon_start "$host" ovsdb-server ovsdb-server /etc/openvswitch/conf.db \
        --remote=punix:/run/openvswitch/db.sock --unixctl=/run/openvswitch/ovsdb-server.ctl \
        -vconsole:warn -vsyslog:off
    wait_until 10 test -S "$socket" || die "ovsdb-server of $host does not answer"
}

# Open vSwitch's userspace datapath routes VXLAN itself, so the underlay's address sits on a bridge of its own.
# The bridge's device lives and dies with ovs-vswitchd, and its address with it.
vswitchd_start() {
    local host=$1
    host_exec "$host" ovs-vsctl --no-wait -- --may-exist add-br br-phy \
        -- set bridge br-phy datapath_type=netdev fail_mode=standalone \
        -- --may-exist add-port br-phy under0 \
        -- set interface br-phy mtu_request="$UNDERLAY_MTU" \
        -- set open_vswitch . external_ids:system-id="$host" external_ids:hostname="$host"
    uptime_of 10 # Open vSwitch 3.1 forwards nothing when it is started earlier
    daemon_start "$host" ovs-vswitchd ovs-vswitchd unix:/run/openvswitch/db.sock \
        --unixctl=/run/openvswitch/ovs-vswitchd.ctl --disable-system-route -vconsole:warn -vsyslog:off
    wait_until 10 netns_has_nic "$(host_netns "$host")" br-phy || die "ovs-vswitchd of $host made no bridge"
    ip -n "$(host_netns "$host")" address replace "$(underlay_address "$host")/24" dev br-phy
    ip -n "$(host_netns "$host")" link set br-phy up
}

uptime_of() {
    local up
    read -r up _ </proc/uptime
    [ "${up%.*}" -ge "$1" ] || sleep $(($1 - ${up%.*}))
}

# libvirtd serves its UNIX socket only; migrations reach it through the agents' tunnel.
libvirtd_start() {
    local host=$1 socket
    socket=$(host_root "$host")/run/libvirt/libvirt-sock
    rm -f "$socket"
    daemon_start "$host" libvirtd libvirtd
    wait_until 20 test -S "$socket" || die "libvirtd of $host does not answer"
    host_exec "$host" virsh -q version >/dev/null || die "libvirtd of $host is ill; see $(host_log "$host" libvirtd)"
}

host_crash() {
    local keeper
    if keeper=$(keeper_pid "$1"); then
        anchor_kill "$1" "$keeper"
    fi
    cables_unplug "$1"
    netns_remove "$(host_netns "$1")"
    rm -rf "$(host_dir "$1")"/pid/*
    # A machine's /run does not survive a power cut.
    find "$(host_root "$1")/run" -mindepth 1 -delete 2>/dev/null || true
}

# The anchor first: once PID 1 is reaped, the kernel has ended every process of the host.
anchor_kill() {
    local anchor
    anchor=$(anchor_pid "$1") && kill -KILL "$anchor" 2>/dev/null
    wait_until 10 host_is_gone "$1" && return
    kill -KILL "$2" 2>/dev/null || true
    wait_until 10 host_is_gone "$1" || die "host $1 survives SIGKILL"
}

host_is_gone() { ! keeper_pid "$1" >/dev/null; }

host_remove() {
    host_crash "$1"
    rm -rf "$(host_dir "$1")" "$(host_disk "$1")"
}

# up: all daemons run; degraded: some do; down: no anchor
host_state() {
    local daemon
    anchor_pid "$1" >/dev/null || { echo down; return; }
    for daemon in $HOST_DAEMONS; do
        daemon_pid "$1" "$daemon" >/dev/null || { echo degraded; return; }
    done
    echo up
}

# "libvirtd=123 agent=456 ...": what was started in the host and still runs
host_daemons_text() {
    local file pid text=
    for file in "$(host_dir "$1")"/pid/*; do
        pid=$(pidfile_pid "$file") && text+=" $(basename "$file")=$pid"
    done
    echo "${text# }"
}

require_host() {
    local host
    host=$(host_name "$1")
    [ -d "$(host_dir "$host")" ] || die "lab '$LAB_NAME' has no host $host"
    echo "$host"
}
