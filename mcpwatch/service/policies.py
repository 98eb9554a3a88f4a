"""Which policy judges whom. Nothing else installs a policy: a file is read, compiled, and one pointer is swapped."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from mcpwatch.errors import AuditError, ConfigError
from mcpwatch.events import Event, PolicyInstalled, PolicyRejected
from mcpwatch.policy.compiled import compile_policy
from mcpwatch.policy.counters import Counters
from mcpwatch.policy.demands import SharedCounters
from mcpwatch.policy.document import PolicyDocument
from mcpwatch.policy.engine import Engine
from mcpwatch.policy.lint import lint
from mcpwatch.policy.values import Charge, Problem
from mcpwatch.policyfile import Conflict, PolicyFile, Reading
from mcpwatch.redact import Redactor
from mcpwatch.service.log import log
from mcpwatch.watch import watch

_OF_GRANT = "grant:"


class Note(Protocol):
    async def __call__(self, event: Event) -> object: ...


@dataclass(slots=True)
class Judge:
    """One engine, the file that feeds it, and the redaction that its policy asks for.

    `name` is the upstream's, or `grant:LABEL` for a grant with a policy of its own.
    """

    name: str
    upstream: str
    counters: Counters
    engine: Engine
    file: PolicyFile
    redactor: Redactor = field(default_factory=Redactor)
    installed_at_ms: int = 0
    problems: tuple[Problem, ...] = ()

    @property
    def error(self) -> str | None:
        """`FILE:LINE:COL POINTER MESSAGE` of the first fault of the file as it stands, None when it is in force."""
        faults = [problem for problem in self.problems if problem.severity == "error"]
        if not faults:
            return None
        first = faults[0]
        place = f"{self.file.path}:{first.line}:{first.column}"
        return " ".join(part for part in (place, first.pointer, first.message) if part)


class Policies:
    """All judges. `changed` is called with the upstream's name after a policy of it came into force.

    `shared` gives the counters of an upstream when they are not kept in here.
    """

    def __init__(
        self,
        note: Note,
        publish: Callable[[Event], None],
        changed: Callable[[str], None],
        now_ms: Callable[[], int],
        shared: Callable[[str], SharedCounters] | None = None,
    ) -> None:
        self._note = note
        self._publish = publish
        self._changed = changed
        self._now_ms = now_ms
        self._shared = shared
        self._files: dict[Path, PolicyFile] = {}
        self._judges: dict[Path, list[Judge]] = {}
        self._by_upstream: dict[str, Judge] = {}
        self._by_grant: dict[tuple[str, str], Judge] = {}
        self._tools: dict[str, Sequence[Mapping[str, Any]]] = {}
        self._untold: list[PolicyInstalled | PolicyRejected] = []
        self._more = asyncio.Event()

    def add_upstream(self, upstream: str, path: Path) -> Engine:
        """Prepare the judge of an upstream; its policy is in force after `load`."""
        counters = Counters()
        engine = Engine(counters, None if self._shared is None else self._shared(upstream))
        judge = Judge(upstream, upstream, counters, engine, self._file(path))
        self._by_upstream[upstream] = judge
        self._judges[judge.file.path].append(judge)
        return judge.engine

    def add_grant(self, label: str, path: Path) -> None:
        """Put the own policy of a grant in force; it shares the counters of each upstream.

        Without a readable policy, everything is refused to that grant. The audit hears of it at the next `settle`.
        """
        file = self._file(path)
        reading = file.look()
        for upstream, judge in self._by_upstream.items():
            engine = Engine(judge.counters, judge.engine.shared)
            own = Judge(_OF_GRANT + label, upstream, judge.counters, engine, file)
            own.engine.set_schemas(_schemas(self._tools.get(upstream, ())))
            self._by_grant[upstream, label] = own
            self._judges[file.path].append(own)
            if reading.document is None:
                self._untold.append(self._refuse(own, reading))
            else:
                self._untold.append(self._enforce(own, reading, reading.document))

    async def settle(self) -> None:
        """Write to the audit what `add_grant` put in force."""
        while self._untold:
            await self._record(self._untold.pop(0))

    def drop_grant(self, label: str) -> None:
        """Forget a grant's own policy."""
        for key in [key for key in self._by_grant if key[1] == label]:
            judge = self._by_grant.pop(key)
            self._judges[judge.file.path].remove(judge)

    def grants(self) -> dict[str, Path]:
        """The grants with a policy of their own, and its file."""
        return {label: judge.file.path for (_, label), judge in self._by_grant.items()}

    def judge(self, upstream: str, grant: str = "") -> Judge:
        """Who judges: the grant's own policy, else the upstream's. Raises ConfigError for an unknown upstream."""
        own = self._by_grant.get((upstream, grant))
        if own is not None:
            return own
        try:
            return self._by_upstream[upstream]
        except KeyError:
            raise ConfigError(f'there is no upstream "{upstream}"') from None

    def judges(self) -> list[Judge]:
        """Of every upstream, one each."""
        return list(self._by_upstream.values())

    async def load(self) -> list[Reading]:
        """Read every file; those that cannot be put in force are returned."""
        readings = [await file.load() for file in self._files.values()]
        return [reading for reading in readings if reading.document is None]

    def restore(self, charges: Iterable[tuple[str, Charge]]) -> None:
        """Count what was charged before this process began: (upstream, charge), oldest first."""
        by_upstream: dict[str, list[Charge]] = {}
        for upstream, charge in charges:
            by_upstream.setdefault(upstream, []).append(charge)
        for upstream, group in by_upstream.items():
            if upstream in self._by_upstream:
                self._by_upstream[upstream].engine.restore(group)

    def longest_window_ms(self) -> int:
        """Of all limits in force, 0 without any."""
        documents = [judge.engine.policy.document for judge in self.judges() if judge.engine.policy]
        entries = [entry for d in documents for entry in (d.all_tools, *d.tools.values())]
        return max((limit.window.ms for entry in entries for limit in entry.limits), default=0)

    async def reload(self) -> None:
        for file in list(self._files.values()):
            await file.load("reload")

    async def follow(self) -> None:
        """Put every change of a file in force, also of files that come later, until cancelled."""
        while True:
            self._more.clear()
            following = asyncio.create_task(watch(list(self._files.values())))
            tasks: tuple[asyncio.Task[Any], ...] = (following, asyncio.create_task(self._more.wait()))
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            for task in done:
                task.result()

    async def save(self, upstream: str, text: bytes, base_digest: str, by: str) -> Reading | Conflict:
        return await self.judge(upstream).file.save(text, base_digest, by)

    def set_tools(self, upstream: str, tools: Sequence[Mapping[str, Any]]) -> list[str]:
        """Take over what the upstream offers. Returns remarks on tools that the policy names and it does not offer."""
        self._tools[upstream] = tools
        for judge in self._of(upstream):
            judge.engine.set_schemas(_schemas(tools))
        judge = self.judge(upstream)
        document = judge.engine.policy.document if judge.engine.policy else None
        return unoffered(document, tools) if document else []

    def remarks(self, upstream: str) -> tuple[Problem, ...]:
        """What is wrong with the file as it stands, or what the lint says of the policy in force."""
        judge = self.judge(upstream)
        policy = judge.engine.policy
        if judge.error or policy is None:
            return judge.problems
        return (*judge.problems, *lint(policy.document, self._tools.get(upstream)))

    def _file(self, path: Path) -> PolicyFile:
        path = path.absolute()
        if path not in self._files:
            self._files[path] = PolicyFile(path, self._on_reading)
            self._judges[path] = []
            self._more.set()
        return self._files[path]

    def _of(self, upstream: str) -> list[Judge]:
        return [judge for judges in self._judges.values() for judge in judges if judge.upstream == upstream]

    async def _on_reading(self, reading: Reading) -> None:
        for judge in list(self._judges[reading.path]):
            if reading.document is None:
                await self._record(self._refuse(judge, reading))
            elif judge.engine.policy is None or judge.engine.policy.digest != reading.digest:
                # Recorded first: no call is ever judged by a policy whose text the audit has not seen.
                await self._record(self._event(judge, reading))
                self._enforce(judge, reading, reading.document)
            else:
                self._keep(judge, reading)

    def _enforce(self, judge: Judge, reading: Reading, document: PolicyDocument) -> PolicyInstalled:
        event = self._event(judge, reading)
        judge.engine.install(compile_policy(document))
        judge.redactor = Redactor(document.redact)
        judge.installed_at_ms, judge.problems = event.at_ms, reading.problems
        log.info("policy of %s in force: %s (%s, by %s)", judge.name, reading.path, reading.digest[:12], reading.by)
        for problem in reading.problems:
            log.warning("%s:%d:%d %s %s", reading.path, problem.line, problem.column, problem.pointer, problem.message)
        self._publish(event)
        self._changed(judge.upstream)
        return event

    def _keep(self, judge: Judge, reading: Reading) -> None:
        """The file says again what is in force; who was told that it is broken must hear that it is mended."""
        mended = judge.error is not None
        judge.problems = reading.problems
        if mended:
            log.info("policy file of %s is in order again: %s", judge.name, reading.path)
            self._publish(replace(self._event(judge, reading), at_ms=judge.installed_at_ms))

    def _refuse(self, judge: Judge, reading: Reading) -> PolicyRejected:
        judge.problems = reading.problems
        kept = "the last good policy stays in force" if judge.engine.policy else "there is no policy in force"
        log.error("policy of %s not taken: %s; %s", judge.name, judge.error, kept)
        event = PolicyRejected(self._now_ms(), judge.name, str(reading.path), reading.problems)
        self._publish(event)
        return event

    def _event(self, judge: Judge, reading: Reading) -> PolicyInstalled:
        text = reading.text.decode("utf-8", "replace")
        return PolicyInstalled(
            self._now_ms(), judge.name, str(reading.path), reading.digest, text, reading.by, reading.problems
        )

    async def _record(self, event: PolicyInstalled | PolicyRejected) -> None:
        try:
            await self._note(event)
        except AuditError as fault:
            # Calls are refused while the audit fails; the operator's newest word still counts afterwards.
            log.warning("a policy change of %s is not in the audit: %s", event.upstream, fault)


def unoffered(document: PolicyDocument, tools: Sequence[Mapping[str, Any]]) -> list[str]:
    """One sentence for each tool that the policy names and the upstream does not offer."""
    offered = {str(tool.get("name", "")) for tool in tools}
    if not offered:
        return []
    named = [*document.tools, *document.hide]
    absent = [name for name in dict.fromkeys(named) if "*" not in name and name not in offered]
    return [
        f'the policy names "{name}", which this upstream does not offer{_nearest(name, offered)}' for name in absent
    ]


def _nearest(name: str, offered: set[str]) -> str:
    near = difflib.get_close_matches(name, sorted(offered), n=1, cutoff=0.7)
    return f' (nearest: "{near[0]}")' if near else ""


def _schemas(tools: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    return {
        str(tool["name"]): tool["inputSchema"]
        for tool in tools
        if isinstance(tool.get("name"), str) and isinstance(tool.get("inputSchema"), dict)
    }
