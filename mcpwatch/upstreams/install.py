"""Installs the pinned package of a preset into an environment of its own under the state folder.

A virtual environment knows its own path, so it cannot be built elsewhere and renamed: it is built in place and counts
only once a marker file is in it, which is renamed there as the very last step. What is found without it is rebuilt.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Mapping
from pathlib import Path

from mcpwatch.errors import ConfigError
from mcpwatch.upstreams.catalogue import PRESETS, Preset
from mcpwatch.upstreams.environment import NETWORK, pick

Progress = Callable[[str], None]

_MARKER = "mcpwatch-installed.json"
_NETWORK = (*NETWORK, "http_proxy", "https_proxy", "no_proxy", "PIP_*", "NODE_EXTRA_CA_CERTS", "npm_config_*")


def environment_dir(preset: Preset, state_dir: Path) -> Path:
    """Where the own environment of a preset stands, whether it is there or not. One folder a version."""
    return state_dir / "upstreams" / f"{preset.name}-{preset.version}"


def installed_program(preset: Preset, state_dir: Path) -> Path | None:
    """The program in the own environment of a preset, or None when that was never finished or lost its Python."""
    folder = environment_dir(preset, state_dir)
    npm = preset.origin == "npm"
    program = folder / ("node_modules/.bin" if npm else "bin") / preset.program
    whole = (folder / _MARKER).is_file() and program.exists() and (npm or (folder / "bin" / "python").exists())
    return program if whole else None


def install(
    name: str,
    *,
    environ: Mapping[str, str],
    state_dir: Path,
    progress: Progress,
    python: str = sys.executable,
) -> Path:
    """Install preset `name` and return its program. `progress` is told one line at a time.

    Does nothing when it is there already. Raises ConfigError with the last line of pip or npm; nothing half made
    counts afterwards. Blocks for a minute or so: call it from a thread when something else must go on.
    """
    preset = _installable(name)
    if there := installed_program(preset, state_dir):
        progress(f"{preset.pinned} is already there")
        return there
    folder = environment_dir(preset, state_dir)
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _alone(folder.parent / f".{folder.name}.lock"):
        if there := installed_program(preset, state_dir):
            return there
        _fresh(folder)
        try:
            _build(preset, folder, environ, progress, python)
            _mark(folder, preset)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    program = installed_program(preset, state_dir)
    if program is None:
        shutil.rmtree(folder, ignore_errors=True)
        raise ConfigError(f'{preset.pinned} brought no program "{preset.program}"', "Report this: the pin is wrong.")
    progress(f"Installed {preset.pinned}")
    return program


def _installable(name: str) -> Preset:
    preset = PRESETS.get(name)
    if preset is None:
        raise ConfigError(f'There is no preset "{name}"', f"Presets: {', '.join(PRESETS)}")
    if not preset.package:
        raise ConfigError(f'"{name}" is built in', "There is nothing to install.")
    return preset


@contextlib.contextmanager
def _alone(lock: Path) -> Generator[None]:
    """Two installations of one preset at the same time would spoil each other: the second one waits."""
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _fresh(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)


def _build(preset: Preset, folder: Path, environ: Mapping[str, str], progress: Progress, python: str) -> None:
    env = pick(environ, _NETWORK)
    if preset.origin == "npm":
        npm = shutil.which("npm", path=env.get("PATH", os.defpath))
        if npm is None:
            raise ConfigError(f"{preset.pinned} needs npm, which is not on this machine", "Install Node 20 or newer.")
        progress(f"Installing {preset.pinned} with npm")
        options = ["--prefix", str(folder), "--no-audit", "--no-fund", "--loglevel", "http"]
        _run([npm, "install", *options, preset.pinned], env, progress)
        return
    progress("Making a virtual environment")
    _run([python, "-m", "venv", str(folder)], env, progress)
    progress(f"Installing {preset.pinned} with pip")
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
    _run([*pip, "--progress-bar", "off", preset.pinned], env, progress)


def _run(command: list[str], env: Mapping[str, str], progress: Progress) -> None:
    """Run one command, telling every line. It gets a process group, so that nothing of it outlives an interruption."""
    last = ""
    with subprocess.Popen(
        command,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if text := line.strip():
                    last = text if not text.startswith(("note:", "hint:", "[notice]")) else last
                    progress(text)
            code = process.wait()
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
    if code != 0:
        raise ConfigError(f"The installation failed: {last or f'exit code {code}'}", _remedy(last))


def _remedy(last: str) -> str:
    if "ensurepip" in last or "venv" in last:
        return "This Python has no venv module. On Debian and Ubuntu: apt install python3-venv"
    if "No matching distribution" in last or "E404" in last:
        return "Is the package index reachable from here (proxy: HTTPS_PROXY, index: PIP_INDEX_URL)?"
    return "Is the network there? Behind a proxy, set HTTPS_PROXY."


def _mark(folder: Path, preset: Preset) -> None:
    draft = folder / f"{_MARKER}.part"
    draft.write_text(json.dumps({"package": preset.package, "version": preset.version}) + "\n", encoding="utf-8")
    draft.replace(folder / _MARKER)
