"""From `--upstream TEXT` to a spec."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from mcpwatch.errors import ConfigError
from mcpwatch.upstreams.install import environment_dir
from mcpwatch.upstreams.presets import PRESETS, NotInstalled, UpstreamSpec, availability, recommended_policy, resolve
from tests.upstreams.stubs import script


def _resolve(text: str, tmp_path: Path, *, path: Path | None = None, **more: list[str]) -> UpstreamSpec:
    environ = {"PATH": str(path or tmp_path / "empty"), "HOME": "/home/x", "AWS_REGION": "eu-west-1", "OTHER": "secret"}
    return resolve(
        text,
        environ=environ,
        state_dir=tmp_path / "state",
        extra_env=more.get("env", []),
        extra_args=more.get("args", []),
    )


def _installed(tmp_path: Path, name: str) -> Path:
    preset = PRESETS[name]
    folder = environment_dir(preset, tmp_path / "state")
    place = "node_modules/.bin" if preset.origin == "npm" else "bin"
    script(folder / "bin", "python", "")
    program = script(folder / place, preset.program, "")
    (folder / "mcpwatch-installed.json").write_text("{}")
    return program


def test_the_demo_needs_nothing_and_takes_no_module_from_the_current_folder(tmp_path: Path) -> None:
    spec = _resolve("demo", tmp_path)
    assert spec.command[:4] == (sys.executable, "-P", "-m", "mcpwatch.demo")
    assert (spec.kind, spec.demo, spec.policy, spec.source) == ("stdio", True, "demo", "built in")


def test_a_program_on_the_path_comes_first(tmp_path: Path) -> None:
    program = script(tmp_path / "bin", "awslabs.eks-mcp-server", "")
    script(tmp_path / "bin", "uvx", "")
    _installed(tmp_path, "eks")
    spec = _resolve("eks", tmp_path, path=tmp_path / "bin")
    assert (spec.command, spec.source, spec.policy) == ((str(program),), "program", "eks-readonly")


def test_uvx_comes_before_the_own_environment_and_gets_the_pinned_version(tmp_path: Path) -> None:
    uvx = script(tmp_path / "bin", "uvx", "")
    _installed(tmp_path, "eks")
    spec = _resolve("eks", tmp_path, path=tmp_path / "bin")
    assert spec.command == (str(uvx), "--from", "awslabs.eks-mcp-server==0.2.1", "awslabs.eks-mcp-server")


def test_the_own_environment_is_used_when_it_was_finished(tmp_path: Path) -> None:
    program = _installed(tmp_path, "eks")
    assert _resolve("eks", tmp_path).command == (str(program),)
    (program.parent.parent / "mcpwatch-installed.json").unlink()
    with pytest.raises(NotInstalled):
        _resolve("eks", tmp_path)


def test_npm_packages_start_by_npx_unless_they_have_an_own_environment(tmp_path: Path) -> None:
    npx = script(tmp_path / "bin", "npx", "")
    spec = _resolve("everything", tmp_path, path=tmp_path / "bin")
    assert spec.command == (str(npx), "-y", "@modelcontextprotocol/server-everything@2026.8.31")
    program = _installed(tmp_path, "everything")
    assert _resolve("everything", tmp_path, path=tmp_path / "bin").command == (str(program),)


def test_a_missing_program_names_the_one_command_that_installs_it(tmp_path: Path) -> None:
    with pytest.raises(NotInstalled) as caught:
        _resolve("eks", tmp_path)
    assert caught.value.command == "mcpwatch upstream install eks"
    assert caught.value.command in caught.value.remedy
    assert availability(PRESETS["eks"], {"PATH": ""}, tmp_path) == "not installed"


def test_a_command_line_keeps_the_presets_environment_and_policy(tmp_path: Path) -> None:
    program = script(tmp_path / "my tools", "server", "")
    spec = _resolve(f'eks="{program}" --flag "two words"', tmp_path, args=["--more"])
    assert spec.command == (str(program), "--flag", "two words", "--more")
    assert (spec.env_names, spec.policy, spec.preset) == (("AWS_REGION", "HOME", "PATH"), "eks-readonly", "eks")


def test_an_own_command_sees_only_what_it_needs_to_run(tmp_path: Path) -> None:
    program = script(tmp_path, "server", "")
    assert _resolve(f"mine={program}", tmp_path).env_names == ("HOME", "PATH")
    spec = _resolve(f"mine={program}", tmp_path, env=["OTHER", "NEW=a=b"])
    assert (spec.env["OTHER"], spec.env["NEW"]) == ("secret", "a=b")
    assert "secret" not in repr(spec)


def test_a_url_is_reached_by_http(tmp_path: Path) -> None:
    spec = _resolve("remote=https://example.com:8443/mcp?x=1", tmp_path)
    assert (spec.kind, spec.url, spec.command, spec.env) == ("http", "https://example.com:8443/mcp?x=1", (), {})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ekss", 'Did you mean "eks"?'),
        ("http://127.0.0.1:1/mcp", "--upstream NAME=http://127.0.0.1:1/mcp"),
        ("EKS=http://127.0.0.1:1/mcp", "cannot name an upstream"),
        ("a/b=http://127.0.0.1:1/mcp", "cannot name an upstream"),
        ("=http://127.0.0.1:1/mcp", "cannot name an upstream"),
        ("x=", "neither a URL nor a command"),
        ("x=no-such-program-here --flag", "no-such-program-here"),
        ("x='open", "open quote"),
        ("x=http://", "cannot be read"),
        ("x=http://host:99999/mcp", "cannot be read"),
        ("x=https://user:pass@example.com/mcp", "credentials"),
        ("filesystem", "filesystem -- /path/to/folder"),
        ("git", "git -- --repository"),
    ],
)
def test_what_means_nothing_is_said_with_the_remedy(text: str, said: str, tmp_path: Path) -> None:
    script(tmp_path / "bin", "npx", "")
    script(tmp_path / "bin", "mcp-server-git", "")
    with pytest.raises(ConfigError) as caught:
        _resolve(text, tmp_path, path=tmp_path / "bin")
    assert said in f"{caught.value.message} {caught.value.remedy}"
    assert caught.value.remedy
    assert "pass@" not in caught.value.message


@pytest.mark.parametrize("option", ["OTHER_THING", "", "=x", "9X=1", "A B=1"])
def test_an_environment_option_that_means_nothing_is_refused(option: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        _resolve("demo", tmp_path, env=[option])


def test_arguments_for_a_url_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        _resolve("x=http://127.0.0.1:1/mcp", tmp_path, args=["--flag"])


def test_the_recommended_policy_speaks_of_the_folder_that_is_served(tmp_path: Path) -> None:
    script(tmp_path / "bin", "npx", "")
    spec = _resolve("filesystem", tmp_path, path=tmp_path / "bin", args=["/data/a.b (1)"])
    text = recommended_policy(spec, '{"value": "^/srv/agents(/[^/]+)*$"}')
    pattern: str = json.loads(text)["value"]
    assert re.search(pattern, "/data/a.b (1)/x")
    assert not re.search(pattern, "/data/aXb (1)/x")
    assert recommended_policy(_resolve("demo", tmp_path), "/srv/agents") == "/srv/agents"


def test_every_preset_is_pinned_and_recommends_a_policy_that_is_there() -> None:
    policies = {path.stem for path in Path("example-policies").glob("*.json")}
    assert {p.policy for p in PRESETS.values()} <= policies
    assert all(p.version for p in PRESETS.values() if p.package)
    assert set(PRESETS) == {"demo", "eks", "agentcore", "everything", "filesystem", "time", "git"}
