"""Where things live on disk, and how they are written so that nobody else can read them.

Folders are 0700 and files 0600 whatever the umask. Locations follow the XDG base directory specification.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import re
import stat
import tempfile
import time
from pathlib import Path

from mcpwatch.errors import ConfigError

SOCKET_BYTES = 107
"""Longest path of a Unix socket: `sun_path` has 108 bytes on Linux, the last one is the terminating zero."""

_INSTANCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_PACKAGE = Path(__file__).resolve().parent


def config_dir() -> Path:
    """The folder of policies, themes, keymap and config.toml. It need not exist."""
    return _xdg("XDG_CONFIG_HOME", ".config") / "mcpwatch"


def state_dir(option: str | Path | None = None) -> Path:
    """The folder of audit, grants and remembered choices: `option` (--state-dir) or the XDG state folder."""
    return Path(option).expanduser().absolute() if option else _xdg("XDG_STATE_HOME", ".local/state") / "mcpwatch"


def instance_dir(instance: str, option: str | Path | None = None) -> Path:
    """The state of one instance. Instances share nothing, so each but the default one has a folder of its own."""
    check_instance(instance)
    base = state_dir(option)
    return base if instance == "default" else base / "instances" / instance


def check_instance(instance: str) -> None:
    """Raise ConfigError when `instance` cannot be a file name everywhere."""
    if not _INSTANCE.match(instance):
        raise ConfigError(
            f'"{_shown(instance)}" cannot name an instance',
            "Use letters, digits, dot, dash and underscore, at most 64, beginning with a letter or digit.",
        )


def socket_path(instance: str, option: str | Path | None = None) -> Path:
    """The control socket of an instance. A path too long for a socket is moved to a short private folder."""
    check_instance(instance)
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if option is None and runtime.startswith("/"):
        wanted = Path(runtime) / "mcpwatch" / f"{instance}.sock"
    else:
        wanted = state_dir(option) / f"{instance}.sock"
    if len(os.fsencode(wanted)) <= SOCKET_BYTES:
        return wanted
    digest = hashlib.sha256(os.fsencode(wanted)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"mcpwatch-{os.getuid()}" / f"{digest}.sock"


def data_file(kind: str, name: str) -> Path | None:
    """A shipped file, `kind` being `themes` or `example-policies`; None when there is none of that name."""
    if Path(name).name != name:
        return None
    found = (folder / name for folder in _data_folders(kind))
    return next((path for path in found if path.is_file()), None)


def data_names(kind: str) -> list[str]:
    """The names of all shipped files of one kind, sorted."""
    return sorted(
        {p.name for folder in _data_folders(kind) if folder.is_dir() for p in folder.iterdir() if p.is_file()}
    )


def private_dir(path: Path) -> Path:
    """Make a folder (and its parents) that only its owner can enter; an existing one of ours is tightened.

    Raises ConfigError when it belongs to someone else or cannot be made.
    """
    try:
        _make_private(path)
        info = path.stat()
        if not stat.S_ISDIR(info.st_mode):
            raise ConfigError(f"{path} is a file, not a folder", "Choose another folder with --state-dir.")
        if info.st_uid != os.getuid():
            raise ConfigError(f"{path} belongs to another user", "Choose another folder with --state-dir.")
        if info.st_mode & stat.S_ISVTX:
            raise ConfigError(f"{path} is shared by all users of this machine", "Choose a folder of your own.")
        if stat.S_IMODE(info.st_mode) & 0o077:
            path.chmod(0o700)
    except OSError as fault:
        raise ConfigError(
            f"cannot use the folder {path}: {fault.strerror}", "Choose another one with --state-dir."
        ) from fault
    return path


def private_write(path: Path, data: bytes) -> None:
    """Write a whole file, 0600, so that readers see the old or the new text and a crash leaves one of both."""
    replace_file(path, data, 0o600)


def replace_file(path: Path, data: bytes, mode: int) -> None:
    """Write `data` beside `path`, make it durable, give it `mode` and rename it over `path`. Raises OSError."""
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def others_can_write(path: Path) -> bool:
    """Whether users outside owner and root may change `path` or, through a folder without sticky bit, replace it."""
    try:
        file, folder = path.stat().st_mode, path.resolve().parent.stat().st_mode
    except OSError:
        return False
    return bool(file & stat.S_IWOTH) or bool(folder & stat.S_IWOTH and not folder & stat.S_ISVTX)


def tightened(folder: Path) -> list[Path]:
    """Files of ours in `folder` that others could write; they cannot any longer."""
    found: list[Path] = []
    for path in sorted(folder.iterdir()):
        info = path.lstat()
        if stat.S_ISREG(info.st_mode) and info.st_uid == os.getuid() and info.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            path.chmod(0o600)
            found.append(path)
    return found


def _make_private(path: Path) -> None:
    missing = [path, *path.parents]
    for folder in reversed(missing[: next((i for i, p in enumerate(missing) if p.exists()), len(missing))]):
        folder.mkdir(mode=0o700, exist_ok=True)
        folder.chmod(0o700)


def _data_folders(kind: str) -> tuple[Path, Path]:
    return _PACKAGE / "_files" / kind, _PACKAGE.parent / kind


def _xdg(variable: str, fallback: str) -> Path:
    value = os.environ.get(variable, "")
    return Path(value) if value.startswith("/") else _home() / fallback


def _home() -> Path:
    """HOME, or what the user database says when it is empty or no whole path: files must not land where we started."""
    home = os.environ.get("HOME", "")
    if home.startswith("/"):
        return Path(home)
    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        raise ConfigError("this user has no home folder", "Set HOME, or XDG_CONFIG_HOME and XDG_STATE_HOME.") from None


def _shown(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode()[:40]


class Stamp:
    """Tells a changed file from an unchanged one by time of change, size and inode."""

    PAUSE_S = 0.005
    """Between two looks that `changed` takes: a busy caller asks for every call, and each look is a system call."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self._seen: tuple[int, int, int] | None = None
        self._next_s = 0.0

    def changed(self, *, now: bool = False) -> bool:
        """Whether the file is another one than at the last look (or at `take`); `now` looks whatever the pause."""
        at_s = time.monotonic()
        if at_s < self._next_s and not now:
            return False
        self._next_s = at_s + self.PAUSE_S
        return self._look() != self._seen

    def take(self) -> bool:
        """Take the file as it is for the known one; False when there is none."""
        self._seen = self._look()
        return self._seen is not None

    def forget(self) -> None:
        """Take the file for a changed one at the next look."""
        self._seen = None

    def _look(self) -> tuple[int, int, int] | None:
        try:
            info = os.stat(self._path)
        except OSError:
            return None
        return info.st_mtime_ns, info.st_size, info.st_ino
