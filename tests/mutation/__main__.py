"""How many small faults in `mcpwatch/policy` the tests notice.

    python -m tests.mutation [MODULE…] [--sample N] [--seed N] [--minutes N] [--tests N] [--again FILE]

All tests are collected once; each fault is then tried in a fork of this process: the functions of the module get their
faulty code, and the tests that reach the function run, its own and the quickest first, until one fails. Survivors are
printed. With `--minutes` it stops after that time, having tried a random sample of all faults.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pytest

from tests.mutation.campaign import Campaign

TESTS = ("tests/policy", "tests/example_policies")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation")
    parser.add_argument("modules", nargs="*", help="names in mcpwatch/policy, all when none is given")
    parser.add_argument("--sample", type=int, help="how many faults to try at most, drawn at random")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--tests", type=int, help="how many tests to run at most for one fault, the quickest")
    parser.add_argument("--again", type=Path, help="try only the survivors that a former run printed into this file")
    options = parser.parse_args()
    folder = Path("mcpwatch/policy")
    names = options.modules or sorted(path.stem for path in folder.glob("*.py"))
    files = [folder / f"{name}.py" for name in names]
    again = options.again.read_text() if options.again else ""
    campaign = Campaign(files, options.sample, options.seed, options.minutes * 60, options.tests, again)
    pytest.main([*TESTS, "-q", "-s", "-p", "no:cacheprovider", "-p", "no:benchmark"], plugins=[campaign])
    return 0 if campaign.tried else 1


if __name__ == "__main__":
    sys.exit(main())
