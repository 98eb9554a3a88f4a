"""Atheris on the wire parser: coverage-guided bytes, and the strict reference as the judge of each.

    pip install atheris
    nice python -m tests.fuzz.wire --seconds 600 [--corpus FOLDER] [--seed 1]

Ends with 0 after saying its figures, or with the bytes that the two opinions differ about. Atheris is a heavy
dependency and rewrites bytecode, so that it is none of the tests: CI asks the same question of the same seeds, changed
by hypothesis, in `tests/gateway/test_wire_differential.py`.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.fuzz.seeds import KEYS, NUMBERS, STRINGS, all_seeds

_MOST_BYTES = 4096
_INSTRUMENTED = (
    *("mcpwatch.gateway.wire", "mcpwatch.gateway.names", "mcpwatch.policy.names"),
    *("tests.gateway.strict_json", "tests.gateway.reference_wire"),
)
_TOKENS = (
    b'"jsonrpc":"2.0"',
    b'"method":"tools/call"',
    b'"params":{',
    b'"arguments":{',
    b'"id":',
    b'"_meta":{',
    b"\\u",
)


class Watch:
    """Counts what was tried; `one` is what the fuzzer calls."""

    def __init__(self, compare: Any) -> None:
        self._compare = compare
        self.tried = 0
        self.legal = 0

    def one(self, raw: bytes) -> None:
        self.tried += 1
        self.legal += self._compare(raw)


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--seconds", type=int, default=600)
    words.add_argument("--seed", type=int, default=1)
    words.add_argument("--corpus", type=Path, default=None)
    asked = words.parse_args()
    atheris = importlib.import_module("atheris")
    # The reader that the parser uses is C and shows no branches; those of the reference lead through JSON instead.
    with atheris.instrument_imports(include=list(_INSTRUMENTED)):
        compare = importlib.import_module("tests.fuzz.opinions").compare
    watch = Watch(compare)
    corpus = asked.corpus or Path(tempfile.mkdtemp(prefix="mcpwatch-wire-"))
    _fill(corpus)
    options = (f"-max_total_time={asked.seconds}", f"-seed={asked.seed}", f"-max_len={_MOST_BYTES}", "-timeout=10")
    memory = ("-rss_limit_mb=2048", f"-dict={_dictionary(corpus)}", "-print_final_stats=1")
    atheris.Setup([sys.argv[0], *options, *memory, str(corpus / "seeds")], _counted(watch))
    atheris.Fuzz()


def _counted(watch: Watch) -> Any:
    """libFuzzer ends the process itself, so that the figures are said now and then."""
    began = said = time.monotonic()

    def one(raw: bytes) -> None:
        nonlocal said
        watch.one(raw)
        now = time.monotonic()
        if now - said > 30:
            said = now
            print(f"{now - began:.0f} s: {watch.tried} tried, {watch.legal} legal, 0 differences", flush=True)

    return one


def _fill(corpus: Path) -> None:
    folder = corpus / "seeds"
    folder.mkdir(parents=True, exist_ok=True)
    for number, raw in enumerate(all_seeds()):
        (folder / f"seed-{number:04}").write_bytes(raw)


def _dictionary(corpus: Path) -> Path:
    """Words to splice in, in libFuzzer's form."""
    words = [word for word in (*_TOKENS, *NUMBERS, *STRINGS, *KEYS) if 0 < len(word) < 100]
    lines = ['"' + "".join(f"\\x{byte:02x}" for byte in word) + '"' for word in words]
    file = corpus / "words.dict"
    file.write_text("\n".join(lines) + "\n")
    return file


if __name__ == "__main__":
    main()
