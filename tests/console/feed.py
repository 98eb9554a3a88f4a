"""A gateway's feed made up in memory: agents that triage, deploy, run away and probe, judged by a small policy.

`Feed` makes events for any clock; `FeedDesk` hands them to a console. Run it to look at the console:

    python -m tests.console.feed [--rate 20] [--read-only] [--owned] [--empty] [--broken]
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import random
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mcpwatch.console.clockwork import now_ms
from mcpwatch.errors import ConfigError
from mcpwatch.records import rfc3339

Object = dict[str, Any]

START_MS = 1_795_343_400_000
"""2026-11-22T10:30:00Z: a whole minute, so that windows begin where tests begin."""

HOLD_MS = 45_000

POLICY: Object = {
    "version": "1",
    "default": "deny",
    "hide": ["add_inline_policy"],
    "all_tools": {"limits": [{"counter": "all_calls", "window": "hour", "max": 5000, "scope": "global"}]},
    "tools": {
        "invoke_agent_runtime": {
            "limits": [{"counter": "invoke_agent_runtime_rate", "window": "minute", "max": 10, "scope": "grant"}]
        },
        "list_k8s_resources": {
            "deny_if": [
                {"conditions": [{"path": "args.kind", "op": "eq", "value": "Secret"}], "on_deny": "Secrets stay"}
            ],
            "limits": [{"counter": "list_rate", "window": "minute", "max": 400, "scope": "grant"}],
        },
        "get_pod_logs": {"limits": [{"counter": "logs_rate", "window": "minute", "max": 120, "scope": "grant"}]},
        "get_k8s_events": {},
        "get_cloudwatch_metrics": {
            "mode": "observe",
            "limits": [{"counter": "metrics_rate", "window": "hour", "max": 3}],
        },
        "manage_k8s_resource": {
            "limits": [{"counter": "changes", "window": "hour", "max": 40, "scope": "args.cluster_name"}]
        },
        "apply_yaml": {
            "approve_if": [{"conditions": [{"path": "args.namespace", "op": "eq", "value": "prod"}]}],
            "risk": "high",
        },
        "delete_stack": {"limits": [{"counter": "deletes", "window": "day", "max": 2, "scope": "global"}]},
    },
}
POLICY_TEXT = json.dumps(POLICY, indent=2) + "\n"
DIGEST = hashlib.sha256(POLICY_TEXT.encode()).hexdigest()

TOOLS = [
    "list_k8s_resources",
    "get_pod_logs",
    "get_k8s_events",
    "get_cloudwatch_logs",
    "get_cloudwatch_metrics",
    "get_eks_metrics_guidance",
    "get_policies_for_role",
    "add_inline_policy",
    "manage_k8s_resource",
    "apply_yaml",
    "list_api_versions",
    "generate_app_manifest",
    "manage_eks_stacks",
    "search_eks_troubleshoot_guide",
    "get_eks_vpc_config",
    "get_eks_insights",
    "invoke_agent_runtime",
]


@dataclass
class Feed:
    """Makes calls one after the other; `seed` decides which. Counters follow the policy above."""

    seed: int = 1
    at_ms: int = START_MS
    seq: int = 0
    used: dict[tuple[str, str, int], int] = field(default_factory=dict[tuple[str, str, int], int])
    held: list[Object] = field(default_factory=list[Object])

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def run(self, count: int, every_ms: int = 400) -> list[Object]:
        """The events of `count` calls, in order."""
        return [event for _ in range(count) for event in self.step(every_ms)]

    def step(self, every_ms: int = 400) -> list[Object]:
        """One call of a random agent: its decision, and its outcome when it was forwarded."""
        self.at_ms += max(1, int(self._random.expovariate(1 / every_ms)))
        agent, tool, args = self._random.choices(
            [self._triage(), self._deploy(), self._runaway(), self._probe()], (9, 2, 6, 1)
        )[0]
        return [*self._expired(), *self.call(agent, tool, args)]

    def _expired(self) -> list[Object]:
        """Calls that nobody answered in time: refused."""
        over = [record for record in self.held if record["at_ms"] + HOLD_MS <= self.at_ms]
        self.held = [record for record in self.held if record not in over]
        events: list[Object] = []
        for record in over:
            events.append(
                {"type": "hold_closed", "at_ms": self.at_ms, "call_id": record["call_id"], "how": "timeout", "by": ""}
            )
            reason = "no operator answered in time"
            refused = {**record, "decision": "deny", "reason": reason, "held_ms": HOLD_MS, "message": reason}
            events.append({"type": "call_decided", "record": refused})
        return events

    def call(self, agent: str, tool: str, args: Object, latency_ms: float | None = None) -> Iterator[Object]:
        """The events of one call."""
        self.seq += 1
        record = self.judged(agent, tool, args)
        yield {"type": "call_decided", "record": record}
        if record["decision"] == "hold":
            self.held.append(record)
            yield {
                "type": "hold_opened",
                "at_ms": self.at_ms,
                "call_id": record["call_id"],
                "expires_at_ms": self.at_ms + 45_000,
            }
        if record["decision"] == "allow":
            took = latency_ms if latency_ms is not None else round(self._random.lognormvariate(4, 0.7), 1)
            yield self.settled(record["call_id"], took)

    def settled(self, call_id: str, latency_ms: float, outcome: str = "") -> Object:
        """How a call ended; one in forty with an error of the tool."""
        outcome = outcome or ("tool_error" if self._random.random() < 0.025 else "ok")
        size = self._random.randint(200, 9000)
        ended = {
            "call_id": call_id,
            "at_ms": self.at_ms,
            "outcome": outcome,
            "latency_ms": latency_ms,
            "result_bytes": size,
        }
        return {"type": "call_settled", "outcome": {**ended, "error": ""}}

    def judged(self, agent: str, tool: str, args: Object) -> Object:
        """The decision's record as `records.record_to_json` gives it."""
        decision, rule, reason, message, would = self._verdict(agent, tool, args)
        counters = self._charge(agent, tool, args, decision)
        full = next((c for c in counters if c["used"] >= c["max"] and c.pop("over", False)), None)
        if full is not None and POLICY["tools"][tool].get("mode") == "observe":
            would = full["rule"]
        elif full is not None:
            decision, rule = "deny", full["rule"]
            reason = f"{full['name']} is used up"
            message = f"Rate limit of {full['max']} per {full['window']} reached. Try again in 23 s."
        return {
            "seq": self.seq,
            "call_id": f"c{self.seq:06d}",
            "at_ms": self.at_ms,
            "instance": "default",
            "upstream": "eks",
            "grant": agent,
            "client": "claude-code" if agent != "probe" else "python-requests",
            "client_version": "2.1.330",
            "session": "",
            "method": "tools/call",
            "tool": tool,
            "args": args,
            "decision": decision,
            "rule": rule,
            "reason": reason,
            "policy": DIGEST,
            "message": message,
            "would_deny": would,
            "counters": counters,
            "charges": [],
            "steps": _steps(decision, rule, counters),
            "held_ms": None,
            "approved_by": "",
        }

    def _verdict(self, agent: str, tool: str, args: Object) -> tuple[str, str, str, str, str]:
        del agent
        no = f'Tool "{tool}" is not permitted by policy'
        if tool in POLICY["hide"]:
            return "deny", "(hidden)", "hidden tool", no, ""
        if tool not in POLICY["tools"]:
            return "deny", "(default deny)", "the policy does not list it", no, ""
        if args.get("kind") == "Secret":
            return "deny", f"/tools/{tool}/deny_if/args.kind-eq", 'args.kind is "Secret"', "Secrets stay", ""
        if tool == "apply_yaml" and args.get("namespace") == "prod":
            return "hold", "/tools/apply_yaml/approve_if/args.namespace-eq", 'args.namespace is "prod"', "", ""
        return "allow", "", "listed, no rule refuses it", "", ""

    def _charge(self, agent: str, tool: str, args: Object, decision: str) -> list[Object]:
        if decision != "allow":
            return []
        states: list[Object] = []
        entries = [(f"/tools/{tool}", POLICY["tools"][tool]), ("/all_tools", POLICY["all_tools"])]
        limits = [(pointer, limit) for pointer, entry in entries for limit in entry.get("limits", [])]
        for pointer, limit in limits:
            states.append(self._counter(pointer, limit, agent, args))
        over = any(state["over"] for state in states)
        for state in states:
            if not over:
                self.used[state.pop("key")] += 1
                state["used"] += 1
                state.pop("over")
            else:
                state.pop("key")
        return states

    def _counter(self, pointer: str, limit: Object, agent: str, args: Object) -> Object:
        scope = limit.get("scope", "grant")
        value = (
            {"grant": agent, "global": ""}.get(scope) if not scope.startswith("args.") else str(args.get(scope[5:], ""))
        )
        window_ms = {"minute": 60_000, "hour": 3_600_000, "day": 86_400_000}[limit["window"]]
        start = self.at_ms // window_ms * window_ms
        key = (limit["counter"], value or "", start)
        used = self.used.setdefault(key, 0)
        return {
            "name": limit["counter"],
            "scope": scope,
            "value": value or "",
            "used": used,
            "max": limit["max"],
            "window": limit["window"],
            "window_ms": window_ms,
            "resets_at": rfc3339(start + window_ms),
            "rule": f"{pointer}/limits/{limit['counter']}",
            "over": used >= limit["max"],
            "key": key,
        }

    def _triage(self) -> tuple[str, str, Object]:
        pod = f"checkout-{self._random.randint(1, 9)}"
        near: Object = {"cluster_name": "prod-1", "namespace": self._random.choice(["shop", "payments", "default"])}
        return self._random.choice(
            [
                (
                    "triage",
                    "list_k8s_resources",
                    {**near, "kind": self._random.choice(["Pod", "Pod", "Service", "Event"]), "api_version": "v1"},
                ),
                ("triage", "get_pod_logs", {**near, "pod_name": pod, "tail_lines": 200}),
                ("triage", "get_k8s_events", {**near, "kind": "Pod", "name": pod}),
                (
                    "triage",
                    "get_cloudwatch_metrics",
                    {**near, "metric_name": "pod_cpu_utilization", "resource_type": "cluster"},
                ),
            ]
        )

    def _deploy(self) -> tuple[str, str, Object]:
        where: Object = {"cluster_name": self._random.choice(["prod-1", "dev-1", "dev-2"]), "namespace": "shop"}
        patch: Object = {
            "operation": "patch",
            "kind": "Deployment",
            "name": "checkout",
            "body": {"spec": {"replicas": 3}},
        }
        return self._random.choice(
            [
                ("deploy", "manage_k8s_resource", {**where, **patch}),
                ("deploy", "list_k8s_resources", {**where, "kind": "Deployment", "api_version": "apps/v1"}),
                ("deploy", "manage_eks_stacks", {"operation": "delete", "cluster_name": "dev-2"}),
            ]
        )

    def _runaway(self) -> tuple[str, str, Object]:
        arn = "arn:aws:bedrock-agentcore:us-west-2:111122223333:runtime/research"
        return "runaway", "invoke_agent_runtime", {"agent_runtime_arn": arn, "payload": '{"prompt": "and again"}'}

    def _probe(self) -> tuple[str, str, Object]:
        return self._random.choice(
            [
                ("probe", "list_k8s_resources", {"cluster_name": "prod-1", "kind": "Secret", "api_version": "v1"}),
                ("probe", "add_inline_policy", {"role_name": "eks-node", "permissions": "*"}),
                (
                    "deploy",
                    "apply_yaml",
                    {
                        "yaml_path": "/srv/shop/checkout.yaml",
                        "cluster_name": "prod-1",
                        "namespace": "prod",
                        "force": True,
                    },
                ),
            ]
        )


