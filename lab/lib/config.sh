# The files that a host's daemons read.
# shellcheck shell=bash

# Files and directories that every host has for itself; the rest of the file system it shares with the machine.
# /run comes last: mounting it hides the place where the others come from.
# shellcheck disable=SC2034  # host.sh uses both
HOST_FILES="/etc/hosts /etc/passwd /etc/group"
HOST_DIRS="/etc/libvirt /etc/openvswitch /etc/jogak
/var/lib/libvirt /var/cache/libvirt /var/log/libvirt /var/lib/openvswitch /var/log/openvswitch /var/lib/jogak
/run"

# The same for the same host, different for any other: libvirt refuses to migrate to "itself".
host_uuid() {
    local sum
    sum=$(sha256sum <<<"jogak-lab $LAB_NAME $1")
    echo "${sum:0:8}-${sum:8:4}-4${sum:13:3}-8${sum:17:3}-${sum:20:12}"
}

config_write() {
    local host=$1 root
    root=$(host_root "$host")
    cat >"$root/etc/libvirt/libvirtd.conf" <<CONF
host_uuid = "$(host_uuid "$host")"
auth_unix_rw = "none"
unix_sock_rw_perms = "0700"
log_outputs = "3:stderr"
CONF
    # No security driver, no user change and no device namespace: the host itself is the jail.  The machine's
    # cgroups are not the host's to arrange.
    cat >"$root/etc/libvirt/qemu.conf" <<CONF
security_driver = "none"
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
namespaces = []
cgroup_controllers = []
CONF
    : >"$root/etc/libvirt/virtlogd.conf"
    hosts_file >"$root/etc/hosts"
    with_account passwd "libvirt-qemu:x:64055:64055::/var/lib/libvirt:/usr/sbin/nologin" >"$root/etc/passwd"
    with_account group "libvirt-qemu:x:64055:" >"$root/etc/group"
}

# libvirt's QEMU driver does not start without the account it was built for, even where it is not to be used;
# the package that creates it also sets up a system-wide libvirt, which a lab machine need not have.
with_account() {
    cat "/etc/$1"
    grep -q '^libvirt-qemu:' "/etc/$1" || echo "$2"
}

hosts_file() {
    local n
    echo "127.0.0.1 localhost"
    echo "$(services_address) services"
    for ((n = 1; n <= 99; n++)); do
        echo "$(mgmt_address "h$n") h$n"
    done
}
