"""Guests of a LiveLab: their shells, over `jogak console`, and traffic between two of them."""
import itertools
import json
import os
import re
import select
import subprocess
import time

from livelab import Failure

marks = itertools.count(1)  # never the same twice: a console may begin with what was said before


class Guest:
    """The shell on a sliver's serial line. A guest that has moved is found again by the next command."""

    def __init__(self, lab, name):
        self.lab, self.name, self.child = lab, name, None

    def arguments(self):
        return ["console", self.name]

    def open(self):
        self.child = subprocess.Popen([str(self.lab.build / "cli/jogak"), *self.arguments()], env=self.lab.environment,
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)

    def close(self):
        if self.child:
            self.child.kill()
            self.child.communicate()
            self.child = None

    def _ask(self, command, seconds):
        if not self.child:
            self.open()
        # Each mark is written in two halves, so that the terminal's echo of it does not look like one.
        mark = f"{os.getpid()}-{next(marks)}"
        os.write(self.child.stdin.fileno(), f' echo "<<""begin {mark}>>"; {command}\n echo "<<""end {mark} $?>>"\n'.encode())
        text, end = "", time.monotonic() + seconds
        while not (found := re.search(rf"<<begin {mark}>>\r?\n(.*)<<end {mark} (\d+)>>", text, re.DOTALL)):
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.child.stdout], [], [], left)[0]:
                raise Failure(f"{self.name}'s shell did not answer {command!r} within {seconds} s; it said: {text[-300:]!r}")
            piece = os.read(self.child.stdout.fileno(), 65536)
            if not piece:
                raise Failure(f"{self.name}'s console ended: {self.child.stderr.read().decode()}")
            text += piece.decode("utf-8", "replace")
        return int(found[2]), [line.strip() for line in found[1].splitlines() if "<<\"\"end" not in line]

    def run(self, command, seconds=20, check=True):
        """Returns the lines that a command printed; with check=False (status, lines)."""
        try:
            status, lines = self._ask(command, seconds)
        except (Failure, BrokenPipeError):
            self.close()
            raise
        if check and status:
            raise Failure(f"in {self.name}: {command}: status {status}: {' '.join(lines)}")
        return lines if check else (status, lines)

    def ready(self, seconds=60):
        """Waits for the shell of a guest that boots."""
        end = time.monotonic() + seconds
        while True:
            try:
                return self.run("true", 3)
            except (Failure, BrokenPipeError):
                if time.monotonic() > end:
                    raise
                time.sleep(0.3)

    def pings(self, address, count=3, wait=2):
        """How many of so many pings, 5 a second, were answered."""
        _, lines = self.run(f"ping -q -i 0.2 -c {count} -W {wait} {address}", 10 + count, check=False)
        return int(re.search(r"(\d+) packets received", " ".join(lines))[1])

    def reaches(self, address, seconds=15):
        """Waits for one answer."""
        end = time.monotonic() + seconds
        while not self.pings(address, 1, 1):
            if time.monotonic() > end:
                raise Failure(f"{self.name} does not reach {address} within {seconds} s")


class Traffic:
    """Numbered datagrams both ways and a ping of 100 Hz, between two guests; and what became of them."""
    PORT = 7000

    def __init__(self, first, second, rate_hz=500, ping=True):
        """first, second: (Guest, its address)."""
        self.ends = (first, second)
        self.rate_hz, self.ping, self.echoes, self.verdicts = rate_hz, ping, None, {}

    def start(self):
        for guest, _ in self.ends:
            guest.run("killall -q beat ping; true")  # of a test that failed
            guest.run(f"beat recv {self.PORT} >/tmp/recv & R=$!")
        for (guest, _), (_, other) in zip(self.ends, reversed(self.ends)):
            guest.run(f"ping -q -c 2 -i 0.2 {other}")
            guest.run(f"beat send {other} {self.PORT} {self.rate_hz} >/tmp/send & S=$!")
        if self.ping:
            self.echoes = echoes(self.ends[0][0])
            self.ends[0][0].run(f"ping -i 0.01 {self.ends[1][1]} >/dev/null & P=$!")

    def stop(self):
        """Complaints: nothing may be lost, doubled or out of order."""
        wrong = []
        if self.ping:
            wrong += self._ping_complaints()
        sent = [self._end(guest, "$S", "send") for guest, _ in self.ends]
        time.sleep(0.5)  # for the last of them to arrive
        received = [self._end(guest, "$R", "recv") for guest, _ in self.ends]
        self.verdicts = {f"to {self.ends[1][0].name}": (sent[0], received[1]), f"to {self.ends[0][0].name}": (sent[1], received[0])}
        for way, (out, back) in self.verdicts.items():
            wrong += [f"{way}: {c}" for c in stream_complaints(out, back)]
        return wrong

    @staticmethod
    def _end(guest, process, name):
        lines = guest.run(f"kill {process}; wait {process}; cat /tmp/{name}")
        try:
            return json.loads([line for line in lines if line.startswith("{")][-1])
        except (IndexError, ValueError) as none:
            raise Failure(f"{guest.name}: beat {name} said nothing that can be read: {lines}") from none

    def _ping_complaints(self):
        """By the kernel's counters: busybox' ping has so small a buffer that it loses what comes in one go."""
        guest = self.ends[0][0]
        guest.run("kill -INT $P; wait $P; sleep 1")
        sent, answered = (now - before for now, before in zip(echoes(guest), self.echoes))
        return [f"of {sent} pings {answered} were answered"] if sent != answered or sent < 10 else []


def echoes(guest):
    """(requests sent, answers received) since the guest's start."""
    said = guest.run("grep ^Icmp: /proc/net/snmp")
    names, numbers = (line.split() for line in said if line.startswith("Icmp:"))  # and not of jobs that ended
    return int(numbers[names.index("OutEchos")]), int(numbers[names.index("InEchoReps")])


def stream_complaints(sent, received):
    if received["run"] != sent["run"] or not received["received"]:
        return [f"nothing arrived: sent {sent}, received {received}"]
    tail = sent["sent"] - 1 - received["last"]
    lost = received["lost"] + tail + received["first"] - sent["refused"]
    bad = {"lost": lost, "duplicated": received["duplicated"], "reordered": received["reordered"]}
    return [f"{bad} of {sent['sent']}: {received}"] if any(bad.values()) else []
