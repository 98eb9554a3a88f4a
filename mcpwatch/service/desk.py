"""What the operator's API serves, put together from the rooms: implements `control.operations.Operations`."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mcpwatch.audit import query
from mcpwatch.audit.journal import AuditLog
from mcpwatch.config import GatewayOptions
from mcpwatch.control.feed import Feed
from mcpwatch.control.operations import (
    Changed,
    HoldAnswer,
    Invalid,
    Object,
    SaveAnswer,
    Saved,
    problem_json,
)
from mcpwatch.errors import ConfigError
from mcpwatch.filters import parse_filter
from mcpwatch.gateway.app import Gateway
from mcpwatch.gateway.holds import Hold
from mcpwatch.policy.values import CounterState, PolicyError
from mcpwatch.policyfile import Conflict
from mcpwatch.records import counter_json, rfc3339
from mcpwatch.service.policies import Judge, Policies
from mcpwatch.service.shared import SharedCounters
from mcpwatch.service.upstreams import Upstreams

_SEARCH_MS = 500
"""How long one question to the audit may take; what was found until then is answered, with where to go on."""
_SHOWN_CALLS = 1000
_SHOWN_COUNTERS = 1000
_IN_MEMORY = {"store": "memory:", "state": "ok", "error": None, "emptied_at": None}


@dataclass(slots=True)
class Desk:
    """One running gateway as the operator sees and changes it. `end` asks the service to stop."""

    options: GatewayOptions
    pid: int
    endpoints: Mapping[str, str]
    token: str
    audit: AuditLog
    gateway: Gateway
    policies: Policies
    upstreams: Upstreams
    feed: Feed
    now_ms: Callable[[], int]
    end: Callable[[], None]
    traffic: Callable[[], bool]
    shared: SharedCounters | None = None
    _began: float = field(default_factory=time.monotonic)

    def status(self) -> Object:
        audit = self.audit.state
        return {
            "instance": self.options.place.instance,
            "pid": self.pid,
            "uptime_s": round(time.monotonic() - self._began, 3),
            "endpoints": dict(self.endpoints),
            "policies": {judge.name: self._policy_status(judge) for judge in self.policies.judges()},
            "upstreams": {name: self._upstream_status(name) for name in self.upstreams.specs},
            "counters": list(self.counters()),
            "holds": [self._hold_json(hold) for hold in self.gateway.holds.waiting()],
            "late_holds": [self._hold_json(hold) for hold in self.gateway.holds.late()],
            "frozen": sorted(self.gateway.freeze.scopes),
            "consoles": len(self.feed),
            "audit": {
                "rows": self.audit.rows,
                "state": audit.state,
                "error": audit.error or None,
                "durability": self.options.durability,
            },
            "demo": any(spec.demo for spec in self.upstreams.specs.values()),
            "traffic": self.traffic(),
            "counter_store": _IN_MEMORY if self.shared is None else self.shared.status(),
        }

    async def hello(self) -> Object:
        found = await self.search("", 0, 0, _SHOWN_CALLS)
        return {
            "status": self.status(),
            "calls": found["rows"],
            "tools": {name: list(tools) for name, tools in self.upstreams.tools.items()},
            "policies": {judge.name: self.policy(judge.name) for judge in self.policies.judges()},
            "counters": list(self.counters()),
            "connect": self.connect(),
        }

    async def refresh(self) -> None:
        if self.shared is not None:
            await self.shared.refresh(self.policies)

    def counters(self) -> Sequence[Mapping[str, Any]]:
        """Those nearest to their limit first, at most a thousand: a scope of arguments can have very many."""
        if self.shared is not None:
            states = [(s, upstream) for upstream, found in self.shared.states.items() for s in found]
        else:
            now = self.now_ms()
            states = [(s, judge.upstream) for judge in self.policies.judges() for s in judge.engine.counters(now)]
        nearest = heapq.nlargest(_SHOWN_COUNTERS, states, key=_fullness)
        return [{**counter_json(state), "upstream": upstream} for state, upstream in nearest]

    def policy(self, upstream: str) -> Object:
        """`text` and `digest` are the file's as last read, also when it is not in force; `problems` say so then."""
        judge = self.policies.judge(upstream)
        reading = judge.file.reading
        return {
            "file": str(judge.file.path),
            "text": reading.text.decode("utf-8", "replace") if reading else "",
            "digest": reading.digest if reading else "",
            "installed": judge.engine.policy.digest if judge.engine.policy else "",
            "problems": [problem_json(problem) for problem in self.policies.remarks(upstream)],
        }

    async def save_policy(self, upstream: str, text: str, base_digest: str, by: str) -> SaveAnswer:
        try:
            result = await self.policies.save(upstream, text.encode("utf-8"), base_digest, by or "console")
        except PolicyError as fault:
            return Invalid(fault.problems)
        if isinstance(result, Conflict):
            return Changed(result.digest, result.text.decode("utf-8", "replace"))
        return Saved(result.digest)

    async def history(self, upstream: str) -> Object:
        path = self.options.place.audit
        return {"policies": await asyncio.to_thread(query.policies, path, upstream)}

    async def search(self, filter_text: str, since_ms: int, before_seq: int, limit: int) -> Object:
        wanted = parse_filter(filter_text)
        path = self.options.place.audit
        found = await asyncio.to_thread(query.page, path, wanted, since_ms, before_seq, limit, _SEARCH_MS)
        return {"rows": found.rows, "before_seq": found.before_seq}

    async def show(self, seq: int) -> Object:
        found = await asyncio.to_thread(query.show, self.options.place.audit, seq)
        if found is None:
            raise ConfigError(f"the audit has no call {seq}")
        return found

    async def hold(self, answer: HoldAnswer) -> Object:
        await self.gateway.holds.decide(
            answer.call_id,
            approve=answer.action == "approve",
            by=answer.by or "console",
            reason=answer.reason,
            remember=answer.remember,
        )
        return {"call_id": answer.call_id, "action": answer.action}

    async def freeze(self, grant: str, tool: str, on: bool, by: str) -> Object:
        scopes = [*([f"grant:{grant}"] if grant else []), *([f"tool:{tool}"] if tool else [])] or ["*"]
        for scope in scopes:
            await self.gateway.freeze.set(scope, on=on, by=by or "console")
        return {"frozen": sorted(self.gateway.freeze.scopes)}

    def connect(self) -> Object:
        return {"endpoints": dict(self.endpoints), "token": "" if self.options.open else self.token}

    def stop(self) -> None:
        self.end()

    def _policy_status(self, judge: Judge) -> Object:
        policy = judge.engine.policy
        return {
            "file": str(judge.file.path),
            "hash": policy.digest if policy else "",
            "installed_at": rfc3339(judge.installed_at_ms) if policy else None,
            "error": judge.error,
        }

    def _upstream_status(self, name: str) -> Object:
        event = self.upstreams.states.get(name)
        spec = self.upstreams.specs[name]
        return {
            "state": event.state if event else "starting",
            "error": (event.error or None) if event else None,
            "remedy": event.remedy if event else "",
            "title": spec.title,
            "tools": len(self.upstreams.tools.get(name, ())),
        }

    @staticmethod
    def _hold_json(hold: Hold) -> Object:
        record = hold.record
        return {
            "call_id": record.call_id,
            "upstream": record.upstream,
            "grant": record.grant,
            "tool": record.tool,
            "args": record.args,
            "rule": hold.rule,
            "at": rfc3339(record.at_ms),
            "expires_at": rfc3339(hold.expires_at_ms),
        }


def _fullness(counted: tuple[CounterState, str]) -> float:
    state = counted[0]
    return state.used / state.max if state.max else 1.0
