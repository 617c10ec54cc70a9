# shellcheck shell=sh
# The NoCloud seed: a volume labelled `cidata` with meta-data, network-config (version 2) and user-data.
# Sourced by init.  Understands what a lab needs; a cloud image's cloud-init reads the same seed in full.

seed_mount() {
    for disk in /dev/vd[a-z] /dev/sr[0-9] /dev/sd[a-z]; do
        [ -b "$disk" ] || continue
        # ISO 9660 keeps the volume's label at 32 KiB + 40.
        label=$(dd if="$disk" bs=1 skip=32808 count=6 2>/dev/null | tr CIDAT cidat)
        [ "$label" = cidata ] || continue
        mount -t iso9660 -o ro "$disk" /seed && return 0
    done
    return 1
}

# seed_value FILE PATH: one value of a flattened file
seed_value() {
    awk -F '\t' -v path="$2" '$1 == path { print $2; exit }' "/run/$1"
}

seed_apply() {
    for file in meta-data network-config user-data; do
        : >"/run/$file"
        [ ! -f "/seed/$file" ] || yamlflat <"/seed/$file" >"/run/$file"
    done
    umount /seed 2>/dev/null
    name=$(seed_value meta-data local-hostname)
    hostname "${name:-guest}"
    # Files written by netplan have everything below `network:`.
    sed -i 's/^network\.//' /run/network-config
    sed -n 's/^ethernets\.\([^.]*\)\..*/\1/p' /run/network-config | sort -u | while read -r id; do
        seed_ethernet "$id"
    done
}

# Without match.macaddress, the entry's own name is the interface's.
seed_ethernet() {
    mac=$(seed_value network-config "ethernets.$1.match.macaddress" | tr A-F a-f)
    nic=$1
    [ -z "$mac" ] || nic=$(nic_of_mac "$mac")
    [ -e "/sys/class/net/$nic" ] || return
    name=$(seed_value network-config "ethernets.$1.set-name")
    [ -z "$name" ] || { ip link set "$nic" down name "$name" && nic=$name; }
    mtu=$(seed_value network-config "ethernets.$1.mtu")
    ip link set "$nic" ${mtu:+mtu "$mtu"} up
    sed -n "s/^ethernets\\.$1\\.addresses\\.[0-9]*\t//p" /run/network-config | while read -r address; do
        ip address add "$address" dev "$nic"
    done
    gateway=$(seed_value network-config "ethernets.$1.gateway4")
    [ -z "$gateway" ] || ip route add default via "$gateway"
    seed_routes "$1"
}

seed_routes() {
    index=0
    while to=$(seed_value network-config "ethernets.$1.routes.$index.to"); [ -n "$to" ]; do
        ip route add "$to" via "$(seed_value network-config "ethernets.$1.routes.$index.via")"
        index=$((index + 1))
    done
}

nic_of_mac() {
    for nic in /sys/class/net/*; do
        [ "$(cat "$nic/address")" = "$1" ] && echo "${nic##*/}" && return
    done
}

# runcmd, in order; other keys of user-data (ssh_authorized_keys, ...) mean nothing here.
seed_run() {
    sed -n 's/^runcmd\.[0-9]*\t//p' /run/user-data | while IFS= read -r command; do
        sh -c "$(printf '%b' "$command")" </dev/null
    done
}
