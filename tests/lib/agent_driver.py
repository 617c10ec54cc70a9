"""Drive node agents directly, without an aggregate: certificates, calls, specs, a whole migration.

The certificates are made with openssl by an authority of the driver's own; agents take theirs from
identity.* in their state directory.
"""
import http.client
import json
import os
import ssl
import subprocess
import time
import uuid

AUTHORITY = "example.org"


def urn(kind, name, authority=AUTHORITY):
    return f"urn:publicid:IDN+{authority}+{kind}+{name}"


def run(*argv, **options):
    return subprocess.run(argv, check=True, capture_output=True, text=True, **options).stdout


class Pki:
    """A certificate authority in a directory."""

    def __init__(self, directory):
        self.dir = directory
        os.makedirs(directory, exist_ok=True)
        if not os.path.exists(self.path("ca.crt")):
            self.key("ca")
            run("openssl", "req", "-x509", "-new", "-key", self.path("ca.key"), "-out", self.path("ca.crt"),
                "-days", "30", "-subj", "/CN=authority",
                "-addext", f"subjectAltName=URI:{urn('authority', 'ca')}",
                "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    def path(self, name):
        return os.path.join(self.dir, name)

    def key(self, name):
        run("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-out", self.path(name + ".key"))

    def issue(self, name, holder, host="127.0.0.1"):
        """Key and certificate as <name>.key and <name>.crt."""
        if os.path.exists(self.path(name + ".crt")):
            return
        self.key(name)
        with open(self.path(name + ".ext"), "w") as f:
            f.write(f"subjectAltName=URI:{holder},IP:{host}\nextendedKeyUsage=serverAuth,clientAuth\n"
                    "keyUsage=critical,digitalSignature\nbasicConstraints=critical,CA:FALSE\n")
        run("openssl", "req", "-new", "-key", self.path(name + ".key"), "-subj", f"/CN={name}",
            "-out", self.path(name + ".csr"))
        run("openssl", "x509", "-req", "-in", self.path(name + ".csr"), "-CA", self.path("ca.crt"),
            "-CAkey", self.path("ca.key"), "-CAcreateserial", "-days", "30", "-out", self.path(name + ".crt"),
            "-extfile", self.path(name + ".ext"))

    def give_identity(self, name, state_dir):
        os.makedirs(state_dir, mode=0o700, exist_ok=True)
        for source, suffix in ((name + ".key", "key"), (name + ".crt", "crt"), ("ca.crt", "ca")):
            with open(self.path(source)) as f, open(os.path.join(state_dir, "identity." + suffix), "w") as g:
                os.fchmod(g.fileno(), 0o600)
                g.write(f.read())
        with open(os.path.join(state_dir, "identity.url"), "w") as g:
            g.write("https://127.0.0.1:8401")

    def context(self, name):
        context = ssl.create_default_context(cafile=self.path("ca.crt"))
        context.check_hostname = False
        context.load_cert_chain(self.path(name + ".crt"), self.path(name + ".key"))
        return context


class Refused(Exception):
    def __init__(self, status, problem):
        super().__init__(f"{status} {problem}")
        self.status = status
        self.problem = problem if isinstance(problem, dict) else {}


class Agent:
    """One agent's API; keeps its connection."""

    def __init__(self, pki, host, port=8404, caller="am", name=None):
        self.pki, self.host, self.port, self.name = pki, host, port, name
        self.context = pki.context(caller)
        self.connection = None
        self.times = {}

    def call(self, method, path, body=None, timeout=60):
        data = None if body is None else json.dumps(body)
        begin = time.monotonic()
        for attempt in (1, 2):
            if self.connection is None:
                self.connection = http.client.HTTPSConnection(self.host, self.port, context=self.context,
                                                              timeout=timeout)
            try:
                self.connection.request(method, path, data, {"Content-Type": "application/json"} if data else {})
                answer = self.connection.getresponse()
                text = answer.read()
                break
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                self.connection = None
                if attempt == 2:
                    raise
        self.last_ms = (time.monotonic() - begin) * 1000
        out = json.loads(text) if text else None
        if answer.status >= 400:
            raise Refused(answer.status, out)
        return out

    def state(self, sliver):
        return self.call("GET", f"/v1/slivers/{sliver}")

    def verb(self, migration, verb, epoch, **more):
        out = self.call("POST", f"/v1/migrations/{migration}/{verb}", dict(epoch=epoch, **more))
        self.times[verb] = round(self.last_ms, 1)
        return out

    def wait_phase(self, migration, *phases, timeout=60):
        seen, end = 0, time.monotonic() + timeout
        while time.monotonic() < end:
            state = self.call("GET", f"/v1/migrations/{migration}?seen={seen}&wait_ms=2000")
            if state["phase"] in phases:
                return state
            if state["phase"] in ("failed", "undone"):
                raise Refused(0, state)
            seen = state["sequence"]
        raise TimeoutError(f"{migration} is {state['phase']}, not {phases}")


def sliver_spec(sliver, slice_, name, epoch, digest, number, vni=100, memory_mib=128, seconds=0):
    mac = f"02:00:00:00:00:{number:02x}"
    network = ("version: 2\nethernets:\n  eth0:\n"
               f"    match: {{macaddress: \"{mac}\"}}\n    addresses: [10.0.0.{number}/24]\n")
    return {
        "sliver": sliver, "urn": urn("sliver", name, AUTHORITY + ":demo"), "slice": slice_, "name": name,
        "epoch": epoch, "kind": "full", "vcpus": 1, "memory_mib": memory_mib, "disk_mib": 128,
        "image": {"digest": digest, "format": "qcow2", "virtual_size_bytes": 67108864},
        "store_url": "https://127.0.0.1:8403",
        "vnics": [{"name": "eth0", "mac": mac, "vni": vni, "addresses": [f"10.0.0.{number}/24"], "rate_kbps": 0,
                   "mtu": 1400}],
        "seed": {"meta_data": f"instance-id: {sliver}\nlocal-hostname: {name}\n", "network_config": network,
                 "user_data": "#cloud-config\n"},
    }


def forwarding(generation, places, vni=100):
    """places: [(spec, node, egress)]; node is (urn, vtep)."""
    vnics = []
    for spec, node, egress in places:
        for v in spec["vnics"]:
            vnics.append({"sliver": spec["sliver"], "epoch": spec["epoch"], "vnic": v["name"], "mac": v["mac"],
                          "addresses": v["addresses"], "rate_kbps": 0, "node": node[0], "vtep": node[1],
                          "egress": egress})
    return {"generation": generation, "links": [{"name": "lan", "vni": vni, "vnics": vnics}]}


def migrate(source, target, spec, source_epoch, hosts, turn, migration=None, stop=None):
    """The verbs in the engine's order. hosts: {role: {urn, host, tunnel_port}}; turn(which): the bundles of step 12
    at the target, at all nodes but the source (with settle_ms), and at the source (likewise). Returns times in ms."""
    migration = migration or str(uuid.uuid4())
    epoch, sliver = spec["epoch"], spec["sliver"]
    begin = time.monotonic()
    marks = {}

    def mark(name):
        marks[name] = round((time.monotonic() - begin) * 1000, 1)

    base = {"sliver": sliver, "epoch": epoch, "source_epoch": source_epoch}
    target.call("PUT", f"/v1/migrations/{migration}", dict(base, role="target", spec=spec, peer=hosts["source"]))
    target.times["check"] = round(target.last_ms, 1)
    source.call("PUT", f"/v1/migrations/{migration}", dict(base, role="source", peer=hosts["target"]))
    source.times["check"] = round(source.last_ms, 1)
    mark("checked")
    prepared = target.verb(migration, "prepare", epoch)
    source.verb(migration, "prepare", epoch, destination_xml=prepared["destination_xml"])
    mark("prepared")
    source.verb(migration, "copy", epoch)
    source.verb(migration, "stop", epoch, **(stop or {}))
    mark("stopped")
    target.wait_phase(migration, "arrived")
    mark("arrived")
    target.verb(migration, "confirm", epoch)
    source.verb(migration, "confirm", epoch)
    mark("confirmed")
    source.verb(migration, "release", epoch)
    target.verb(migration, "release", epoch)
    mark("released")
    turn("target")  # else what the guest sends first would find no flow
    target.verb(migration, "activate", epoch)
    mark("active")
    turn("others")  # and wait for their datapaths, which may go on sending to the source for a while
    turn("source")  # last, for the same reason
    mark("turned")
    drained = source.verb(migration, "drain", epoch)
    mark("drained")
    delivered = target.verb(migration, "deliver", epoch)
    mark("delivered")
    source.wait_phase(migration, "gone")
    mark("gone")
    for agent in (source, target):
        agent.call("DELETE", f"/v1/migrations/{migration}")
    return {"marks": marks, "source": dict(source.times), "target": dict(target.times),
            "frames": (drained["frames"], delivered["frames"])}
