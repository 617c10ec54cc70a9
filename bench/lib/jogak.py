"""B: `jogak migrate` of a sliver like A's guest: same image, memory, disk, machine and rate of traffic."""
import calendar
import json
import re
import subprocess
import time

from .guest import ProgramConsole
from .lab import CACHE, Failure, run

SLICE = "bench:moves"

TOPOLOGY = """version: 1
slice: {slice}
slivers:
  - name: mover
    image: bench-guest
    memory_mib: 128
    disk_mib: 64
    node: h1
    vnics: [{{link: lan, addresses: [{mover}/24]}}]
  - name: peer
    image: bench-guest
    memory_mib: 128
    disk_mib: 64
    node: h3
    vnics: [{{link: lan, addresses: [{peer}/24]}}]
links: [{{name: lan}}]
"""


class JogakSide:
    """A sliver that moves between h1 and h2, and its peer on h3."""

    name = "jogak"
    taps = "jg"  # how the agent's names of taps begin
    mover_address, peer_address = "10.11.0.1", "10.11.0.2"

    def __init__(self, lab, work, build):
        self.lab = lab
        self.work = work
        self.program = str(build / "cli/jogak")
        self.environment = dict(lab.environment, JOGAK_SLICE=SLICE,
                                JOGAK_HOME=f"/run/jogak-lab/{lab.name}/operator")
        self.at = "h1"
        self.moved = None  # the last migration's id

    def _jogak(self, *words, timeout=120):
        return run(self.program, *words, env=self.environment, timeout=timeout)

    # --- once ---

    def set_up(self):
        if "bench" not in self._jogak("project", "list", "-o", "json"):
            self._jogak("project", "add", "bench")
            self._jogak("slice", "add", SLICE)
        self._jogak("image", "upload", str(CACHE / "guest.qcow2"), "--name", "bench-guest", "--replace")
        topology = self.work / "topology.yaml"
        topology.write_text(TOPOLOGY.format(slice=SLICE, mover=self.mover_address, peer=self.peer_address))
        self._jogak("apply", "-f", str(topology), "--yes")
        for console in (self.mover(), self.peer()):
            console.ready()
            console.close()
        self._fetch_everywhere()

    def _fetch_everywhere(self):
        """A first move there and back, not measured: the base image is then at both, as it is for A."""
        for _ in range(2):
            self.move()

    # --- for each move ---

    def _console(self, sliver):
        return ProgramConsole([self.program, "console", sliver], self.environment)

    def mover(self):
        return self._console("mover")

    def peer(self):
        return self._console("peer")

    def ready_to_move(self):
        pass

    def target(self):
        return "h2" if self.at == "h1" else "h1"

    def move(self):
        """Blocks until all is done. Returns (begin, end) in nanoseconds of the wall clock."""
        target = self.target()
        begin = time.time_ns()
        done = subprocess.run([self.program, "migrate", "mover", "--to", target, "--wait", "-o", "json"],
                              env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=120, check=False)
        end = time.time_ns()
        if done.returncode:
            raise Failure(f"jogak migrate: {done.stderr.strip()}")
        self.moved = json.loads(self._jogak("migration", "list", "-o", "json"))[0]["id"]
        self.at = target
        return begin, end

    def account(self, begin, end, source):
        """Where the time of the last move went. Returns ({step name: ms}, overhead in ms)."""
        shown = json.loads(self._jogak("migration", "show", self.moved, "-o", "json"))
        steps = {step["name"]: step["took_us"] / 1000 for step in shown["steps"] if step["direction"] == "run"}
        return steps, (end - begin) / 1e6 - self._hypervisor_ms(source)

    def _hypervisor_ms(self, source):
        """Copying and libvirt's own calls, by the agents' logs: the migration from its call at the source
        until the guest stands whole at the target, and the call that resumes it there. (Shorter calls of
        libvirt, such as those that ask for a domain's state, are not taken off the overhead.)"""
        at_source, at_target = self._events(source), self._events(self.at)
        copied = at_target["phase=arrived"][0] - at_source["phase=copying"][0]
        resumed = int(at_target["verb=activate"][1]["us"]) / 1000
        return copied + resumed

    def _events(self, host):
        """{"phase=...": (milliseconds, fields)} of the last migration in an agent's log."""
        log = self.lab.root(host).parent / "log/agent.log"
        found = {}
        for line in log.read_text(errors="replace").splitlines():
            if f"migration={self.moved}" not in line:
                continue
            fields = dict(re.findall(r"(\w+)=(\S+)", line))
            for key in ("phase", "verb"):
                if key in fields:
                    found.setdefault(f"{key}={fields[key]}", (milliseconds(fields["ts"]), fields))
        return found


def milliseconds(text):
    """Of an RFC 3339 time in UTC, as the logs write it."""
    whole, fraction = text.rstrip("Z").split(".")
    return calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) * 1000 + int(fraction)
