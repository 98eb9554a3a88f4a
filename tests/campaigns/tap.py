"""Stands between the gateway and a stdio server and keeps every byte the server is sent: `tap.py FILE COMMAND…`.

Standard library only, so that it starts at once.
"""

from __future__ import annotations

import os
import subprocess
import sys


def main() -> None:
    with (
        open(sys.argv[1], "ab", buffering=0) as witness,
        subprocess.Popen(sys.argv[2:], stdin=subprocess.PIPE) as child,
    ):
        assert child.stdin
        while data := os.read(0, 65536):
            witness.write(data)
            child.stdin.write(data)
            child.stdin.flush()
        child.stdin.close()
        sys.exit(child.wait())


if __name__ == "__main__":
    main()
