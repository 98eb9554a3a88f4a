"""Keeps the grants with policies of their own in step with the grants file, also for a grant made a moment ago."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from mcpwatch.errors import ConfigError
from mcpwatch.gateway.grants import Grant, Grants
from mcpwatch.service.log import log
from mcpwatch.service.policies import Judge, Policies

_LOOK_S = 1.0


class GrantWatch:
    """`judge` is what the gateway asks for every call; `keep` follows the file until cancelled.

    `revoked` is told the label of each grant that is gone.
    """

    def __init__(self, grants: Grants, policies: Policies, revoked: Callable[[str], None]) -> None:
        self._grants = grants
        self._policies = policies
        self._revoked = revoked
        self._labels: set[str] = set()
        self._seen = 0

    def judge(self, upstream: str, grant: str) -> Judge:
        # No call of a changed grant is judged by what it had before.
        self._look()
        return self._policies.judge(upstream, grant)

    async def keep(self) -> None:
        """Also when nobody calls; and what `judge` put in force goes into the audit."""
        while True:
            await asyncio.sleep(_LOOK_S)
            self._look()
            await self._policies.settle()

    def _look(self) -> None:
        self._grants.refresh()
        if self._grants.version != self._seen:
            self._learn()
            self._seen = self._grants.version

    def _learn(self) -> None:
        try:
            listed = self._grants.listed()
            own = {grant.label: _policy_path(grant) for grant in listed if grant.policy}
        except ConfigError as fault:
            log.error("%s", fault.message)
            return
        labels = {grant.label for grant in listed}
        for label in self._labels - labels:
            self._revoked(label)
        self._labels = labels
        for label, path in self._policies.grants().items():
            if own.get(label) != path:
                self._policies.drop_grant(label)
        for label, path in own.items():
            if label not in self._policies.grants():
                self._policies.add_grant(label, path)


def _policy_path(grant: Grant) -> Path:
    return Path(grant.policy).expanduser().absolute()
