"""A: `virsh migrate` as operators run it, with libvirt's own Open vSwitch ports.

What was chosen, and why:
- TCP, without TLS or SSH: the quickest of the usual transports. libvirtd's port is socat before its
  UNIX socket, so that the lab's libvirtd stays as it is; disk and memory go straight from QEMU to QEMU.
- The target's overlay, of the same base image, exists beforehand, as --copy-storage-inc wants it; the
  time to make it is not counted, nor that of deleting the source's afterwards.
- One learning bridge a host (NORMAL, no controller). The tunnels form a star around the peer's host:
  no loop, and every frame of the stream has one hop. QEMU announces the guest at its new place.
- The domain is the one that jogak's agent writes, but for the interface.
"""
import hashlib
import subprocess
import time

from .guest import SocketConsole
from .lab import CACHE, TOP, Failure, run

BRIDGE = "br-raw"
IMAGES = "/var/lib/libvirt/images"
SERIAL = "/run/bench"
LIBVIRT_PORT = 16509
TUNNEL_KEY, TUNNEL_PORT = 4242, 4790  # not those of jogak's tunnels

GUESTS = {"raw-m": ("52:54:00:0a:00:01", "10.10.0.1"), "raw-p": ("52:54:00:0a:00:02", "10.10.0.2")}

DOMAIN = """<domain type='qemu'>
  <name>{name}</name>
  <uuid>{uuid}</uuid>
  <memory unit='MiB'>128</memory>
  <vcpu placement='static'>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type><boot dev='hd'/></os>
  <features><acpi/><apic/></features>
  <clock offset='utc'/>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>restart</on_reboot>
  <on_crash>destroy</on_crash>
  <devices>
    <controller type='usb' model='none'/>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' discard='unmap'/>
      <source file='{images}/{name}.qcow2'/>
      <target dev='vda' bus='virtio'/>
    </disk>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/>
      <source file='{images}/{name}.seed.iso'/>
      <target dev='vdb' bus='virtio'/>
      <readonly/>
    </disk>
    <interface type='bridge'>
      <source bridge='{bridge}'/>
      <virtualport type='openvswitch'/>
      <target dev='{name}'/>
      <mac address='{mac}'/>
      <model type='virtio'/>
      <driver name='qemu'><host csum='off'/></driver>
      <mtu size='1400'/>
    </interface>
    <serial type='unix'>
      <source mode='bind' path='{serial}/{name}.sock'/>
      <target port='0'/>
    </serial>
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
    <memballoon model='none'/>
  </devices>
</domain>
"""


class RawSide:
    """A guest that moves between h1 and h2, and its peer on h3."""

    name = "raw"
    taps = "raw-"
    mover_address, peer_address = GUESTS["raw-m"][1], GUESTS["raw-p"][1]

    def __init__(self, lab, work):
        self.lab = lab
        self.work = work
        self.image = CACHE / "guest.qcow2"
        self.at = "h1"

    # --- once ---

    def set_up(self):
        for host in ("h1", "h2", "h3"):
            self._prepare_host(host)
        self._bridges()
        for name, host in (("raw-m", "h1"), ("raw-p", "h3")):
            self._boot(name, host)

    def _prepare_host(self, host):
        for place in (IMAGES, SERIAL):
            (self.lab.root(host) / place.lstrip("/")).mkdir(parents=True, exist_ok=True)
        self.lab.background(host, "raw-libvirt", "socat", "-T", "600",
                            f"TCP-LISTEN:{LIBVIRT_PORT},bind={self.lab.management(host)},reuseaddr,fork,nodelay",
                            "UNIX-CONNECT:/run/libvirt/libvirt-sock")

    def _bridges(self):
        for host, others in (("h1", ["h3"]), ("h2", ["h3"]), ("h3", ["h1", "h2"])):
            command = ["ovs-vsctl", "add-br", BRIDGE, "--", "set", "bridge", BRIDGE, "datapath_type=netdev"]
            for other in others:
                port = f"raw-{other}"
                command += ["--", "add-port", BRIDGE, port, "--", "set", "interface", port, "type=vxlan",
                            f"options:key={TUNNEL_KEY}", f"options:dst_port={TUNNEL_PORT}",
                            f"options:remote_ip={self.lab.underlay(other)}"]
            self.lab.inside(host, *command)
            for other in others:  # the datapath drops the first frame to an address without an ARP entry
                self.lab.inside(host, "ping", "-q", "-c", "1", self.lab.underlay(other))

    def _disks(self, name, host):
        images = self.lab.root(host) / IMAGES.lstrip("/")
        seed = self.work / f"{name}.iso"
        mac, address = GUESTS[name]
        if not seed.exists():
            run(TOP / "lab/guest/seed", seed, name, mac, f"{address}/24")
        (images / f"{name}.seed.iso").write_bytes(seed.read_bytes())
        self.lab.inside(host, "qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", self.image,
                        f"{IMAGES}/{name}.qcow2")

    def _boot(self, name, host):
        digest = hashlib.sha256(name.encode()).hexdigest()
        uuid = f"{digest[:8]}-{digest[8:12]}-4{digest[13:16]}-8{digest[17:20]}-{digest[20:32]}"
        document = self.work / f"{name}.xml"
        document.write_text(DOMAIN.format(name=name, uuid=uuid, images=IMAGES, bridge=BRIDGE,
                                          mac=GUESTS[name][0], serial=SERIAL))
        self._disks(name, host)
        self.lab.inside(host, "virsh", "-q", "create", document)
        self._console(name, host).ready()

    def _console(self, name, host):
        return SocketConsole(self.lab.root(host) / SERIAL.lstrip("/") / f"{name}.sock")

    # --- for each move ---

    def mover(self):
        return self._console("raw-m", self.at)

    def peer(self):
        return self._console("raw-p", "h3")

    def ready_to_move(self):
        """What the operator has done before."""
        self._disks("raw-m", self.target())

    def target(self):
        return "h2" if self.at == "h1" else "h1"

    def move(self):
        """Blocks until the source is freed. Returns (begin, end) in nanoseconds of the wall clock."""
        target = self.target()
        command = ["nsenter", f"--net={self.lab.netns(self.at)}", "--", "virsh", "-q",
                   "-c", f"qemu+unix:///system?socket={self.lab.root(self.at)}/run/libvirt/libvirt-sock",
                   "migrate", "--live", "--p2p", "--copy-storage-inc", "raw-m",
                   f"qemu+tcp://{target}:{LIBVIRT_PORT}/system"]
        begin = time.time_ns()
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
                              check=False)
        end = time.time_ns()
        if done.returncode:
            raise Failure(f"virsh migrate: {done.stderr.strip()}")
        self.at = target
        return begin, end
