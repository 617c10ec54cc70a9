# The three services of a lab's testbed, in the root namespace and as an unprivileged user, and an agent in
# each host.
# shellcheck shell=bash

SERVICES="clearinghouse sliverstore aggregate" # in the order in which they start
SERVICE_UID=64100                              # has no account, so it owns nothing else
AUTHORITY=lab.jogak

service_state() { echo "$LAB_DISK/services/$1"; }
service_log() { echo "$LAB_RUN/services/log/$1.log"; }
service_pidfile() { echo "$LAB_RUN/services/pid/$1"; }
service_conf() { echo "$LAB_RUN/services/$1.conf"; }
service_pid() { pidfile_pid "$(service_pidfile "$1")"; }
service_is_gone() { ! service_pid "$1" >/dev/null; }
service_port() {
    case $1 in
    clearinghouse) echo 8401 ;;
    aggregate) echo 8402 ;;
    sliverstore) echo 8403 ;;
    esac
}
service_url() { echo "https://$(services_address):$(service_port "$1")"; }

is_service() { [[ " $SERVICES " == *" $1 "* ]]; }

# service_configure NAME LINE...: the lines follow the [service] section.
service_configure() {
    local name=$1 state
    shift
    state=$(service_state "$name")
    mkdir -p "$state" "$LAB_RUN/services/log" "$LAB_RUN/services/pid"
    chown "$SERVICE_UID:$SERVICE_UID" "$state"
    chmod 700 "$state"
    {
        printf '[service]\nlisten_address = %s\nadvertise_host = %s\nstate_dir = %s\n' \
            "$(services_address)" "$(services_address)" "$state"
        printf 'enroll_token = %s/token\n' "$state"
        printf '%s\n' "$@"
    } >"$(service_conf "$name")"
}

service_start() {
    local name=$1 pid
    ! service_pid "$name" >/dev/null || return 0
    setsid setpriv --reuid "$SERVICE_UID" --regid "$SERVICE_UID" --clear-groups --no-new-privs \
        "$BUILD/$name/jogak-$name" --config "$(service_conf "$name")" \
        >>"$(service_log "$name")" 2>&1 </dev/null 9>&- &
    pid=$!
    pidfile_write "$(service_pidfile "$name")" "$pid"
    wait_until 10 service_answers "$name" ||
        die "$name does not answer; the end of $(service_log "$name"): $(tail -n 3 "$(service_log "$name")")"
}

service_answers() { curl -sk -o /dev/null --max-time 2 "$(service_url "$1")/v1"; }

service_signal() {
    local pid
    pid=$(service_pid "$1") && kill -s "${2#SIG}" "$pid"
}

service_stop() {
    service_signal "$1" TERM || return 0
    wait_until 10 service_is_gone "$1" && return
    service_signal "$1" KILL || return 0
    wait_until 5 service_is_gone "$1" || die "$1 survives SIGKILL"
}

# --- agents ---
agent_configure() {
    local host=$1 root
    root=$(host_root "$host")
    mkdir -p "$root/etc/jogak"
    cat >"$root/etc/jogak/nodemgr.conf" <<CONF
[service]
listen_address = $(mgmt_address "$host")
advertise_host = $(mgmt_address "$host")
enroll_token = /etc/jogak/token
[agent]
aggregate_url = $(service_url aggregate)
vtep_address = $(underlay_address "$host")
datapath = netdev
site = $(host_site "$host")
vcpus = 8
CONF
    uplink_configure "$host" >>"$root/etc/jogak/nodemgr.conf"
}

uplink_configure() {
    local site
    site=$(host_site "$1")
    [ "$(site_gateway "$site")" != "$1" ] || printf 'uplink = ext0\nuplink_router = %s\n' "$(site_router "$site")"
}

agent_start() {
    ! daemon_pid "$1" agent >/dev/null || return 0
    daemon_start "$1" agent "$BUILD/nodemgr/jogak-nodemgr" --config /etc/jogak/nodemgr.conf
}