def _steps(decision: str, rule: str, counters: list[Object]) -> list[Object]:
    if rule == "(hidden)":
        return [_step("hide", "deny", rule, "the tool is hidden")]
    steps = [_step("hide", "pass", "", "not hidden")]
    if rule == "(default deny)":
        return [*steps, _step("default", "deny", rule, "not listed, default deny")]
    steps.append(_step("default", "pass", "", "listed"))
    for kind, result in (("deny_if", "deny"), ("approve_if", "hold")):
        if f"/{kind}/" in rule:
            steps.append(_step(kind, result, rule, f"{rule.rsplit('/', 1)[1]}: holds"))
    for counter in counters:
        over = decision == "deny" and counter["rule"] == rule
        detail = f"within {counter['max']} per {counter['window']} per {counter['scope']}"
        steps.append(_step("limits", "deny" if over else "pass", counter["rule"], detail))
    return steps


def _step(step: str, result: str, rule: str, detail: str) -> Object:
    return {"step": step, "rule": rule, "result": result, "detail": detail}


def status(at_ms: int, **changes: Any) -> Object:
    """A gateway's status."""
    known: Object = {
        "instance": "default",
        "pid": 4242,
        "uptime_s": 3600,
        "endpoints": {"eks": "http://127.0.0.1:7330/mcp/eks"},
        "policies": {
            "eks": {
                "file": "/etc/mcpwatch/eks.json",
                "hash": DIGEST,
                "installed_at": rfc3339(at_ms - 125_000),
                "error": None,
            }
        },
        "upstreams": {
            "eks": {"state": "ready", "error": None, "remedy": "", "title": "Amazon EKS", "tools": len(TOOLS)}
        },
        "counters": [],
        "holds": [],
        "frozen": [],
        "consoles": 1,
        "audit": {"rows": 10_482, "state": "ok", "error": None, "durability": "normal"},
        "demo": True,
        "traffic": True,
    }
    return known | changes


