"""A console as the gateway sees it: it takes every event. `python -m tests.benchmarks.watcher CONTROL_SOCKET`."""

from __future__ import annotations

import socket
import sys

SUBSCRIBE = b"GET /events HTTP/1.1\r\nHost: gateway\r\n\r\n"


def main() -> None:
    """Read until the gateway ends."""
    with socket.socket(socket.AF_UNIX) as control:
        control.connect(sys.argv[1])
        control.sendall(SUBSCRIBE)
        while control.recv(1 << 16):
            pass


if __name__ == "__main__":
    main()
