"""Folds what the gateway tells into what panels show. Pure: no clock (`tick` brings the time), no I/O, no Textual."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mcpwatch.console.meters import Latencies, Meter, Meters, Series
from mcpwatch.console.policies import OF_GRANT, PolicyView, first_error, unused_limits
from mcpwatch.console.ring import CAPACITY, REFUSED, Call, Record, Ring, moment_ms
from mcpwatch.console.wire import items, number, table, tables

Object = Mapping[str, Any]

TRAFFIC_SECONDS = 1800


@dataclass(slots=True)
class Upstream:
    """`state`: starting | ready | restarting | failed | stopped. `error`: its last line, `remedy`: what to do."""

    name: str
    state: str = ""
    error: str = ""
    remedy: str = ""
    tools: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    tools_at_ms: int = 0


@dataclass(slots=True)
class ToolStats:
    """What became of one tool's calls since this console attached (and in the snapshot it started from)."""

    calls: int = 0
    refused: int = 0
    held: int = 0
    failed: int = 0
    last_at_ms: int = 0
    latencies: Latencies = field(default_factory=Latencies)


@dataclass(slots=True)
class Hold:
    """A call that waits for an operator. `expires_at_ms` 0 when the gateway has not said."""

    call: Call
    opened_at_ms: int
    expires_at_ms: int


