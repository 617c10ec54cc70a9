"""Lab guests: their serial lines, and the datagrams that run between two of them.

The guests stay as they are for the whole run; `beat` in them counts what was lost, doubled and
reordered on its way. A guest that moves takes its counts with it.
"""
import itertools
import json
import os
import re
import select
import socket
import subprocess
import time

from .lab import Failure

RATE_HZ = 1000
TO_MOVER, TO_PEER = 9, 10  # UDP ports, one for each direction

marks = itertools.count(1)  # never the same twice: a console may begin with what was said before


class Console:
    """A shell on a guest's serial line. Subclasses know how to get there."""

    def __init__(self):
        self.link = None

    def connect(self):
        """Returns (descriptor to read, descriptor to write, what keeps both open)."""
        raise NotImplementedError

    def close(self):
        if self.link:
            closing, self.link = self.link[2], None
            closing()

    def _read_until(self, pattern, seconds):
        text, end = "", time.monotonic() + seconds
        while not (found := re.search(pattern, text, re.DOTALL)):
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.link[0]], [], [], left)[0]:
                raise Failure(f"a guest's shell did not answer within {seconds} s; it said: {text[-300:]}")
            piece = os.read(self.link[0], 65536)
            if not piece:
                raise Failure(f"a guest's serial line was closed; it said: {text[-300:]}")
            text += piece.decode("utf-8", "replace")
        return found

    def shell(self, command, seconds=20):
        """Returns the lines that a command printed. Failure when its exit status is not 0."""
        if not self.link:
            self.link = self.connect()
        # Each mark is written in two halves, so that the terminal's echo of it does not look like one.
        mark = f"{os.getpid()}-{next(marks)}"
        os.write(self.link[1], f' echo "<<""begin {mark}>>"; {command}\n'
                               f' echo "<<""end {mark} $?>>"\n'.encode())
        found = self._read_until(rf"<<begin {mark}>>\r?\n(.*)<<end {mark} (\d+)>>", seconds)
        if found[2] != "0":
            raise Failure(f"in the guest: {command}: status {found[2]}: {found[1].strip()}")
        return [line.strip() for line in found[1].splitlines()]

    def ready(self, seconds=60):
        """Waits for the shell of a guest that boots."""
        end = time.monotonic() + seconds
        while True:
            try:
                return self.shell("true", 3)
            except Failure:
                self.close()
                if time.monotonic() > end:
                    raise
                time.sleep(0.2)


class SocketConsole(Console):
    """QEMU's own UNIX socket."""

    def __init__(self, path):
        super().__init__()
        self.path = path

    def connect(self):
        link = socket.socket(socket.AF_UNIX)
        try:
            link.connect(str(self.path))
        except OSError as error:
            raise Failure(f"no serial line at {self.path}: {error}") from error
        return link.fileno(), link.fileno(), link.close


class ProgramConsole(Console):
    """A program that connects its standard input and output with the serial line."""

    def __init__(self, command, environment):
        super().__init__()
        self.command = command
        self.environment = environment

    def connect(self):
        child = subprocess.Popen(self.command, env=self.environment, stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0)

        def close():
            child.stdin.close()
            child.stdout.close()
            child.terminate()
            child.wait()

        return child.stdout.fileno(), child.stdin.fileno(), close


class Traffic:
    """Numbered datagrams both ways, RATE_HZ each, between a guest that moves and one that does not."""

    def __init__(self, mover, peer, mover_address, peer_address):
        self.ends = ((mover, TO_MOVER, peer_address, TO_PEER), (peer, TO_PEER, mover_address, TO_MOVER))

    def start(self):
        for console, mine, _, _ in self.ends:
            console.shell(f"beat recv {mine} >/tmp/recv & R=$!; sleep 0.1")
        for console, _, other, theirs in self.ends:
            console.shell(f"ping -c 1 -W 2 {other} >/dev/null; "
                          f"beat send {other} {theirs} {RATE_HZ} >/tmp/send & S=$!")

    def stop(self):
        """Returns the verdicts of both receivers: {"to_peer": ..., "to_mover": ...}."""
        sent = [self._end(console, "$S", "send") for console, *_ in self.ends]
        time.sleep(0.5)  # for the last of them to arrive
        to_mover, to_peer = (self._end(console, "$R", "recv") for console, *_ in self.ends)
        return {"to_peer": judge(to_peer, sent[0]), "to_mover": judge(to_mover, sent[1])}

    def close(self):
        for console, *_ in self.ends:
            console.close()

    @staticmethod
    def _end(console, process, name):
        lines = console.shell(f"kill {process}; wait {process}; cat /tmp/{name}")
        return json.loads([line for line in lines if line.startswith("{")][-1])


def judge(received, sent):
    """A receiver's verdict, with the datagrams behind the last one it saw counted as lost too."""
    if not received["received"] or received["run"] != sent["run"]:
        raise Failure(f"nothing of the stream arrived: sent {sent}, received {received}")
    tail = sent["sent"] - 1 - received["last"]
    return {"sent": sent["sent"], "lost": received["lost"] + tail,
            "duplicated": received["duplicated"], "reordered": received["reordered"],
            "refused": sent["refused"], "longest_gap_ms": received["longest_gap_ms"]}