def hello(at_ms: int = START_MS, calls: list[Object] | None = None, **changes: Any) -> Object:
    """The first line of the feed. `changes` go into the status."""
    policy: Object = {
        "file": "/etc/mcpwatch/eks.json",
        "text": POLICY_TEXT,
        "digest": DIGEST,
        "installed": DIGEST,
        "problems": [],
    }
    return {
        "type": "hello",
        "status": status(at_ms, **changes),
        "calls": calls or [],
        "tools": {"eks": [{"name": name, "inputSchema": {"type": "object"}} for name in TOOLS]},
        "policies": {"eks": policy},
        "counters": [],
        "connect": {"endpoints": {"eks": "http://127.0.0.1:7330/mcp/eks"}, "token": "mw_secret_token"},
    }


class FeedDesk:
    """A desk that hands out what is put into it; `orders` keeps what it was asked to do."""

    def __init__(self, *first: Object) -> None:
        self.waiting: asyncio.Queue[Object | None] = asyncio.Queue()
        self.orders: list[tuple[str, Object]] = []
        self.refuse = ""
        """When set, every order fails with this sentence."""
        self.up = True
        told = [event["status"] for event in first if event.get("type") == "hello"]
        self._told: Object = told[0] if told else status(now_ms())
        for event in first:
            self.waiting.put_nowait(event)

    def put(self, *events: Object) -> None:
        for event in events:
            self.waiting.put_nowait(event)

    def hang_up(self) -> None:
        """The gateway goes away."""
        self.waiting.put_nowait(None)

    async def events(self) -> AsyncIterator[Object]:
        if not self.up:
            raise ConfigError("no gateway is running at /run/mcpwatch/default.sock")
        while True:
            event = await self.waiting.get()
            if event is None:
                return
            yield event

    async def status(self) -> Object:
        return self._did("status", answer=self._told)

    async def policy(self, upstream: str) -> Object:
        return self._did("policy", upstream=upstream, answer=hello()["policies"]["eks"])

    async def save_policy(self, upstream: str, text: str, base_digest: str, by: str = "console") -> Object:
        digest = hashlib.sha256(text.encode()).hexdigest()
        return self._did(
            "save_policy",
            upstream=upstream,
            text=text,
            base_digest=base_digest,
            by=by,
            answer={"status": 200, "digest": digest},
        )

    async def history(self, upstream: str) -> Object:
        return self._did("history", upstream=upstream, answer={"policies": []})

    async def search(self, filter: str = "", since_ms: int = 0, before_seq: int = 0, limit: int = 200) -> Object:
        return self._did(
            "search", filter=filter, since_ms=since_ms, before_seq=before_seq, limit=limit, answer={"rows": []}
        )

    async def show(self, seq: int) -> Object:
        return self._did("show", seq=seq, answer={})

    async def hold(
        self, call_id: str, action: str, reason: str = "", remember: bool = False, by: str = "console"
    ) -> Object:
        how = "approved" if action == "approve" else "refused"
        answer = self._did("hold", call_id=call_id, action=action, reason=reason, remember=remember, by=by, answer={})
        self.put({"type": "hold_closed", "at_ms": now_ms(), "call_id": call_id, "how": how, "by": by})
        return answer

    async def freeze(self, grant: str = "", tool: str = "", by: str = "console") -> Object:
        self.put({"type": "frozen", "at_ms": now_ms(), "scope": _scope(grant, tool), "on": True, "by": by})
        return self._did("freeze", grant=grant, tool=tool, by=by, answer={})

    async def thaw(self, grant: str = "", tool: str = "", by: str = "console") -> Object:
        self.put({"type": "frozen", "at_ms": now_ms(), "scope": _scope(grant, tool), "on": False, "by": by})
        return self._did("thaw", grant=grant, tool=tool, by=by, answer={})

    async def stop(self) -> Object:
        return self._did("stop", answer={})

    async def connect(self) -> Object:
        return self._did("connect", answer=hello()["connect"])

    def _did(self, what: str, *, answer: Object, **values: Any) -> Object:
        if self.refuse:
            raise ConfigError(self.refuse)
        self.orders.append((what, values))
        return answer