class Ledger:
    """Everything the console knows. Panels read its fields; only `hello`, `fold`, `status` and `tick` change them."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self.now_ms = 0
        self.calls = Ring(capacity)
        self.changed: list[int] = []
        """Numbers of calls whose record changed since the list was last emptied by who draws them."""
        self.meters = Meters()
        self.traffic = Series(TRAFFIC_SECONDS)
        self.refusals = Series(TRAFFIC_SECONDS)
        self.latencies = Latencies()
        self.tools: dict[tuple[str, str], ToolStats] = {}
        self.upstreams: dict[str, Upstream] = {}
        self.offered: set[str] = set()
        """Names of all tools that the upstreams offer."""
        self.policies: dict[str, PolicyView] = {}
        self.grant_faults: dict[str, str] = {}
        """Grants whose own policy file is broken, and the first fault."""
        self.holds: dict[str, Hold] = {}
        self.frozen: set[str] = set()
        self.connect: dict[str, Any] = {}
        self.state: dict[str, Any] = {}
        """The gateway's last `status`."""
        self.audit_state = "ok"
        self.audit_error = ""
        self.counters_error = ""
        """Why shared counters give no answer, "" while they do."""
        self.counters_emptied_ms = 0
        """When shared counters were found to have begun anew, 0 for never."""
        self.refused = 0
        self.dropped = 0
        self.unread = 0
        self._folds: dict[str, Callable[[Object], None]] = {
            "hello": self.hello,
            "call_decided": lambda event: self._decided(event["record"]),
            "call_settled": lambda event: self._settled(event["outcome"]),
            "counters": lambda event: self._counters(event["counters"]),
            "policy_installed": self._installed,
            "policy_rejected": self._rejected,
            "upstream_changed": self._upstream,
            "tools_changed": lambda event: self._tools(event["upstream"], event["tools"], moment_ms(event["at_ms"])),
            "hold_opened": self._hold_opened,
            "hold_closed": self._hold_closed,
            "frozen": lambda event: self._freeze(str(event["scope"]), event["on"] is True),
            "audit_state": lambda event: self._audit(event["state"], event.get("error", "")),
            "counters_state": self._counter_store,
            "dropped": self._lost,
            "status": lambda event: self.status(event["status"]),
        }

    def tick(self, now_ms: int) -> None:
        """Time goes on."""
        self.now_ms = now_ms

    def fold(self, event: Object) -> None:
        """Take one event of the feed. What a gateway of another version tells in other words is counted in `unread`."""
        handler = self._folds.get(str(event.get("type")))
        if handler is None:
            return
        try:
            handler(event)
        except (KeyError, TypeError, ValueError, AttributeError):
            self.unread += 1

    def hello(self, event: Object) -> None:
        """A snapshot: everything known before is replaced; numbers of calls go on."""
        self._forget()
        self.status(table(event.get("status")))
        self._restore()
        self.connect = table(event.get("connect"))
        for upstream, policy in table(event.get("policies")).items():
            self.policies[upstream] = PolicyView.read(upstream, policy, self._installed_at(upstream))
        for upstream, tools in table(event.get("tools")).items():
            self._tools(upstream, tools, 0)
        for record in tables(event.get("calls")):
            self._decided(record)
        self._restore_holds()
        self._counters(tables(event.get("counters")))
        for upstream in self.policies:
            self._declare(upstream)

    def status(self, status: Object) -> None:
        """The gateway's summary, asked for now and then, for what no event tells."""
        self.state = dict(status)

    @property
    def rate(self) -> float:
        """Calls a second over the last five seconds."""
        return self.traffic.rate(self.now_ms, 5)

    def waiting(self) -> list[Hold]:
        """Calls that wait for an operator, the one with the least time left first."""
        return sorted(self.holds.values(), key=lambda hold: hold.expires_at_ms or hold.opened_at_ms)

    def limits(self) -> list[Meter]:
        """Limits, nearest to exhaustion first."""
        return self.meters.nearest(self.now_ms)

    def stats(self, upstream: str, tool: str) -> ToolStats:
        """The figures of one tool; all zero when it was not called."""
        return self.tools.get((upstream, tool)) or ToolStats()

    def _forget(self) -> None:
        self.calls.clear()
        self.changed.clear()
        self.meters.clear()
        self.traffic, self.refusals = Series(TRAFFIC_SECONDS), Series(TRAFFIC_SECONDS)
        self.latencies = Latencies()
        for known in (self.tools, self.upstreams, self.policies, self.grant_faults, self.holds):
            known.clear()
        self.refused = self.dropped = 0

    def _decided(self, row: Record) -> None:
        call = self.calls.named(str(row.get("call_id", "")))
        if call is None:
            call = self.calls.append(row)
            self._count(call)
        else:
            self._redecide(call, row)
        for counter in call.counters:
            meter = self.meters.observe(counter, call.upstream, call.at_ms, call.grant)
            if call.word == "limit" and call.rule == meter.rule:
                meter.refused += 1

    def _count(self, call: Call) -> None:
        stats = self._stats(call)
        stats.calls += 1
        stats.last_at_ms = call.at_ms
        self.traffic.add(call.at_ms)
        if call.word in REFUSED:
            self._refuse(call, stats)
        elif call.word == "hold":
            stats.held += 1
        elif call.settled:
            self._timed(call, call.record)

    def _redecide(self, call: Call, row: Record) -> None:
        before = call.word
        call.redecide(row)
        self.changed.append(call.number)
        if before not in REFUSED and call.word in REFUSED:
            self._refuse(call, self._stats(call))

    def _refuse(self, call: Call, stats: ToolStats) -> None:
        stats.refused += 1
        self.refused += 1
        self.refusals.add(call.at_ms)

    def _settled(self, outcome: Record) -> None:
        call = self.calls.named(str(outcome.get("call_id", "")))
        if call is not None:
            call.settle(outcome)
            self.changed.append(call.number)
            self._timed(call, outcome)

    def _timed(self, call: Call, outcome: Record) -> None:
        stats = self._stats(call)
        kind = outcome.get("outcome")
        if kind not in ("ok", "not_sent"):
            stats.failed += 1
        if kind != "not_sent":
            latency = max(0.0, number(outcome.get("latency_ms")) - call.held_ms)
            self.latencies.add(call.at_ms, latency)
            stats.latencies.add(call.at_ms, latency)

    def _stats(self, call: Call) -> ToolStats:
        key = (call.upstream, call.tool)
        stats = self.tools.get(key)
        if stats is None:
            stats = self.tools[key] = ToolStats()
        return stats

    def _counters(self, counters: list[dict[str, Any]]) -> None:
        only = next(iter(self.policies), "") if len(self.policies) == 1 else ""
        for counter in counters:
            self.meters.observe(counter, str(counter.get("upstream") or only), self.now_ms, exact=True)

    def _installed(self, event: Object) -> None:
        upstream = str(event["upstream"])
        if upstream.startswith(OF_GRANT):
            self.grant_faults.pop(upstream.removeprefix(OF_GRANT), None)
            return
        self.policies[upstream] = PolicyView.read(upstream, event, moment_ms(event.get("at_ms")))
        self._declare(upstream)

    def _rejected(self, event: Object) -> None:
        upstream, file = str(event["upstream"]), str(event.get("file", ""))
        if upstream.startswith(OF_GRANT):
            fault = first_error(file.rsplit("/", 1)[-1], tables(event.get("problems")))
            self.grant_faults[upstream.removeprefix(OF_GRANT)] = fault
            return
        known = self.policies.get(upstream) or PolicyView(upstream, file)
        self.policies[upstream] = known.rejected(event.get("problems") or [])

    def _declare(self, upstream: str) -> None:
        self.meters.declare(upstream, unused_limits(self.policies[upstream]))

    def _upstream(self, event: Object) -> None:
        upstream = self._upstream_named(str(event["upstream"]))
        upstream.state = str(event.get("state") or "")
        upstream.error = str(event.get("error") or "")
        upstream.remedy = str(event.get("remedy") or "")

    def _tools(self, name: str, tools: list[dict[str, Any]], at_ms: int) -> None:
        upstream = self._upstream_named(name)
        upstream.tools = tables(tools)
        self.offered = {str(tool.get("name")) for known in self.upstreams.values() for tool in known.tools}
        upstream.tools_at_ms = at_ms

    def _upstream_named(self, name: str) -> Upstream:
        if name not in self.upstreams:
            self.upstreams[name] = Upstream(name)
        return self.upstreams[name]

    def _hold_opened(self, event: Object) -> None:
        call = self.calls.named(str(event["call_id"]))
        if call is not None:
            at_ms = moment_ms(event.get("at_ms"))
            self.holds[call.call_id] = Hold(call, at_ms, moment_ms(event.get("expires_at_ms")))

    def _hold_closed(self, event: Object) -> None:
        self.holds.pop(str(event["call_id"]), None)

    def _restore(self) -> None:
        """What the snapshot's status says about things that events tell later on."""
        for name, upstream in table(self.state.get("upstreams")).items():
            self._upstream({"upstream": name, **upstream})
        self.frozen = {str(scope) for scope in items(self.state.get("frozen"))}
        audit = table(self.state.get("audit"))
        self._audit(audit.get("state") or "ok", audit.get("error") or "")
        self._counter_store(table(self.state.get("counter_store")))

    def _restore_holds(self) -> None:
        for hold in tables(self.state.get("holds")):
            call = self.calls.named(str(hold.get("call_id", "")))
            if call is not None:
                expires = moment_ms(hold.get("expires_at_ms") or hold.get("expires_at"))
                self.holds[call.call_id] = Hold(
                    call, moment_ms(hold.get("at_ms") or hold.get("at")) or call.at_ms, expires
                )

    def _freeze(self, scope: str, on: bool) -> None:
        if on:
            self.frozen.add(scope)
        else:
            self.frozen.discard(scope)

    def _audit(self, state: object, error: object) -> None:
        self.audit_state, self.audit_error = str(state), str(error or "")

    def _counter_store(self, event: Object) -> None:
        state = str(event.get("state") or "ok")
        self.counters_error = "" if state == "ok" else str(event.get("error") or state)
        emptied_ms = moment_ms(event.get("emptied_at_ms") or event.get("emptied_at"))
        if emptied_ms > self.counters_emptied_ms:
            self.meters.clear()
            for upstream in self.policies:
                self._declare(upstream)
        self.counters_emptied_ms = emptied_ms

    def _lost(self, event: Object) -> None:
        self.dropped += int(event.get("count") or 0)

    def _installed_at(self, upstream: str) -> int:
        policy = table(table(self.state.get("policies")).get(upstream))
        return moment_ms(policy.get("installed_at"))
