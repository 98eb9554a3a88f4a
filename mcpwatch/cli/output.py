"""How commands speak: results on stdout, everything for people about them on stderr, nothing that moves a cursor."""

from __future__ import annotations

import json
import shutil
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any, Final, NoReturn, TextIO, cast

import click

from mcpwatch.errors import ConfigError

_ACTING = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_FILLERS = "\u034f\u115f\u1160\u3164\uffa0"


def put(text: str) -> None:
    """One line of result. Control characters of foreign text are made visible."""
    put_raw(printable(text) + "\n")


def put_raw(text: str) -> None:
    """Result as it is. When its reader has gone (`| head`), the command is done."""
    stdout: TextIO | None = sys.stdout
    if stdout is None:
        return
    try:
        stdout.write(text)
        stdout.flush()
    except BrokenPipeError:
        raise click.exceptions.Exit(0) from None
    except OSError as fault:
        say_fault(f"cannot write the output: {fault.strerror}")
        raise click.exceptions.Exit(1) from None


def put_json_text(text: str) -> None:
    """JSON text made for people: what would act on a terminal is escaped, which changes nothing of its meaning."""
    put_raw("".join(json.dumps(c)[1:-1] if c != "\n" and _acts(c) else c for c in text))


def put_json(value: Any, *, pretty: bool = True) -> None:
    """A result for programs: one object over several lines, or with `pretty` off one line (JSON lines)."""
    put_raw(json.dumps(value, indent=2 if pretty else None, ensure_ascii=True) + "\n")


def say(text: str) -> None:
    """One line for people, on stderr. A closed stderr is no reason to stop."""
    try:
        click.echo(printable(text), err=True)
    except OSError:
        return


def say_fault(message: str, remedy: str = "") -> None:
    """What happened and what to do next. On a terminal no word is broken at its edge; a pipe gets each in one line."""
    for line in _in_sight(f"mcpwatch: {message}", ""):
        say(line)
    for line in _in_sight(remedy, "  ") if remedy else ():
        say(line)


def table(rows: Iterable[Sequence[str]], *, width: int = 80) -> list[str]:
    """Rows in columns that fit `width`: the last column wraps nowhere, it is cut with an ellipsis."""
    kept = [[printable(cell) for cell in row] for row in rows]
    if not kept:
        return []
    columns = max(len(row) for row in kept)
    widths = [max((len(row[i]) for row in kept if i < len(row) - 1), default=0) for i in range(columns)]
    return [_row(row, widths, width) for row in kept]


def width() -> int:
    """Columns of the terminal, 80 when there is none."""
    return shutil.get_terminal_size((80, 24)).columns if sys.stdout.isatty() else 80


def printable(text: str) -> str:
    """`text` on one line or several, without characters that act on a terminal."""
    return "".join(_shown(c) for c in text)


def one_line(text: str, most: int) -> str:
    """`text` on one line of at most `most` columns."""
    flat = " ".join(text.split())
    return flat if len(flat) <= most else flat[: max(0, most - 1)] + "…"


def wrapped(text: str, indent: str = "  ", most: int = 80) -> list[str]:
    """`text` in lines of at most `most` columns; a word that is longer stays whole."""
    lines = [""]
    for word in text.split():
        if lines[-1] and len(indent) + len(lines[-1]) + 1 + len(word) > most:
            lines.append("")
        lines[-1] += (" " if lines[-1] else "") + word
    return [indent + line for line in lines]


def json_of(text: str, what: str, remedy: str = "") -> Any:
    """JSON that can be taken in one way only, as the gateway takes it. Raises ConfigError, naming it as `what`."""
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError) as fault:
        raise ConfigError(f"{what} is not JSON: {fault}", remedy) from fault


def object_of(text: str, what: str) -> dict[str, Any]:
    """A JSON object from the command line. Raises ConfigError."""
    value = json_of(text, what, f'Quote it for the shell, for example: {what} \'{{"namespace": "dev"}}\'')
    if not isinstance(value, dict):
        raise ConfigError(f"{what} must be a JSON object")
    return cast("dict[str, Any]", value)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f'the key "{next(name for name in names if names.count(name) > 1)}" twice in one object')
    return members


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number of JSON")


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError("a number beyond what a 64-bit float can hold")
    return number


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite)


def _in_sight(text: str, indent: str) -> list[str]:
    if sys.stderr is None or not sys.stderr.isatty():
        return [indent + text]
    most = shutil.get_terminal_size((80, 24)).columns
    first, *more = wrapped(text, indent, most - 2)
    return [first, *("  " + line for line in more)]


def _shown(character: str) -> str:
    if character == "\n" or not _acts(character):
        return character
    return chr(0x2400 + ord(character)) if character < " " else "\ufffd"


def _acts(character: str) -> bool:
    """Whether a character does something to a terminal or to its neighbours instead of being drawn."""
    if character.isascii():
        return not character.isprintable()
    hidden = character in _FILLERS or "\ufe00" <= character <= "\ufe0f" or character >= "\U000e0000"
    return hidden or unicodedata.category(character) in _ACTING


def _row(row: Sequence[str], widths: Sequence[int], most: int) -> str:
    cells = [cell.ljust(widths[i]) if i < len(row) - 1 else cell for i, cell in enumerate(row)]
    text = "  ".join(cells).rstrip()
    return text if len(text) <= most else text[: most - 1] + "…"
