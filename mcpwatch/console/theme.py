"""Themes are TOML files: read, checked and made into what Textual and our own drawing need.

Shipped ones stand in `themes/`, the user's in `CONFIG/themes`. A theme that cannot be read or would be unreadable on
screen is refused with one sentence; whoever loads it keeps the one in use.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.cells import cell_len
from textual.color import Color, ColorParseError
from textual.theme import Theme

from mcpwatch.errors import ConfigError
from mcpwatch.files import data_file, data_names

CONTRAST = 4.5
"""Least contrast of text against its ground. Source: WCAG 2.2, success criterion 1.4.3."""

DECISIONS = ("allow", "deny", "limit", "hold", "observe", "hidden", "reject")
_SECTIONS = {
    "colors": (
        [
            "background",
            "surface",
            "panel",
            "foreground",
            "muted",
            "line",
            "primary",
            "accent",
            "selection",
            "success",
            "warning",
            "error",
        ]
    ),
    "decision": list(DECISIONS),
    "risk": ["low", "medium", "high", "critical"],
    "syntax": ["key", "string", "number", "keyword", "punctuation", "comment", "problem"],
}
_GLYPHS = {
    "allow": "✓",
    "deny": "✗",
    "limit": "!",
    "hold": "?",
    "observe": "~",
    "hidden": "·",
    "reject": "×",
    "bar": "━",
    "bar_rest": "─",
    "cursor": "▌",
    "spark": "▁▂▃▄▅▆▇█",
}


@dataclass(frozen=True, slots=True)
class Look:
    """One checked theme: `colors`, `decision`, `risk`, `syntax` map names to `#rrggbb`, `glyphs` to characters."""

    name: str
    dark: bool
    colors: Mapping[str, str]
    decision: Mapping[str, str]
    risk: Mapping[str, str]
    syntax: Mapping[str, str]
    glyphs: Mapping[str, str]


def read_look(text: str, file: str) -> Look:
    """The theme written in `text`; ConfigError names `file` and the first thing that is wrong."""
    try:
        data = tomllib.loads(text)
        sections = {name: _colors(data, name) for name in _SECTIONS}
        look = Look(
            name=_name(data, file),
            dark=data.get("dark", True) is True,
            glyphs=_glyphs(data),
            **sections,
        )
        _check_contrast(look)
    except (tomllib.TOMLDecodeError, ValueError) as fault:
        raise ConfigError(f"theme {file}: {fault}") from fault
    return look


def textual_theme(look: Look, serial: int = 0) -> Theme:
    """The theme as Textual takes it, under a name of its own for each `serial`, so that a changed file is noticed.

    Our own colours become `$decision-…`, `$risk-…`, `$syntax-…`, `$muted`, `$line`.
    """
    colors = look.colors
    return Theme(
        name=f"mcpwatch-{look.name}-{serial}",
        primary=colors["primary"],
        secondary=colors["primary"],
        accent=colors["accent"],
        foreground=colors["foreground"],
        background=colors["background"],
        surface=colors["surface"],
        panel=colors["panel"],
        success=colors["success"],
        warning=colors["warning"],
        error=colors["error"],
        dark=look.dark,
        text_alpha=1.0,
        variables=look_variables(look),
    )


def look_variables(look: Look) -> dict[str, str]:
    """CSS variables of one theme, also the fallback for Textual's own themes, which do not know our names."""
    own = {
        f"{kind}-{key}": value for kind in ("decision", "risk", "syntax") for key, value in getattr(look, kind).items()
    }
    colors = look.colors
    return own | {
        "muted": colors["muted"],
        "line": colors["line"],
        "selection": colors["selection"],
        "block-cursor-background": colors["selection"],
        "block-cursor-foreground": colors["foreground"],
        "block-cursor-text-style": "none",
        "block-cursor-blurred-background": colors["surface"],
        "block-cursor-blurred-foreground": colors["foreground"],
        "block-hover-background": colors["panel"],
        "input-cursor-background": colors["foreground"],
        "input-cursor-foreground": colors["background"],
        "input-selection-background": colors["selection"],
        "border": colors["primary"],
        "border-blurred": colors["line"],
        "scrollbar": colors["line"],
        "scrollbar-hover": colors["muted"],
        "scrollbar-active": colors["primary"],
        "scrollbar-background": colors["background"],
        "scrollbar-background-hover": colors["background"],
        "scrollbar-background-active": colors["background"],
        "scrollbar-corner-color": colors["background"],
    }


