r"""Linear-time regular expressions: the Rust engine that pydantic brings along.

Source of the language: https://docs.rs/regex (RE2-like, no look-around, no back-references), with the classes of RE2:
`\w`, `\d`, `\s` and `\b` know ASCII only. The search is unanchored, and `$` is the end of the text only.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from pydantic_core import SchemaError, SchemaValidator, core_schema

from mcpwatch.policy.re2 import engine_pattern


@lru_cache(maxsize=4096)
def compile_regex(pattern: str) -> Callable[[str], bool]:
    """Return a search function for `pattern`.

    Raises ValueError with the engine's own explanation when the pattern is not of this language. The function raises
    UnicodeEncodeError on a text that is no Unicode (a lone surrogate): such a text must not count as "does not match".
    """
    try:
        engine = SchemaValidator(core_schema.str_schema(pattern=engine_pattern(pattern)))
    except SchemaError as error:
        raise ValueError(_explanation(str(error))) from None
    matches = engine.isinstance_python

    def search(text: str) -> bool:
        if matches(text):
            return True
        if not text.isascii():
            text.encode()
        return False

    return search


def _explanation(text: str) -> str:
    """The last line of the engine's report is its sentence (`error: unclosed group`)."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    return lines[-1].removeprefix("error: ").removeprefix("SchemaError: ")
