"""From what the operator wrote after `--upstream` to an UpstreamSpec.

The order in which the program of a preset is looked for: a command given by the operator (`eks=COMMAND LINE`), the
program on PATH, `uvx` when there, its own environment made by `mcpwatch upstream install`. For npm packages the own
environment comes before `npx`: npm always brings npx along, so it would never be used otherwise.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from mcpwatch.errors import ConfigError
from mcpwatch.upstreams.catalogue import PRESETS, Preset
from mcpwatch.upstreams.environment import extra, pick
from mcpwatch.upstreams.install import installed_program
from mcpwatch.upstreams.spec import NotInstalled, NotThere, Source, UpstreamSpec

__all__ = ["PRESETS", "NotInstalled", "Preset", "UpstreamSpec", "availability", "recommended_policy", "resolve"]

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}\Z")
_WAYS = "NAME, NAME=URL or NAME=COMMAND LINE"


def resolve(
    text: str,
    *,
    environ: Mapping[str, str],
    state_dir: Path,
    extra_env: Sequence[str] = (),
    extra_args: Sequence[str] = (),
    python: str = sys.executable,
) -> UpstreamSpec:
    """The upstream that `--upstream TEXT` means. `extra_env` are `--env` options, `extra_args` what stood after `--`.

    `environ` is the operator's environment, `state_dir` the state folder. Raises ConfigError, and NotInstalled when
    the program of a preset is nowhere.
    """
    name, given, rest = text.partition("=")
    _check_name(name, text)
    preset = PRESETS.get(name)
    if given and _is_url(rest):
        return _http(name, rest, preset, extra_args)
    if not given and preset is None:
        raise _unknown(name)
    added = extra(environ, extra_env)
    allowed = pick(environ, preset.env if preset else ())
    if given:
        command = _explicit(name, rest, environ)
        source: Source = "command"
    else:
        assert preset is not None
        command, source = _program(preset, environ, state_dir, python)
    args = (*(preset.args if preset and not given else ()), *extra_args)
    spec = UpstreamSpec(
        name=name,
        kind="stdio",
        command=(*command, *args),
        env={**allowed, **added},
        title=preset.title if preset else name,
        policy=preset.policy if preset else None,
        preset=preset.name if preset else None,
        demo=bool(preset and preset.demo and not given),
        source=source,
        version=preset.version if preset and source in ("uvx", "npx", "own environment") else "",
    )
    return _with_folder(spec, preset, extra_args) if preset and not given else spec


def availability(preset: Preset, environ: Mapping[str, str], state_dir: Path) -> str:
    """How the preset would start here, in a few words for a list: `built in`, a path, `uvx`, or `not installed`."""
    try:
        command, source = _program(preset, environ, state_dir, sys.executable)
    except NotInstalled:
        return "not installed"
    return {"program": command[0], "own environment": f"own environment ({preset.version})"}.get(source, source)


def recommended_policy(spec: UpstreamSpec, text: str) -> str:
    """The text of the recommended example policy, with the folder that it speaks of replaced by the one served."""
    if spec.policy_folder is None:
        return text
    written, served = spec.policy_folder
    # The folder stands inside regular expressions, and those inside JSON text.
    pattern = re.sub(r"[\\^$.|?*+()\[\]{}]", r"\\\g<0>", served)
    return text.replace(written, json.dumps(pattern, ensure_ascii=False)[1:-1])


def _check_name(name: str, text: str) -> None:
    if _is_url(text):
        raise ConfigError("--upstream wants a name before the URL", f"Write: --upstream NAME={text}")
    if not _NAME.match(name):
        raise ConfigError(
            f'"{_short(name)}" cannot name an upstream (it becomes part of the URL)',
            f"Use small letters, digits, - and _, at most 32: --upstream {_WAYS}",
        )


def _unknown(name: str) -> ConfigError:
    near = difflib.get_close_matches(name, PRESETS, n=1, cutoff=0.6)
    meant = f' Did you mean "{near[0]}"?' if near else ""
    return ConfigError(
        f'There is no preset "{name}".{meant}',
        f"Presets: {', '.join(PRESETS)}. Others: --upstream {name}=URL or COMMAND",
    )


def _is_url(text: str) -> bool:
    return text.startswith(("http://", "https://"))


def _http(name: str, url: str, preset: Preset | None, extra_args: Sequence[str]) -> UpstreamSpec:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ConfigError(f"The URL of {name} cannot be read", "Check host and port.") from None
    if not parts.hostname or parts.fragment or port == 0 or re.search(r"[\s\x00-\x1f]", url):
        raise ConfigError(f"The URL of {name} cannot be read", "Check host and port.")
    if parts.username or parts.password:
        raise ConfigError(
            f"The URL of {name} contains credentials, which every user of this machine can see",
            'Put them into "headers" of an .mcp.json and use --mcp-config FILE.',
        )
    if extra_args:
        raise ConfigError(f"{name} is reached by URL and takes no arguments", "Leave out what stands after --.")
    return UpstreamSpec(
        name=name,
        kind="http",
        url=url,
        title=preset.title if preset else name,
        policy=preset.policy if preset else None,
        preset=preset.name if preset else None,
        source="url",
    )


def _explicit(name: str, line: str, environ: Mapping[str, str]) -> tuple[str, ...]:
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise ConfigError(f"The command line of {name} has an open quote", "Close it.") from error
    if not words:
        raise ConfigError(f"--upstream {name}= names neither a URL nor a command", f"Write --upstream {_WAYS}.")
    if "://" in words[0]:
        raise ConfigError(f"The URL of {name} begins with neither http:// nor https://", f"Write --upstream {_WAYS}.")
    program = _which(words[0], environ)
    if program is None:
        raise NotThere(f'The program of {name} is not there: "{_short(words[0])}"', "Give its whole path.")
    return (program, *words[1:])


def _program(
    preset: Preset, environ: Mapping[str, str], state_dir: Path, python: str
) -> tuple[tuple[str, ...], Source]:
    if preset.origin == "built in":
        # -P: a module in the current folder must not stand in for a library.
        return (python, "-P", "-m", f"mcpwatch.{preset.name}"), "built in"
    if on_path := _which(preset.program, environ):
        return (on_path,), "program"
    if preset.origin == "pypi" and (uvx := _which("uvx", environ)):
        return (uvx, "--from", preset.pinned, preset.program), "uvx"
    if own := installed_program(preset, state_dir):
        return (str(own),), "own environment"
    if preset.origin == "npm" and (npx := _which("npx", environ)):
        return (npx, "-y", preset.pinned), "npx"
    raise NotInstalled(preset.name, preset.pinned, "npm" if preset.origin == "npm" else "")


def _which(program: str, environ: Mapping[str, str]) -> str | None:
    found = shutil.which(program, path=environ.get("PATH", os.defpath))
    return os.path.abspath(found) if found else None


def _with_folder(spec: UpstreamSpec, preset: Preset, extra_args: Sequence[str]) -> UpstreamSpec:
    if not preset.wants:
        return spec
    plain = [arg for arg in extra_args if not arg.startswith("-")]
    if not plain:
        raise ConfigError(
            f"The {preset.name} server must be told what it may touch",
            f"Write: --upstream {preset.name} -- {preset.wants}",
        )
    served = os.path.abspath(plain[0])
    return replace(spec, policy_folder=(preset.policy_folder, served), command=spec.command)


def _short(text: str) -> str:
    printable = "".join(c if c.isprintable() else "?" for c in text)
    return printable if len(printable) <= 60 else printable[:57] + "..."
