#!/bin/bash
# anchor HOST ROOT PATH...: PID 1 of a host.  Arranges the host's own view of the file system, says so, and then
# only adopts and reaps the processes of the host (bash reaps every child, its own or adopted).
set -euo pipefail

host=$1 root=$2
shift 2

hostname "$host"

# A fresh sysfs shows this network namespace's devices; it hides the cgroup mounts, so these are made again.
cgroup_mounts=$(awk '$3 ~ /^cgroup2?$/ { print $3, $2, $4 }' /proc/self/mounts)
cgroup_base=$(awk '$2 == "/sys/fs/cgroup" { print $3 }' /proc/self/mounts)
mount -t sysfs sysfs /sys
[ "$cgroup_base" != tmpfs ] || mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
while read -r type where options; do
    [ -n "$where" ] || continue
    mkdir -p "$where"
    if [ "$type" = cgroup2 ]; then
        mount -t cgroup2 cgroup2 "$where"
    else
        # "rw,relatime,cpu" -> "cpu": only the controllers are options of the hierarchy
        mount -t cgroup -o "$(tr , '\n' <<<"$options" | grep -vE '^(rw|ro|nosuid|nodev|noexec|.*atime)$' |
            paste -sd,)" cgroup "$where"
    fi
done <<<"$cgroup_mounts"

for path; do
    [ -f "$root$path" ] || mkdir -p "$path"
    mount --bind "$root$path" "$path"
done
mkdir -p /run/lock

touch /run/lab-ready
trap exit TERM
while :; do
    sleep infinity &
    wait $! || true
done
