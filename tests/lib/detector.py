"""Does more than one incarnation of a sliver run? Asked of the kernel, not of any of our own parts, nor of libvirt.

A guest runs when it sends frames: the kernel counts what its QEMU writes to its tap. Every few milliseconds the detector
reads these counters; an incarnation's life is from its first to its last frame, and the lives of two incarnations of one
sliver must not touch. So the sliver has to be talking all the time (see guests.Traffic).
"""
import multiprocessing
import os
import re
import time

PERIOD_S = 0.004
LOOK_S = 0.05  # between two looks for new QEMUs; they need some 300 ms to start


def qemu_of(uuids):
    """{process: the sliver's UUID} of all QEMUs of these slivers, wherever they run."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (uuid := _uuid(int(entry))) in uuids:
            found[int(entry)] = uuid
    return found


def _read(path):
    with open(path, encoding="utf-8", errors="replace") as f:
        return f.read()


def _uuid(pid):
    try:
        words = _read(f"/proc/{pid}/cmdline").split("\0")
        return words[words.index("-uuid") + 1] if "qemu-system" in words[0] else None
    except (OSError, ValueError, IndexError):
        return None


class _Watched:
    """One QEMU process."""

    def __init__(self, pid, uuid):
        self.pid, self.uuid, self.taps, self.sent = pid, uuid, set(), None
        self.first, self.last, self.frames = None, None, 0

    def find_taps(self):
        for fd in os.listdir(f"/proc/{self.pid}/fdinfo"):
            self.taps |= set(re.findall(r"^iff:\s*(\S+)", _read(f"/proc/{self.pid}/fdinfo/{fd}"), re.M))

    def sample(self, now):
        if not self.taps:
            self.find_taps()
        counters = [line.split() for line in _read(f"/proc/{self.pid}/net/dev").splitlines()]
        sent = sum(int(words[2]) for words in counters if words[0].rstrip(":") in self.taps)
        if self.sent is not None and sent > self.sent:
            self.first, self.last, self.frames = self.first or now, now, self.frames + sent - self.sent
        self.sent = sent


def _watch(uuids, pipe):
    live, known, looked, longest, before = {}, [], 0.0, 0.0, time.monotonic()
    while not pipe.poll(PERIOD_S):
        now = time.monotonic()
        longest, before = max(longest, now - before), now
        if now - looked > LOOK_S:
            looked = now
            for pid, uuid in qemu_of(uuids).items():
                if pid not in live:
                    live[pid] = _Watched(pid, uuid)
                    known.append(live[pid])
        for pid, one in list(live.items()):
            try:
                one.sample(now)
            except (OSError, IndexError):
                del live[pid]
    pipe.send(([(w.uuid, w.pid, w.first, w.last, w.frames) for w in known], longest))


class Detector:
    """with Detector([uuid, ...]) as d: ...; then d.complaints() and d.incarnations."""

    def __init__(self, uuids):
        self.uuids = set(uuids)
        self.incarnations, self.longest_blink_s = [], 0.0

    def __enter__(self):
        self.pipe, far = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=_watch, args=(self.uuids, far), daemon=True)
        self.process.start()
        far.close()
        time.sleep(0.1)
        return self

    def __exit__(self, *_):
        try:
            self.pipe.send("end")
            self.incarnations, self.longest_blink_s = self.pipe.recv()
        finally:
            self.process.join(5)
            self.process.kill()

    def ran(self):
        """How many incarnations were seen to run."""
        return sum(1 for i in self.incarnations if i[2] is not None)

    def complaints(self):
        lives = sorted((i for i in self.incarnations if i[2] is not None), key=lambda i: (i[0], i[2]))
        wrong = []
        for one, two in zip(lives, lives[1:]):
            if one[0] == two[0] and two[2] < one[3]:
                wrong.append(f"two incarnations ran at once for {1000 * (one[3] - two[2]):.1f} ms: {one}, {two}")
        return wrong