class Wardrobe:
    """All themes by name; the user's folder overrides what is shipped and is read again when it changes."""

    def __init__(self, folder: Path | None) -> None:
        """`folder`: the user's themes, None for the shipped ones only. Faults of shipped themes raise ConfigError."""
        self._folder = folder
        self._stamps: dict[Path, tuple[int, int]] = {}
        self.looks: dict[str, Look] = {}
        for name in data_names("themes"):
            path = data_file("themes", name)
            if path is not None and path.suffix == ".toml":
                look = read_look(path.read_text("utf-8"), path.name)
                self.looks[look.name] = look

    def refresh(self) -> tuple[list[Look], list[str]]:
        """Read the user's files that are new or changed: (themes that are in order, sentences about the others)."""
        fresh: list[Look] = []
        faults: list[str] = []
        for path in self._changed():
            try:
                look = read_look(path.read_text("utf-8"), path.name)
            except ConfigError as fault:
                faults.append(fault.message)
            except (OSError, UnicodeDecodeError) as fault:
                faults.append(f"theme {path.name}: {fault}")
            else:
                self.looks[look.name] = look
                fresh.append(look)
        return fresh, faults

    def _changed(self) -> list[Path]:
        if self._folder is None or not self._folder.is_dir():
            return []
        changed: list[Path] = []
        for path in sorted(self._folder.glob("*.toml")):
            try:
                info = path.stat()
            except OSError:
                continue
            stamp = (info.st_mtime_ns, info.st_size)
            if self._stamps.get(path) != stamp:
                self._stamps[path] = stamp
                changed.append(path)
        return changed


def contrast(one: str, other: str) -> float:
    """Contrast of two colours, 1 to 21. Source: WCAG 2.2, definition of contrast ratio."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(color: str) -> float:
    """Relative luminance, 0 to 1. Source: WCAG 2.2, definition of relative luminance."""
    red, green, blue = (_linear(part) for part in Color.parse(color).normalized)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(part: float) -> float:
    return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4


def _name(data: Mapping[str, Any], file: str) -> str:
    name = data.get("name", Path(file).stem)
    if not isinstance(name, str) or not name.isprintable() or not 0 < len(name) <= 40:
        raise ValueError("name must be a short text")
    return name


def _colors(data: Mapping[str, Any], section: str) -> dict[str, str]:
    table = _table(data, section)
    for key in table:
        if key not in _SECTIONS[section]:
            raise ValueError(f"unknown colour {section}.{key}")
    for key in _SECTIONS[section]:
        if key not in table:
            raise ValueError(f"{section}.{key} is missing")
    return {key: _color(section, key, value) for key, value in table.items()}


def _color(section: str, key: str, value: object) -> str:
    try:
        color = Color.parse(value) if isinstance(value, str) else None
    except ColorParseError:
        color = None
    if color is None or color.ansi is not None:
        raise ValueError(f"{section}.{key} is not a colour")
    return color.hex6.lower()


def _glyphs(data: Mapping[str, Any]) -> dict[str, str]:
    table = _table(data, "glyphs") if "glyphs" in data else {}
    for key, value in table.items():
        if key not in _GLYPHS:
            raise ValueError(f"unknown glyph glyphs.{key}")
        if not isinstance(value, str) or not _drawable(key, value):
            raise ValueError(
                f"glyphs.{key} must be {'eight characters' if key == 'spark' else 'one character'} one cell wide"
            )
    return _GLYPHS | {key: str(value) for key, value in table.items()}


def _drawable(key: str, value: str) -> bool:
    wanted = 8 if key == "spark" else 1
    return len(value) == wanted and value.isprintable() and all(cell_len(character) == 1 for character in value)


def _table(data: Mapping[str, Any], section: str) -> dict[str, Any]:
    table = data.get(section)
    if not isinstance(table, dict):
        raise ValueError(f"[{section}] is missing")
    return dict(table)  # type: ignore[arg-type]


def _check_contrast(look: Look) -> None:
    texts = {f"decision.{key}": value for key, value in look.decision.items()}
    texts |= {f"colors.{key}": look.colors[key] for key in ("foreground", "muted")}
    for ground in ("background", "selection"):
        for key, value in texts.items():
            if ground == "selection" and key == "colors.muted":
                continue
            ratio = contrast(value, look.colors[ground])
            if ratio < CONTRAST:
                raise ValueError(f"{key} on {ground} has contrast {ratio:.1f}, at least {CONTRAST} is needed")
