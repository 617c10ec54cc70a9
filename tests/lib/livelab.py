"""A testbed in the lab: real services, agents, libvirtd, QEMU and Open vSwitch, for one test script.

    with LiveLab() as lab:
        lab.two_slivers()
        lab.jogak("migrate", "b", "--wait")

It is made by lab/testbed under JOGAK_LAB_NAME and JOGAK_LAB_ID (default: test, 9) from the programs in JOGAK_BUILD, and
is gone when the block ends, however it ends.
"""
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("JOGAK_LAB_CACHE", "/var/cache/jogak-lab"))
HOSTS = ("h1", "h2", "h3")
SERVICE_UID = 64100

sys.path.insert(0, str(TOP / "tests/contract/lib"))


class Failure(Exception):
    """What went wrong, in words."""


def until(seconds, condition, what, pause=0.05):
    """Waits for a condition; returns what it answered."""
    end = time.monotonic() + seconds
    while not (answer := condition()):
        if time.monotonic() > end:
            raise Failure(f"{what}: not within {seconds} s")
        time.sleep(pause)
    return answer


def _end_by_signal(number, _frame):
    sys.exit(128 + number)


class LiveLab:
    def __init__(self, hosts=3):
        self.hosts = HOSTS[:hosts]
        self.name = os.environ.get("JOGAK_LAB_NAME", "test")
        self.number = int(os.environ.get("JOGAK_LAB_ID", "9"))
        self.build = Path(os.environ.get("JOGAK_BUILD", TOP / "build")).resolve()
        self.run_dir = Path("/run/jogak-lab") / self.name
        self.disk_dir = Path("/var/lib/jogak-lab") / self.name
        self.home = self.run_dir / "operator"
        self.environment = dict(os.environ, JOGAK_LAB_NAME=self.name, JOGAK_LAB_ID=str(self.number),
                                JOGAK_BUILD=str(self.build), JOGAK_HOME=str(self.home), LC_ALL="C")

    def __enter__(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, _end_by_signal)
        try:
            self.testbed("down", check=False)
            self.testbed("up", "--hosts", str(len(self.hosts)))
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(self, kind, value, trace):
        if os.environ.get("JOGAK_TEST_KEEP"):
            print(f"    lab {self.name} is kept: JOGAK_TEST_KEEP", flush=True)
            return
        if kind:
            self.show_logs()
        self.down()

    def down(self):
        self.testbed("down", check=False)

    def show_logs(self, lines=12):
        """The ends of all logs, for whoever has to find out why."""
        for log in [*self.run_dir.glob("services/log/*.log"), *self.run_dir.glob("h*/log/agent.log")]:
            print(f"    -- {log.relative_to(self.run_dir)}", flush=True)
            for line in log.read_text(errors="replace").splitlines()[-lines:]:
                print("    " + line[:400], flush=True)

    # --- commands ---
    def command(self, *argv, check=True, timeout=120, text_in=None):
        try:
            done = subprocess.run([str(a) for a in argv], env=self.environment, timeout=timeout, text=True, input=text_in,
                                  stdin=None if text_in is not None else subprocess.DEVNULL, capture_output=True, check=False)
        except subprocess.TimeoutExpired as late:
            raise Failure(f"{' '.join(map(str, argv))}: no end after {timeout} s") from late
        if check and done.returncode:
            raise Failure(f"{' '.join(map(str, argv))}: status {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
        return done

    def testbed(self, *argv, check=True, timeout=150):
        return self.command(TOP / "lab/testbed", *argv, check=check, timeout=timeout).stdout

    def lab(self, *argv, check=True, timeout=60):
        return self.command(TOP / "lab/lab", *argv, check=check, timeout=timeout).stdout

    def inside(self, host, *argv, check=True, timeout=30):
        return self.lab("exec", host, *argv, check=check, timeout=timeout)

    def jogak(self, *argv, check=True, timeout=90, text_in=None):
        return self.command(self.build / "cli/jogak", *argv, check=check, timeout=timeout, text_in=text_in)

    def ask(self, *argv, timeout=30):
        """What `jogak ... -o json` answers."""
        return json.loads(self.jogak(*argv, "-o", "json", timeout=timeout).stdout)

    # --- processes of the testbed ---
    def start(self, name):
        self.testbed("start", name)

    def stop(self, name):
        self.testbed("stop", name)

    def pid(self, name):
        return int(self.testbed("pid", name))

    def daemon_pid(self, host, daemon):
        return int(self.lab("pid", host, daemon))

    def restart(self, name):
        self.stop(name)
        self.start(name)

    def configure(self, service, line):
        """Adds a line to the last section of a service's configuration, and restarts it."""
        with open(self.run_dir / f"services/{service}.conf", "a", encoding="utf-8") as conf:
            conf.write(line + "\n")
        self.restart(service)

    def log(self, name):
        """The text of a service's log, or of a host's agent's."""
        return Path(self.testbed("log", name).strip()).read_text(errors="replace")

    def state_dir(self, service):
        return self.disk_dir / "services" / service

    def root(self, host):
        """Where a host's own files are, seen from outside."""
        return self.run_dir / host / "root"

    def node_state(self, name):
        return next(n["state"] for n in self.ask("node", "list") if n["name"] == name)

    def nodes_ready(self, seconds=30):
        until(seconds, lambda: all(n["state"] == "ready" for n in self.ask("node", "list")), "all nodes ready", 0.2)

    def agent_listens(self, host, seconds=30):
        """Its node may still be called ready while an agent that was just started is not."""
        until(seconds, lambda: self.inside(host, "ss", "-Hltn", "sport = :8404"), f"the agent of {host} listens", 0.1)

    # --- the aggregate's own rows, read beside it ---
    def rows(self, sql, *values):
        link = self.database()
        try:
            return link.execute(sql, values).fetchall()
        finally:
            link.close()

    def database(self):
        link = sqlite3.connect(f"file:{self.state_dir('aggregate')}/aggregate.db?mode=ro", uri=True, timeout=5)
        link.row_factory = sqlite3.Row
        return link

    # --- slices and slivers ---
    def slice(self, name="demo:ring", image=True):
        project = name.split(":")[0]
        if self.jogak("project", "show", project, check=False).returncode:
            self.jogak("project", "add", project)
        self.jogak("slice", "add", name)
        self.jogak("slice", "use", name)
        if image and not any(i["name"] == "lab-guest" for i in self.ask("image", "list")):
            self.jogak("image", "upload", self.guest_image(), "--name", "lab-guest")

    def guest_image(self):
        return self.command(TOP / "lab/guest/build", timeout=300).stdout.strip()

    def apply(self, topology, *options, check=True):
        """topology: text. Returns the finished command."""
        return self.jogak("apply", "-f", "-", "--yes", *options, check=check, text_in=topology)

    def two_slivers(self, nodes=("h1", "h2"), more=""):
        """Slivers a (10.1.0.1) and b (10.1.0.2) on a link."""
        self.apply(two_slivers(nodes, more))

    def slivers(self):
        return {s["name"]: s for s in self.ask("sliver", "list")}

    def sliver(self, name):
        return self.slivers()[name]

    # --- migrations ---
    def migrate(self, name, to, timeout=60):
        self.jogak("migrate", name, "--to", to, "--wait", timeout=timeout)

    def migrate_begin(self, name, to):
        """Returns the migration's id at once."""
        self.jogak("migrate", name, "--to", to)
        sliver = self.sliver(name)["id"]
        return self.rows("SELECT id FROM migration WHERE sliver = ? ORDER BY rowid DESC LIMIT 1", sliver)[0]["id"]

    def migration(self, name):
        """The newest of a sliver, or None."""
        rows = self.rows("SELECT m.* FROM migration m JOIN sliver s ON s.id = m.sliver WHERE s.name = ?"
                         " ORDER BY m.rowid DESC LIMIT 1", name)
        return rows[0] if rows else None


def two_slivers(nodes=("h1", "h2"), more=""):
    text = "version: 1\nlinks:\n  - name: lan\nslivers:\n"
    for number, (name, node) in enumerate(zip("ab", nodes), 1):
        text += (f"  - name: {name}\n    image: lab-guest\n    memory_mib: 128\n    disk_mib: 256\n    node: {node}\n"
                 f"    vnics:\n      - link: lan\n        addresses: [10.1.0.{number}/24]\n{more}")
    return text
