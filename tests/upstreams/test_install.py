"""Installation with a Python that only pretends: a script that does what venv and pip would leave behind."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

from mcpwatch.errors import ConfigError
from mcpwatch.upstreams.install import install, installed_program
from mcpwatch.upstreams.presets import PRESETS
from tests.upstreams.stubs import script

_PIP = """
import os, pathlib, sys
here = pathlib.Path(sys.argv[0]).parent
assert "GITHUB_TOKEN" not in os.environ
print("Collecting", sys.argv[-1], flush=True)
if {works}:
    program = here / sys.argv[-1].split("==")[0]
    program.write_text("#!/bin/sh\\n")
    program.chmod(0o755)
    print("Successfully installed")
else:
    print("ERROR: No matching distribution found for", sys.argv[-1])
    sys.exit(1)
"""
_VENV = """
import pathlib, sys
folder = pathlib.Path(sys.argv[-1])
(folder / "bin").mkdir()
python = folder / "bin" / "python"
python.write_text("#!{python}\\n" + {pip!r})
python.chmod(0o755)
with open({log!r}, "a") as log: log.write("venv\\n")
"""


def _python(tmp_path: Path, *, works: bool = True) -> str:
    pip = _PIP.format(works=works)
    return str(script(tmp_path, "python", _VENV.format(python=sys.executable, pip=pip, log=str(tmp_path / "log"))))


def _install(tmp_path: Path, lines: list[str], *, works: bool = True) -> Path:
    environ = {"PATH": "/usr/bin:/bin", "GITHUB_TOKEN": "no"}
    state = tmp_path / "state"
    return install(
        "eks", environ=environ, state_dir=state, progress=lines.append, python=_python(tmp_path, works=works)
    )


def test_the_program_is_there_afterwards_and_every_step_was_told(tmp_path: Path) -> None:
    lines: list[str] = []
    program = _install(tmp_path, lines)
    assert program == installed_program(PRESETS["eks"], tmp_path / "state")
    assert program.name == "awslabs.eks-mcp-server"
    assert "Collecting awslabs.eks-mcp-server==0.2.1" in lines
    assert lines[-1] == "Installed awslabs.eks-mcp-server==0.2.1"


def test_what_is_there_is_not_installed_again(tmp_path: Path) -> None:
    first = _install(tmp_path, [])
    lines: list[str] = []
    assert _install(tmp_path, lines) == first
    assert lines == ["awslabs.eks-mcp-server==0.2.1 is already there"]


def test_a_failure_says_the_last_line_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        _install(tmp_path, [], works=False)
    assert "No matching distribution" in caught.value.message
    assert "HTTPS_PROXY" in caught.value.remedy
    assert installed_program(PRESETS["eks"], tmp_path / "state") is None
    assert not (tmp_path / "state" / "upstreams" / "eks-0.2.1").exists()


def test_what_an_interruption_left_is_made_anew(tmp_path: Path) -> None:
    program = _install(tmp_path, [])
    (program.parent.parent / "mcpwatch-installed.json").unlink()
    assert _install(tmp_path, []) == program


def test_an_environment_that_lost_its_python_is_made_anew(tmp_path: Path) -> None:
    program = _install(tmp_path, [])
    (program.parent / "python").unlink()
    assert installed_program(PRESETS["eks"], tmp_path / "state") is None
    assert _install(tmp_path, []) == program


def test_two_at_once_install_once(tmp_path: Path) -> None:
    python = _python(tmp_path)

    def one() -> None:
        install("eks", environ={"PATH": "/bin"}, state_dir=tmp_path / "state", progress=lambda _: None, python=python)

    threads = [threading.Thread(target=one) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "log").read_text() == "venv\n"


def test_npm_packages_are_installed_by_npm(tmp_path: Path) -> None:
    body = (
        "import pathlib, sys\n"
        "folder = pathlib.Path(sys.argv[sys.argv.index('--prefix') + 1]) / 'node_modules' / '.bin'\n"
        "folder.mkdir(parents=True)\n"
        "(folder / 'mcp-server-everything').write_text(sys.argv[-1])\n"
    )
    script(tmp_path / "bin", "npm", body)
    state = tmp_path / "state"
    program = install("everything", environ={"PATH": str(tmp_path / "bin")}, state_dir=state, progress=lambda _: None)
    assert program.read_text() == "@modelcontextprotocol/server-everything@2026.8.31"


@pytest.mark.parametrize(("name", "said"), [("demo", "built in"), ("x", "no preset"), ("everything", "npm")])
def test_what_cannot_be_installed_is_said(name: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        install(name, environ={"PATH": ""}, state_dir=tmp_path, progress=lambda _: None)
    assert said in caught.value.message
