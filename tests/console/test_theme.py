"""Themes are files; a bad one is refused with a sentence and the one in use stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcpwatch.console.theme import CONTRAST, DECISIONS, Look, Wardrobe, contrast, read_look, textual_theme
from mcpwatch.errors import ConfigError
from mcpwatch.files import data_file

NAMES = ["colour-blind-safe", "day", "high-contrast", "mono", "night"]


def shipped(name: str) -> str:
    path = data_file("themes", f"{name}.toml")
    assert path is not None
    return path.read_text("utf-8")


def test_five_themes_are_shipped() -> None:
    assert sorted(Wardrobe(None).looks) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_shipped_decision_can_be_read_on_every_ground(name: str) -> None:
    look = read_look(shipped(name), name)
    for ground in ("background", "selection", "surface"):
        assert min(contrast(look.decision[word], look.colors[ground]) for word in DECISIONS) >= CONTRAST


def test_the_high_contrast_theme_holds_seven_to_one() -> None:
    look = read_look(shipped("high-contrast"), "high-contrast")
    assert min(contrast(color, "#000000") for color in look.decision.values()) >= 7


def test_contrast_is_as_wcag_defines_it() -> None:
    assert round(contrast("#000000", "#ffffff"), 2) == 21
    assert round(contrast("#777777", "#ffffff"), 2) == 4.48


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('deny = "#ff7d8d"', 'deny = "#333333"', "decision.deny on background has contrast"),
        ('deny = "#ff7d8d"', 'deny = "reddish"', "decision.deny is not a colour"),
        ('deny = "#ff7d8d"', "deny = 7", "decision.deny is not a colour"),
        ('deny = "#ff7d8d"', 'dney = "#ff7d8d"', "unknown colour decision.dney"),
        ('deny = "✗"', 'deny = "漢"', "glyphs.deny must be one character one cell wide"),
        ('deny = "✗"', 'deny = "\\u001b"', "glyphs.deny must be one character one cell wide"),
        ('spark = "▁▂▃▄▅▆▇█"', 'spark = "▁▂"', "glyphs.spark must be eight characters"),
        ("[risk]", "[risks]", "[risk] is missing"),
        ("[colors]", "[colors", "theme x.toml"),
    ],
)
def test_what_is_wrong_with_a_theme_is_said(old: str, new: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read_look(shipped("night").replace(old, new, 1), "x.toml")
    assert sentence in refused.value.message


def test_glyphs_may_be_left_out() -> None:
    text = shipped("night").split("[glyphs]")[0]
    assert read_look(text, "x").glyphs["deny"] == "✗"


def test_the_users_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "night.toml"
    file.write_text(shipped("night"), "utf-8")
    wardrobe = Wardrobe(tmp_path)
    assert [look.name for look in wardrobe.refresh()[0]] == ["night"]
    assert wardrobe.refresh() == ([], [])
    file.write_text(shipped("night").replace("#7fb0ff", "#99ccff"), "utf-8")
    [changed] = wardrobe.refresh()[0]
    assert changed.colors["primary"] == "#99ccff"


def test_a_bad_file_changes_nothing_and_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("[colors]\n", "utf-8")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    wardrobe = Wardrobe(tmp_path)
    fresh, faults = wardrobe.refresh()
    assert fresh == []
    assert [fault.split(":")[0] for fault in faults] == ["theme binary.toml", "theme mine.toml"]
    assert sorted(wardrobe.looks) == NAMES


def test_textual_gets_our_colours_as_variables() -> None:
    look: Look = Wardrobe(None).looks["day"]
    theme = textual_theme(look, 3)
    assert theme.variables["decision-limit"] == look.decision["limit"]
    assert (theme.name, theme.dark) == ("mcpwatch-day-3", False)