def _scope(grant: str, tool: str) -> str:
    return f"grant:{grant}" if grant else f"tool:{tool}" if tool else "*"


async def play(desk: FeedDesk, rate: float) -> None:
    """Feed calls at `rate` a second of real time, outcomes a little later."""
    feed = Feed(seed=7, at_ms=now_ms())
    later: list[tuple[int, Object]] = []
    made = 0.0
    while True:
        await asyncio.sleep(0.03)
        made += rate * 0.03
        feed.at_ms = max(now_ms(), feed.at_ms)
        while made >= 1:
            made -= 1
            for event in feed.step(1):
                if event["type"] == "call_settled":
                    later.append((feed.at_ms + int(event["outcome"]["latency_ms"]), event))
                else:
                    desk.put(event)
        due = [event for at, event in later if at <= now_ms()]
        later = [item for item in later if item[0] > now_ms()]
        desk.put(*due)


async def main() -> None:
    """Show the console on this feed."""
    from mcpwatch.console.app import Settings, run_console

    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", type=float, default=8)
    parser.add_argument("--theme", default="night")
    parser.add_argument("--config", type=Path)
    for name in ("read-only", "owned", "empty", "broken"):
        parser.add_argument(f"--{name}", action="store_true")
    options = parser.parse_args()
    desk = FeedDesk(hello(now_ms()))
    if options.broken:
        problem = {
            "line": 16,
            "column": 7,
            "pointer": "/tools/apply_yaml",
            "message": 'unknown field "limts", did you mean "limits"?',
        }
        desk.put(
            {
                "type": "policy_rejected",
                "at_ms": now_ms(),
                "upstream": "eks",
                "file": "policy.json",
                "problems": [problem],
            }
        )
    player = None if options.empty else asyncio.create_task(play(desk, options.rate))
    settings = Settings(read_only=options.read_only, owned=options.owned, theme=options.theme, config=options.config)
    print(await run_console(desk, settings))
    if player is not None:
        player.cancel()


if __name__ == "__main__":
    asyncio.run(main())
