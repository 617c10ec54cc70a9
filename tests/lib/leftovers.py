"""What a testbed really has on its hosts: read from libvirt, Open vSwitch and the file system, not from our databases."""
import re

from detector import qemu_of


def domains(lab, host):
    """{name: state} of a host."""
    listing = lab.inside(host, "virsh", "-q", "list", "--all")
    return {words[1]: " ".join(words[2:]) for line in listing.splitlines() if (words := line.split())}


def taps(lab, host):
    return sorted(re.findall(r"^(jg[0-9a-f]+)\b", lab.inside(host, "ip", "-br", "link"), re.M))


def ports(lab, host):
    listing = lab.inside(host, "ovs-vsctl", "list-ports", "br-int")
    return sorted(p for p in listing.split() if re.fullmatch(r"jg[0-9a-f]+", p))


def flows(lab, host):
    """Of br-int, without counters and numbers that a restart may change."""
    listing = lab.inside(host, "ovs-ofctl", "-O", "OpenFlow14", "--names", "--no-stats", "dump-flows", "br-int")
    return sorted(line.strip() for line in listing.splitlines() if "actions=" in line)


def files(lab, host):
    """Of slivers and migrations: disks, seeds, console sockets, migration directories."""
    found = []
    for top in ("var/lib/jogak", "run/jogak"):
        base = lab.root(host) / top
        found += [name for p in base.rglob("*") if re.search(r"[0-9a-f]{8}-[0-9a-f]{4}-", name := str(p.relative_to(base)))]
    return sorted(found)


def incarnation(sliver):
    return f"jogak-{sliver['id'][:8]}-e{sliver['epoch']}"


def complaints(lab):
    """Everything that should not be there, or should and is not. Only for slices at rest."""
    wrong, slivers = [], [s for s in lab.slivers().values() if s["allocation"] == "provisioned"]
    for host in lab.hosts:
        mine = [s for s in slivers if s["node"] == host]
        wrong += _host(lab, host, mine)
    for table in ("claim", "debt"):
        wrong += [f"row in {table}: {dict(r)}" for r in lab.rows(f"SELECT * FROM {table}")]
    running = qemu_of({s["id"] for s in slivers})
    if len(running) > len(slivers):
        wrong.append(f"{len(running)} QEMUs of {len(slivers)} slivers: {running}")
    return wrong


def _host(lab, host, mine):
    wrong = []
    wanted = {incarnation(s): "running" for s in mine if s["state"] != "stopped"}  # a stopped one keeps its disk alone
    if (there := domains(lab, host)) != wanted:
        wrong.append(f"{host}: domains {there}, not {wanted}")
    vnics = sum(len(s["vnics"]) for s in mine)
    for what, found in (("taps", taps(lab, host)), ("OVS ports", ports(lab, host))):
        if len(found) != vnics:
            wrong.append(f"{host}: {what} {found}, not {vnics}")
    return wrong + [f"{host}: {name} belongs to no incarnation that lives here" for name in files(lab, host)
                    if not any(_belongs(name, s) for s in mine)]


def _belongs(name, sliver):
    return name.endswith(sliver["id"]) or (sliver["id"] in name and f"-e{sliver['epoch']}." in name)
