"""Keeps the grants with policies of their own in step with the grants file, also for a grant made a moment ago."""

from __future__ import annotations

import asyncio
from pathlib import Path

from mcpwatch.errors import ConfigError
from mcpwatch.gateway.grants import Grant, Grants
from mcpwatch.service.log import log
from mcpwatch.service.policies import Judge, Policies

_LOOK_S = 1.0


class GrantWatch:
    """`judge` is what the gateway asks for every call; `keep` follows the file until cancelled."""

    def __init__(self, grants: Grants, policies: Policies) -> None:
        self._grants = grants
        self._policies = policies
        self._known: frozenset[str] = frozenset()

    def judge(self, upstream: str, grant: str) -> Judge:
        if grant not in self._known:
            self._learn()
            self._known |= {grant}
        return self._policies.judge(upstream, grant)

    async def keep(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            self._learn()
            await self._policies.settle()

    def _learn(self) -> None:
        try:
            listed = self._grants.listed()
        except ConfigError as fault:
            log.error("%s", fault.message)
            return
        own = {grant.label: _policy_path(grant) for grant in listed if grant.policy}
        for label, path in self._policies.grants().items():
            if own.get(label) != path:
                self._policies.drop_grant(label)
        for label, path in own.items():
            if label not in self._policies.grants():
                self._policies.add_grant(label, path)
        self._known = frozenset(grant.label for grant in listed)


def _policy_path(grant: Grant) -> Path:
    return Path(grant.policy).expanduser().absolute()
