"""The lab that a benchmark runs in: its hosts, and commands inside them."""
import os
import subprocess
import sys
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("JOGAK_LAB_CACHE", "/var/cache/jogak-lab"))


def say(text):
    """Progress, for people: results go to standard output alone."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


class Failure(Exception):
    """What went wrong, in words that need no traceback."""


def run(*command, env=None, timeout=120):
    """Returns what the command printed; its own words are in the error when it fails."""
    try:
        done = subprocess.run(command, env=env, timeout=timeout, text=True, capture_output=True,
                              stdin=subprocess.DEVNULL, check=False)
    except subprocess.TimeoutExpired as late:
        raise Failure(f"{' '.join(map(str, command))}: no end after {timeout} s") from late
    if done.returncode:
        words = (done.stderr.strip() or done.stdout.strip()).splitlines()[-3:]
        raise Failure(f"{' '.join(map(str, command))}: {' '.join(words)}")
    return done.stdout


def wait_until(seconds, condition, what):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise Failure(f"{what}: not within {seconds} s")
        time.sleep(0.05)


class Lab:
    def __init__(self, name, number):
        self.name = name
        self.number = number
        self.environment = dict(os.environ, JOGAK_LAB_NAME=name, JOGAK_LAB_ID=str(number))

    def tool(self, name, *arguments, timeout=120):
        """lab/lab or lab/testbed."""
        return run(TOP / "lab" / name, *arguments, env=self.environment, timeout=timeout)

    def inside(self, host, *command):
        return self.tool("lab", "exec", host, *command)

    def root(self, host):
        """Where a host's own files are, seen from outside."""
        return Path("/run/jogak-lab") / self.name / host / "root"

    def netns(self, host):
        return Path("/run/netns") / f"{self.name}-{host}"

    def management(self, host):
        return f"10.{200 + self.number}.0.{10 + int(host[1:])}"

    def underlay(self, host):
        return f"10.{216 + self.number}.0.{10 + int(host[1:])}"

    def background(self, host, name, *command):
        self.tool("lab", "start", host, name, "--", *command)
