# Names, addresses and paths.  Everything the lab makes is named here, so that nothing collides between labs.
# shellcheck shell=bash

LAB_RUN_BASE=/run/jogak-lab      # pid files, logs, sockets: gone with the lab
LAB_DISK_BASE=/var/lib/jogak-lab # the hosts' /var/lib: may be large, so it is kept off /run
LAB_ID=${JOGAK_LAB_ID:-0}

die() {
    printf 'lab: %s\n' "$*" >&2
    exit 1
}

set_lab_name() {
    [[ $1 =~ ^[a-z][a-z0-9-]{0,19}$ ]] || die "a lab's name is a lower-case word of at most 20 characters, not '$1'"
    LAB_NAME=$1
    LAB_RUN=$LAB_RUN_BASE/$LAB_NAME
    LAB_DISK=$LAB_DISK_BASE/$LAB_NAME
    # A lab that exists keeps the id it was made with; the environment only chooses for a new one.
    [ ! -s "$LAB_RUN/id" ] || LAB_ID=$(<"$LAB_RUN/id")
}

[[ $LAB_ID =~ ^([0-9]|1[0-5])$ ]] || die "JOGAK_LAB_ID must be 0..15, not '$LAB_ID'"
set_lab_name "${JOGAK_LAB_NAME:-jogak}"

# h2 or 2 -> h2
host_name() {
    [[ $1 =~ ^h?([1-9][0-9]?)$ ]] || die "a host is named h1, h2, ..., not '$1'"
    echo "h${BASH_REMATCH[1]}"
}

host_dir() { echo "$LAB_RUN/$1"; }
host_disk() { echo "$LAB_DISK/$1"; }
host_root() { echo "$LAB_RUN/$1/root"; }
host_log() { echo "$LAB_RUN/$1/log/$2.log"; }
host_netns() { echo "$LAB_NAME-$1"; }
switch_netns() { echo "$LAB_NAME-sw"; }
world_netns() { echo "$LAB_NAME-world"; }
services_nic() { echo "jlab$LAB_ID"; }

# Two sites, each with a gateway, public addresses and the router outside that all of them are reached by. They are
# the addresses of documentation (RFC 5737), in namespaces only, so labs may have the same.
SITES="east west"
host_site() { case $1 in h1 | h2) echo east ;; *) echo west ;; esac; }
site_gateway() { case $1 in east) echo h1 ;; west) echo h3 ;; esac; }
site_pool() { case $1 in east) echo 203.0.113.16/28 ;; west) echo 198.51.100.16/28 ;; esac; }
site_router() { case $1 in east) echo 203.0.113.1 ;; west) echo 198.51.100.1 ;; esac; }

services_address() { echo "10.$((200 + LAB_ID)).0.1"; }
mgmt_address() { echo "10.$((200 + LAB_ID)).0.$((10 + ${1#h}))"; }
underlay_address() { echo "10.$((216 + LAB_ID)).0.$((10 + ${1#h}))"; }

# The hosts that exist, in order, running or not.
lab_hosts() {
    local dir
    for dir in "$LAB_RUN"/h[0-9]*/; do
        [ -d "$dir" ] && basename "$dir"
    done | sort -V
}

# One command at a time changes a lab.  Daemons must not inherit the lock: see host_exec's 9>&-.
lock_lab() {
    mkdir -p "$LAB_RUN_BASE"
    exec 9>"$LAB_RUN.lock"
    flock -w 60 9 || die "another command has held the lab '$LAB_NAME' for a minute"
}

claim_lab_id() {
    local dir
    for dir in "$LAB_RUN_BASE"/*/; do
        [ "$dir" = "$LAB_RUN/" ] || [ ! -f "$dir/id" ] || [ "$(<"$dir/id")" != "$LAB_ID" ] ||
            die "id $LAB_ID belongs to lab '$(basename "$dir")'; choose another with JOGAK_LAB_ID"
    done
    mkdir -p "$LAB_RUN"
    echo "$LAB_ID" >"$LAB_RUN/id"
}

wait_for_jobs() {
    local job failed=0
    for job in $(jobs -p); do
        wait "$job" || failed=1
    done
    [ $failed = 0 ] || die "a host failed, see above, and the logs in $LAB_RUN/*/log"
}

# wait_until SECONDS CMD...: polls a condition every 20 ms.
wait_until() {
    local deadline=$((${EPOCHREALTIME/./} + $1 * 1000000))
    shift
    until "$@"; do
        [ "${EPOCHREALTIME/./}" -lt "$deadline" ] || return 1
        sleep 0.02
    done
}
