"""When each datagram of `beat` passed which network device of a host, by the kernel's own stamps.

As a program (inside a host's network namespace): capture.py OUT PORT PORT; SIGTERM ends it. A socket
that is bound to no device sees them all, also those that appear later, such as the tap of a guest
that arrives. Frames that wait in a tap's qdisc are seen when they leave it for the guest.
"""
import collections
import ctypes
import signal
import socket
import struct
import subprocess
import sys
import time

SO_TIMESTAMPNS = 35
SO_ATTACH_FILTER = 26
SO_RCVBUFFORCE = 33
ETH_P_ALL = 3
MAGIC = 0x62656174
PAYLOAD = 14 + 20 + 8  # Ethernet, IPv4, UDP
GONE = "?"             # a device that was removed before its frames were read from the socket: a tap
PAUSE_S = 0.02         # between two looks: the stamps are the kernel's, so nothing is lost by waiting

Seen = collections.namedtuple("Seen", "at_ns device port sequence")


LOAD_HALF, LOAD_BYTE, EQUAL, HAS_BITS, ANSWER = 0x28, 0x30, 0x15, 0x45, 0x06  # classic BPF


def filter_program(ports):
    """IPv4 without options, not a fragment, UDP, to one of two ports: (code, yes, no, value) rows."""
    first, second = ports
    return [
        (LOAD_HALF, 0, 0, 12), (EQUAL, 0, 8, 0x0800),
        (LOAD_BYTE, 0, 0, 23), (EQUAL, 0, 6, socket.IPPROTO_UDP),
        (LOAD_HALF, 0, 0, 20), (HAS_BITS, 4, 0, 0x1FFF),
        (LOAD_HALF, 0, 0, 36), (EQUAL, 1, 0, first), (EQUAL, 0, 1, second),
        (ANSWER, 0, 0, 0x40000),
        (ANSWER, 0, 0, 0),
    ]


def open_socket(ports):
    link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    code = b"".join(struct.pack("HBBI", *row) for row in filter_program(ports))
    space = ctypes.create_string_buffer(code)
    link.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER,
                    struct.pack("HL", len(code) // 8, ctypes.addressof(space)))
    link.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
    link.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    link.setblocking(False)
    return link


def read_all(link, out):
    while True:
        try:
            frame, extra, _, address = link.recvmsg(2048, 64)
        except BlockingIOError:
            return
        if len(frame) < PAYLOAD + 16 or struct.unpack_from("I", frame, PAYLOAD)[0] != MAGIC:
            continue
        seconds, nanoseconds = struct.unpack("qq", extra[0][2])
        port = struct.unpack_from("!H", frame, 36)[0]
        sequence = struct.unpack_from("Q", frame, PAYLOAD + 8)[0]
        device = address[0] or GONE
        out.write(f"{seconds * 1000000000 + nanoseconds} {device} {port} {sequence}\n")


def main(path, *ports):
    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    link = open_socket([int(port) for port in ports])
    with open(path, "w", encoding="ascii") as out:
        print("ready", flush=True)
        while not stopped:
            time.sleep(PAUSE_S)
            read_all(link, out)


class Capture:
    """The same from outside."""

    def __init__(self, namespace, path, ports):
        self.path = path
        self.child = subprocess.Popen(
            ["nsenter", f"--net={namespace}", sys.executable, "-S", "-E", __file__, str(path),
             *map(str, ports)], stdout=subprocess.PIPE)
        self.child.stdout.readline()

    def end(self):
        self.child.terminate()
        self.child.wait()
        self.child.stdout.close()

    def seen(self):
        """After the end: [Seen], in the order of time."""
        with open(self.path, encoding="ascii") as lines:
            words = (line.split() for line in lines)
            return sorted(Seen(int(at), device, int(port), int(sequence))
                          for at, device, port, sequence in words)


if __name__ == "__main__":
    main(*sys.argv[1:])
