"""4 Audit: everything that was recorded, searched, page by page."""

from __future__ import annotations

import pytest

from mcpwatch.console.archive import PAGE, Archive, Page
from mcpwatch.console.audit_screen import ArchiveList, AuditScreen
from mcpwatch.console.detail import DetailScreen
from mcpwatch.console.dialogs import Ask
from mcpwatch.console.policy_screen import PolicyScreen
from tests.console.driving import Bench
from tests.console.feed import Object
from tests.console.hostile import ALL
from tests.console.policydesk import PolicyDesk, at_policy, call, policy_console, said


def many(count: int) -> list[Object]:
    return [call(seq, f"tool_{seq % 7}", "deny" if seq % 5 == 0 else "allow") for seq in range(1, count + 1)]


def shown(bench: Bench) -> ArchiveList:
    return bench.app.screen.query_one(ArchiveList)


def searches(desk: PolicyDesk) -> list[Object]:
    return [values for what, values in desk.orders if what == "search"]


async def opened(bench: Bench, desk: PolicyDesk) -> ArchiveList:
    """The audit screen with its first page."""
    await bench.press("4")
    await bench.until(lambda: len(shown(bench).view) == min(PAGE, len(desk.rows)))
    await bench.drawn()
    return shown(bench)


def test_an_archive_knows_when_its_beginning_is_reached_and_what_to_ask_for_next() -> None:
    rows = many(PAGE + 30)
    archive = Archive()
    assert archive.before_seq == 0
    archive.begin("", Page(rows[30:], 31))
    assert (archive.before_seq, archive.whole, len(archive)) == (31, False, PAGE)
    archive.older(Page(rows[:30], 0))
    assert (archive.before_seq, archive.whole, len(archive)) == (0, True, PAGE + 30)
    assert archive.named("c000001") is not None
    assert archive.first_at_ms < archive.last_at_ms
    archive.begin("x", Page([], 0))
    assert (len(archive), archive.whole, archive.before_seq) == (0, True, 0)


async def test_the_newest_page_is_shown_with_its_days() -> None:
    async with policy_console(rows=many(500)) as (bench, desk):
        await opened(bench, desk)
        assert "200 newest · 2026-11-22" in bench.text()
        assert "k at the top: older" in bench.text()
        assert searches(desk)[-1] == {"filter": "", "since_ms": 0, "before_seq": 0, "limit": PAGE}


async def test_older_pages_come_at_the_top_and_keep_the_selection() -> None:
    async with policy_console(rows=many(450)) as (bench, desk):
        listing = await opened(bench, desk)
        await bench.press("g")
        await bench.until(lambda: len(listing.view) == 400)
        assert listing.selected is not None
        assert listing.selected.call_id == "c000251"
        assert searches(desk)[-1]["before_seq"] == 251
        await bench.press("k")
        assert listing.selected.call_id == "c000250"
        await bench.press("g")
        await bench.until(lambda: len(listing.view) == 450)
        await bench.drawn()
        assert listing.selected.call_id == "c000051"
        assert "450 · 2026" in bench.text()
        asked = len(searches(desk))
        await bench.press("g", "k")
        assert listing.selected.call_id == "c000001"
        assert len(searches(desk)) == asked


async def test_a_search_shows_what_matches_and_escape_shows_all_again() -> None:
    async with policy_console(rows=many(50)) as (bench, desk):
        listing = await opened(bench, desk)
        await bench.press("slash", *"dec:deny", "enter")
        await bench.until(lambda: len(listing.view) == 10)
        await bench.drawn()
        assert "dec:deny" in bench.row("AUDIT")
        assert "mcpwatch audit export dec:deny > calls.jsonl" in bench.text()
        await bench.press("escape")
        await bench.until(lambda: len(listing.view) == 50)


async def test_a_filter_that_cannot_be_read_says_where() -> None:
    async with policy_console(rows=many(5)) as (bench, desk):
        await opened(bench, desk)
        before = len(searches(desk))
        await bench.press("slash", *"ms>x", "enter")
        await bench.drawn()
        assert "✗" in bench.row("FILTER")
        assert len(searches(desk)) == before


async def test_a_search_that_fails_is_told_and_what_is_there_stays() -> None:
    async with policy_console(rows=many(5)) as (bench, desk):
        listing = await opened(bench, desk)
        desk.refuse = "the audit cannot be read"
        await bench.press("r")
        await bench.until(lambda: "the audit cannot be read" in said(bench))
        assert len(listing.view) == 5


async def test_refreshing_finds_what_was_recorded_since() -> None:
    async with policy_console(rows=many(5)) as (bench, desk):
        listing = await opened(bench, desk)
        desk.rows.append(call(6, "new_one"))
        await bench.press("r")
        await bench.until(lambda: len(listing.view) == 6)
        await bench.drawn()
        assert "new_one" in bench.text()


async def test_empty_states_say_what_to_do() -> None:
    async with policy_console() as (bench, _):
        await bench.press("4")
        await bench.until(lambda: "Nothing recorded yet. r looks again." in bench.text())
        await bench.press("k", "g", "G", "enter", "y", "e")
        assert "No call is selected" in said(bench)
        await bench.press("slash", *"tool:nothing", "enter")
        await bench.until(lambda: "Nothing matches. esc takes the filter away" in bench.text())


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 50)])
async def test_the_whole_call_is_shown(size: tuple[int, int]) -> None:
    async with policy_console(rows=many(9), size=size) as (bench, desk):
        await opened(bench, desk)
        await bench.press("k", "enter")
        await bench.until(lambda: "c000009" in bench.text())
        assert isinstance(bench.app.screen, DetailScreen if size[0] < 100 else AuditScreen)
        await bench.press("escape", "escape", "escape")
        assert isinstance(bench.app.screen, AuditScreen)


async def test_a_call_is_copied_and_its_rule_opened() -> None:
    rows = [call(1, "get_pod_logs", "deny", rule="/tools/get_pod_logs/limits/logs_rate")]
    async with policy_console(rows=rows) as (bench, desk):
        await opened(bench, desk)
        await bench.press("k", "y")
        await bench.until(lambda: isinstance(bench.app.screen, Ask))
        await bench.press("j")
        await bench.until(lambda: "Copied" in said(bench))
        assert "get_pod_logs" in bench.app.clipboard
        await bench.press("e")
        screen = bench.app.screen
        assert isinstance(screen, PolicyScreen)
        await at_policy(bench)
        editor = screen.editor
        await bench.until(lambda: editor.cursor_location[0] > 0)
        row = editor.cursor_location[0]
        assert "logs_rate" in "".join(editor.document.lines[row : row + 2])


async def test_hostile_records_are_harmless() -> None:
    rows = [call(1, ALL, grant=ALL, rule=ALL, reason=ALL, args={ALL: ALL}, outcome=ALL), call(2, "t")]
    async with policy_console(rows=rows) as (bench, desk):
        await opened(bench, desk)
        await bench.press("g", "enter")
        seen = bench.text()
        await bench.press("y", "escape", "slash", *"[/ [@click=x]", "enter")
        await bench.drawn()
        seen += bench.text()
        assert bench.app.is_running
        assert not {"\x1b", "\x9b", "\x9d", "\u202e", "\x07"} & set(seen)
