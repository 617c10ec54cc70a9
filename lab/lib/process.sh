# Who is alive.  A process id is reused after its owner's death, so a pid file also holds the start time, and
# the boot in which it counted; only a process that matches all three is ever signalled.
# shellcheck shell=bash

BOOT_ID=$(</proc/sys/kernel/random/boot_id)

# The start time of a process, in ticks since boot; fails when there is none.
process_started() {
    local stat
    stat=$(<"/proc/$1/stat") || return 1
    stat=${stat##*) } # the name before it may contain blanks and brackets
    # shellcheck disable=SC2086  # split on purpose: fields 3, 4, ... of proc(5)
    set -- $stat
    [ "$1" != Z ] && echo "${20}" # one that has ended and is not yet reaped does not run
} 2>/dev/null

pidfile_write() { echo "$2 $(process_started "$2") $BOOT_ID" >"$1"; }

# Prints the pid when the file's process still lives.
pidfile_pid() {
    local pid started boot
    read -r pid started boot <"$1" || return 1
    [ "$boot" = "$BOOT_ID" ] && [ "$(process_started "$pid")" = "$started" ] && echo "$pid"
} 2>/dev/null

# The keeper is `unshare`; its one child is the anchor, PID 1 of the host.
keeper_pid() { pidfile_pid "$(host_dir "$1")/pid/keeper"; }

anchor_pid() {
    local keeper child
    keeper=$(keeper_pid "$1") || return 1
    child=$(<"/proc/$keeper/task/$keeper/children") || return 1
    [ -n "$child" ] && echo "${child% }"
} 2>/dev/null

# Runs a command in all namespaces of a host, in the caller's directory where the host can see that.
host_exec() {
    local anchor host=$1
    local -a where=()
    shift
    anchor=$(anchor_pid "$host") || die "host $host of lab '$LAB_NAME' does not run"
    case $PWD/ in
    /run/* | /proc/* | /sys/* | /etc/* | /var/*) ;; # (partly) another place inside the host
    *) where=(--wdns="$PWD") ;;
    esac
    nsenter --target "$anchor" --mount --uts --net --pid "${where[@]}" -- "$@" 9>&-
}

# Starts a daemon.  The shell inside hands over the real process id and leaves, so that the anchor adopts it.
daemon_start() {
    local host=$1 name=$2 pidfile inner
    shift 2
    pidfile=$(host_dir "$host")/pid/$name
    ! daemon_pid "$host" "$name" >/dev/null || die "$name already runs in $host"
    # shellcheck disable=SC2016  # the inner shell expands these
    inner=$(host_exec "$host" sh -c 'setsid "$@" </dev/null >&3 2>&1 3>&- & echo $!' sh "$@" \
        3>>"$(host_log "$host" "$name")")
    pidfile_write "$pidfile" "$(outer_pid "$host" "$inner")" 2>/dev/null ||
        die "$name ended at once in $host; see $(host_log "$host" "$name")"
}

# The machine's number of a process that a host calls $2: the NSpid line lists both.
outer_pid() {
    local anchor child pid
    anchor=$(anchor_pid "$1") || return 1
    for child in $(<"/proc/$anchor/task/$anchor/children"); do
        pid=$(awk '/^NSpid:/ { print $NF }' "/proc/$child/status" 2>/dev/null) || continue
        [ "$pid" != "$2" ] || { echo "$child"; return; }
    done
    return 1
}

daemon_pid() { pidfile_pid "$(host_dir "$1")/pid/$2"; }

daemon_signal() {
    local pid
    pid=$(daemon_pid "$1" "$2") && kill -s "${3#SIG}" "$pid"
}

daemon_is_gone() { ! daemon_pid "$1" "$2" >/dev/null; }

daemon_stop() {
    daemon_signal "$1" "$2" TERM || return 0
    wait_until 5 daemon_is_gone "$1" "$2" && return
    daemon_signal "$1" "$2" KILL || return 0
    wait_until 5 daemon_is_gone "$1" "$2" || die "$2 in $1 survives SIGKILL"
}
