"""Long jobs of the fixture by the tasks extension of 2026-07-28. Source: SEP-2663."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from mcp_types import INTERNAL_ERROR, INVALID_PARAMS, RequestParams
from mcp_types.jsonrpc import HEADER_MISMATCH

from tests.conformance.offer import TASKS, Json
from tests.conformance.talk import Ctx, answers, missing, offers, question, text, wants

_REQUIRED = ("failing_job", "protocol_error_job", "confirm_delete", "multi_input", "test_tool_with_task")
JOBS = frozenset({"greet", "slow_compute", *_REQUIRED})
_ENDED = ("completed", "failed", "cancelled")
_JOB_S = 0.2
_YES: Json = {"type": "boolean"}


class TaskIdParams(RequestParams):
    task_id: str


class TaskUpdateParams(TaskIdParams):
    input_responses: dict[str, Any]


class Task:
    """One job. `ask` waits for what the client says by `tasks/update`."""

    def __init__(self, task_id: str) -> None:
        now = datetime.now(UTC).isoformat()
        self.view: Json = {"taskId": task_id, "status": "working", "createdAt": now, "lastUpdatedAt": now}
        self.view |= {"ttlMs": 60_000, "pollIntervalMs": 100}
        self.job: asyncio.Task[None] | None = None
        self._said: Json = {}
        self._whole = asyncio.Event()

    @property
    def ended(self) -> bool:
        return self.view["status"] in _ENDED

    def turn(self, status: str, **more: Any) -> None:
        """Another status."""
        if not self.ended:
            self.view |= {"status": status, "lastUpdatedAt": datetime.now(UTC).isoformat(), **more}

    async def ask(self, requests: Json) -> Json:
        self.turn("input_required", inputRequests=dict(requests))
        await self._whole.wait()
        return self._said

    def hear(self, said: Json) -> None:
        """Answers to some or all of the questions; others mean nothing."""
        open_questions: Json = self.view.get("inputRequests", {})
        for key in said.keys() & open_questions.keys():
            self._said[key] = said[key]
            del open_questions[key]
        if not open_questions and "inputRequests" in self.view:
            del self.view["inputRequests"]
            self.turn("working")
            self._whole.set()


class Tasks:
    """All jobs of one server."""

    def __init__(self) -> None:
        self._tasks: dict[str, Task] = {}
        self._ids = itertools.count(1)

    def serve(self, server: Server[Any]) -> None:
        """Serve `tasks/get`, `tasks/update` and `tasks/cancel`, and say so."""
        server.extensions[TASKS] = {}
        server.add_request_handler("tasks/get", TaskIdParams, self._get)
        server.add_request_handler("tasks/update", TaskUpdateParams, self._update)
        server.add_request_handler("tasks/cancel", TaskIdParams, self._cancel)

    async def call(self, ctx: Ctx, name: str, args: Json) -> Json:
        """Run a job at once, or begin it when the client knows tasks and the job is a long one."""
        knows = TASKS in offers(ctx).get("extensions", {})
        if name == "greet":
            return text(f"Hello, {args.get('name')}!")
        if not knows and name in _REQUIRED:
            raise missing(extensions={TASKS: {}})
        if name == "test_tool_with_task":
            given = answers(ctx).get("user_name")
            if given is None:
                return wants({"user_name": question("What is your name?", name={"type": "string"})})
            args = {"name": given["content"]["name"]}
        if not knows:
            await asyncio.sleep(float(args.get("seconds", 0)))
            return text("computed")
        return self._begin(_JOBS[name], args)

    def _begin(self, job: Job, args: Json) -> Json:
        task = Task(f"task-{next(self._ids)}")
        self._tasks[task.view["taskId"]] = task
        task.job = asyncio.get_running_loop().create_task(_run(task, job, args))
        return {"resultType": "task", **task.view}

    async def _get(self, ctx: Ctx, params: TaskIdParams) -> Json:
        return dict(self._find(ctx, params).view)

    async def _update(self, ctx: Ctx, params: TaskUpdateParams) -> Json:
        self._find(ctx, params).hear(params.input_responses)
        return {}

    async def _cancel(self, ctx: Ctx, params: TaskIdParams) -> Json:
        task = self._find(ctx, params)
        if task.job is not None and not task.ended:
            task.job.cancel()
            task.turn("cancelled")
        return {}

    def _find(self, ctx: Ctx, params: TaskIdParams) -> Task:
        if TASKS not in offers(ctx).get("extensions", {}):
            raise missing(extensions={TASKS: {}})
        if ctx.request is not None and ctx.request.headers.get("mcp-name") != params.task_id:
            raise MCPError(HEADER_MISMATCH, "The Mcp-Name header does not match the task")
        task = self._tasks.get(params.task_id)
        if task is None:
            raise MCPError(INVALID_PARAMS, "There is no such task")
        return task


Job = Callable[[Task, Json], Awaitable[Json]]


async def _run(task: Task, job: Job, args: Json) -> None:
    try:
        task.turn("completed", result=await job(task, args))
    except MCPError as fault:
        task.turn("failed", error={"code": fault.error.code, "message": fault.error.message})


async def _slow(task: Task, args: Json) -> Json:
    await asyncio.sleep(float(args.get("seconds", 0)))
    return text("computed")


async def _failing(task: Task, args: Json) -> Json:
    await asyncio.sleep(_JOB_S)
    return {**text("the job failed"), "isError": True}


async def _broken(task: Task, args: Json) -> Json:
    await asyncio.sleep(_JOB_S)
    raise MCPError(INTERNAL_ERROR, "the server failed")


async def _confirm(task: Task, args: Json) -> Json:
    said = await task.ask({"confirm-1": question(f"Delete {args.get('filename')}?", confirm=_YES)})
    return text(f"{said['confirm-1']['action']}: {args.get('filename')}")


async def _both(task: Task, args: Json) -> Json:
    asked = {f"ask-{n}": question("Name?", name={"type": "string"}) for n in (1, 2)}
    return text(", ".join(sorted(await task.ask(asked))))


async def _named(task: Task, args: Json) -> Json:
    await asyncio.sleep(_JOB_S)
    return text(f"done for {args.get('name')}")


_JOBS: dict[str, Job] = {
    "slow_compute": _slow,
    "failing_job": _failing,
    "protocol_error_job": _broken,
    "confirm_delete": _confirm,
    "multi_input": _both,
    "test_tool_with_task": _named,
}
