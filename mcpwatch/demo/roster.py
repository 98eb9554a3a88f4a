"""Who the demo's agents are. Light on purpose: whoever makes their grants need not import the protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Era = Literal["modern", "2025-06-18"]


@dataclass(frozen=True, slots=True)
class Role:
    """One agent: the grant it uses, the name and version its client gives, and the era it speaks."""

    grant: str
    client: str
    version: str
    era: Era = "modern"


ROLES = (
    Role("triage", "triage-agent", "1.4.0"),
    Role("deploy", "deploy-bot", "0.9.2", "2025-06-18"),
    Role("copilot", "ops-copilot", "5.2.1"),
    Role("runaway", "loop-agent", "0.1.0"),
    Role("patient", "patient-agent", "2.0.0"),
    Role("cleanup", "cleanup-job", "3.0.1"),
    Role("probe", "notes-assistant", "0.3.7"),
    Role("escalation", "helper-bot", "1.1.0"),
    Role("dashboard", "dashboard", "2.1.4"),
    Role("prototype", "my-first-agent", "0.0.1"),
)
"""The agents, in the order they start. All modern ones share a process of the upstream, the legacy one has its own."""

AGENTS = tuple(role.grant for role in ROLES)
"""The names under which `traffic` looks for tokens."""
