"""The presets, as data: what each upstream is, its pinned version, what its process may see, what it needs.

Source of names and versions: PyPI and npm, November 2026. Source of the variables: what the servers read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from mcpwatch.upstreams.environment import AWS, NETWORK

Origin = Literal["built in", "pypi", "npm"]


@dataclass(frozen=True, slots=True)
class Preset:
    """One upstream that mcpwatch knows by name.

    `program` is looked for on PATH, `package` and `version` are what gets installed. `env` is what the process may
    see beyond the base. `args` always stand behind the program. `wants` describes arguments that the user must give
    after `--` ("" when none). `needs` is for people. `policy` names the recommended example policy, whose folder
    `policy_folder` stands for the one that is served.
    """

    name: str
    title: str
    origin: Origin
    policy: str
    package: str = ""
    version: str = ""
    program: str = ""
    env: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    wants: str = ""
    needs: tuple[str, ...] = ()
    policy_folder: str = ""
    demo: bool = False

    @property
    def pinned(self) -> str:
        """The package with its version, as pip and npm write it ("" for the built-in one)."""
        if not self.package:
            return ""
        return f"{self.package}{'@' if self.origin == 'npm' else '=='}{self.version}"


_FOLDER = "/srv/agents"

_ALL = (
    Preset(
        name="demo",
        title="Demo cluster (built in, nothing real is touched)",
        origin="built in",
        policy="demo",
        env=("PYTHONPATH", "PYTHONDONTWRITEBYTECODE"),
        args=("--allow-write", "--allow-sensitive-data-access"),
        demo=True,
    ),
    Preset(
        name="eks",
        title="Amazon EKS",
        origin="pypi",
        policy="eks-readonly",
        package="awslabs.eks-mcp-server",
        version="0.2.1",
        program="awslabs.eks-mcp-server",
        env=(*AWS, *NETWORK, "KUBECONFIG", "EKS_AUTH_MODE", "LOGURU_LEVEL", "UV_*"),
        needs=(
            "a region (AWS_REGION, AWS_DEFAULT_REGION or a profile with one), or EKS_AUTH_MODE=kubeconfig",
            "AWS credentials for the calls themselves (AWS_PROFILE or keys)",
        ),
    ),
    Preset(
        name="agentcore",
        title="Amazon Bedrock AgentCore",
        origin="pypi",
        policy="agentcore",
        package="awslabs.amazon-bedrock-agentcore-mcp-server",
        version="0.2.1",
        program="awslabs.amazon-bedrock-agentcore-mcp-server",
        env=(*AWS, *NETWORK, "LOGURU_LEVEL", "UV_*"),
        needs=("AWS credentials and a region for the calls themselves",),
    ),
    Preset(
        name="everything",
        title="Everything (the protocol's test server)",
        origin="npm",
        policy="observe-first",
        package="@modelcontextprotocol/server-everything",
        version="2026.8.31",
        program="mcp-server-everything",
        env=(*NETWORK, "NODE_EXTRA_CA_CERTS"),
        needs=("Node 20 or newer",),
    ),
    Preset(
        name="filesystem",
        title="Files of one folder",
        origin="npm",
        policy="filesystem",
        package="@modelcontextprotocol/server-filesystem",
        version="2026.8.31",
        program="mcp-server-filesystem",
        env=(*NETWORK, "NODE_EXTRA_CA_CERTS"),
        wants="/path/to/folder",
        needs=("Node 20 or newer", "the folder it may serve, after --"),
        policy_folder=_FOLDER,
    ),
    Preset(
        name="time",
        title="Time and time zones",
        origin="pypi",
        policy="observe-first",
        package="mcp-server-time",
        version="2026.10.19",
        program="mcp-server-time",
        env=("UV_*",),
    ),
    Preset(
        name="git",
        title="One Git repository",
        origin="pypi",
        policy="git",
        package="mcp-server-git",
        version="2026.10.19",
        program="mcp-server-git",
        env=("UV_*",),
        wants="--repository /path/to/repository",
        needs=("git", "the repository it may touch, after --"),
        policy_folder=_FOLDER,
    ),
)

PRESETS: Mapping[str, Preset] = MappingProxyType({preset.name: preset for preset in _ALL})
"""The presets by name, in the order they are shown in."""
