"""Who may know whom, and that nothing heavy is loaded before it is needed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HEAVY = ("textual", "rich", "mcp", "aiosqlite", "sqlite3", "aiohttp", "uvicorn", "asyncio", "pydantic", "watchfiles")


def loaded_by(code: str) -> set[str]:
    """The names of all modules that a fresh interpreter has after running `code`."""
    script = f"import sys\n{code}\nsys.stderr.write(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stderr.split())


def test_every_import_contract_is_kept() -> None:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"]
    done = subprocess.run([*command, "--no-cache"], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_policy_room_loads_no_loop_no_screen_no_database_and_no_protocol() -> None:
    loaded = loaded_by("import mcpwatch.policy.engine, mcpwatch.policy.reader, mcpwatch.policy.cases")
    assert loaded.isdisjoint({"textual", "mcp", "aiosqlite", "sqlite3", "asyncio", "aiohttp", "logging"})


def test_the_serving_process_loads_neither_the_sdk_nor_the_screen() -> None:
    loaded = loaded_by("import mcpwatch.service.run")
    assert loaded.isdisjoint({"mcp", "mcp_types", "httpx2", "textual"})


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["policy", "--help"], ["audit", "--help"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    loaded = loaded_by(f"from mcpwatch.cli.main import main\nassert main({arguments!r}) == 0")
    assert sorted(loaded.intersection(HEAVY)) == []


def test_no_module_has_more_than_four_hundred_lines() -> None:
    long = [p for p in (ROOT / "mcpwatch").rglob("*.py") if len(p.read_text().splitlines()) > 400]
    assert long == []
