"""A local HTTP server that speaks the Jobs, Queries and Permissions APIs as documented.

https://docs.databricks.com/api/workspace/jobs, …/queries, …/permissions

Strict: fields, types, words and sizes that the documentation does not allow are refused, so that
what passes here is what the real service takes. Unlike the real one it is deterministic: runs move
on by one state a look. Faults are asked for by request, before or after the effect.
"""

from __future__ import annotations

import base64
import copy
import itertools
import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from contract.stand_in_server import Answer, ConnectionLostError, HttpError, Server
from contract.stand_in_server import Request as HttpRequest
from databricks.sdk.service.jobs import JobAccessControlRequest, JobSettings
from databricks.sdk.service.sql import CreateQueryRequestQuery, UpdateQueryRequestQuery

from lakeflow_meta.backends.local.jobs.api_settings import changed_settings, new_settings
from lakeflow_meta.backends.local.runs.repairing import to_repair
from lakeflow_meta.backends.local.runs.task_graph import Ended, nodes_of, run_outcome, verdict
from lakeflow_meta.errors import BackendError
from lakeflow_meta.ports import RunState, TaskRun

ME = "me@example.com"
PAGED = ("tasks", "job_clusters", "parameters", "environments")
UPDATES, CREATES, DELETES = "/api/2.2/jobs/update", "/api/2.2/jobs/create", "/api/2.2/jobs/delete"
WHO = "/api/2.0/preview/scim/v2/Me"
LISTS, GETS, RUNS = "/api/2.2/jobs/list", "/api/2.2/jobs/get", "/api/2.2/jobs/run-now"
CANCELS = "/api/2.2/jobs/runs/cancel-all"
REPAIRS = "/api/2.2/jobs/runs/repair"
QUERIES = "/api/2.0/sql/queries"

_JSON = dict[str, Any]
_FIRST_JOB, _FIRST_RUN = 500_000_000_001, 900_000_000_001
_STARTED = 1_767_225_600_000
_MOST_BYTES = 10 * 2**20
_BY_STATE = {
    RunState.SUCCESS: "SUCCESS",
    RunState.SUCCESS_WITH_FAILURES: "SUCCESS_WITH_FAILURES",
    RunState.FAILED: "FAILED",
    RunState.TIMED_OUT: "TIMEDOUT",
    RunState.CANCELLED: "CANCELED",
    RunState.UPSTREAM_FAILED: "UPSTREAM_FAILED",
    RunState.UPSTREAM_CANCELLED: "UPSTREAM_CANCELED",
    RunState.EXCLUDED: "EXCLUDED",
    RunState.DISABLED: "DISABLED",
}

Kind = Literal["429", "403", "500", "502", "503", "504", "reset", "html404"]


@dataclass(frozen=True)
class Request:
    """One request as it came."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] = field(default_factory=dict)
    at: float = 0.0

    @property
    def writes(self) -> bool:
        return self.method != "GET"


@dataclass
class Fault:
    """What goes wrong at the ``nth`` matching request and at ``times - 1`` more after it."""

    kind: Kind
    path: str = ""
    method: str = ""
    nth: int = 1
    times: int = 1
    after: bool = False
    retry_after: int = 0
    seen: int = 0

    def strikes(self, request: Request) -> bool:
        if not request.path.startswith(self.path) or self.method not in ("", request.method):
            return False
        self.seen += 1
        return self.nth <= self.seen < self.nth + self.times


@dataclass
class StoredJob:
    settings: _JSON
    created: int
    permissions: list[_JSON]


@dataclass
class StoredRun:
    run_id: int
    job_id: int
    name: str
    ended: dict[str, Ended]
    outcome: RunState
    states: list[str]
    token: str | None
    parameters: _JSON
    nodes: Sequence[Any] = ()
    repairs: int = 0

    @property
    def history(self) -> list[_JSON]:
        """As ``include_history`` shows it."""
        repairs = [
            {"type": "REPAIR", "id": n + 1, "start_time": _STARTED + n} for n in range(self.repairs)
        ]
        return [{"type": "ORIGINAL"}, *repairs]

    def look(self) -> str:
        """The life cycle state now; each look is one step further."""
        return self.states.pop(0) if self.states else "TERMINATED"


class Workspace:
    """The server's state. ``requests`` logs everything that came, in order."""

    def __init__(
        self,
        *,
        defaults: bool = True,
        latency: float = 0.0,
        page_limit: int = 100,
        missing_status: Literal[400, 404] = 400,
        new_fields: Sequence[str] = (),
        writes_per_second: float | None = None,
    ) -> None:
        self.defaults = defaults
        self.latency = latency
        self.page_limit = page_limit
        self.missing_status = missing_status
        self.new_fields = new_fields
        self.writes_per_second = writes_per_second
        self.requests: list[Request] = []
        self.faults: list[Fault] = []
        self.chaos: tuple[random.Random, float] | None = None
        self.jobs: dict[int, StoredJob] = {}
        self.runs: dict[int, StoredRun] = {}
        self.queries: dict[str, _JSON] = {}
        self.cancelled: list[int] = []
        self.run_states: list[str] = []
        self.task_states: dict[str, RunState] = {}
        self.busy = 0
        self.most_busy = 0
        self.host = ""
        self._numbers = itertools.count()
        self._writes_at: list[float] = []
        self._lock = threading.RLock()

    @contextmanager
    def running(self) -> Iterator[Workspace]:
        """Serve on a free port of this machine."""
        server = Server(self)
        with server.running():
            self.host = server.host
            yield self

    # --- for the test

    @property
    def writes(self) -> list[Request]:
        return [request for request in self.requests if request.writes]

    def calls_of(self, path: str, method: str = "") -> list[Request]:
        return [r for r in self.requests if r.path.startswith(path) and method in ("", r.method)]

    def fail(self, kind: Kind, path: str = "", **options: Any) -> Fault:
        fault = Fault(kind, path, **options)
        self.faults.append(fault)
        return fault

    def edit(self, job_id: int, **settings: Any) -> None:
        """What people do in the UI."""
        stored = self.jobs[job_id].settings
        stored.update(settings)

    @property
    def active_queries(self) -> dict[str, _JSON]:
        return {key: q for key, q in self.queries.items() if q["lifecycle_state"] == "ACTIVE"}

    # --- one request

    def answer(self, request: HttpRequest) -> Answer:
        """See `Service.answer`."""
        if request.path == "/.well-known/databricks-config":  # the SDK asks once, without a token
            raise HttpError(404, "ENDPOINT_NOT_FOUND", "no such page")
        request.check_token()
        if len(request.body) > _MOST_BYTES:
            raise _invalid("a request has at most 10 MB")
        taken = Request(
            request.method, request.path, request.query, request.json(), time.monotonic()
        )
        return Answer.of_json(self._take(taken))

    def _take(self, request: Request) -> _JSON:
        """Faults, then the service itself."""
        with self._lock:
            self.requests.append(request)
            self.busy += 1
            self.most_busy = max(self.most_busy, self.busy)
            striking = [fault for fault in self.faults if fault.strikes(request)]
            chaos = self._chaos()
        try:
            if self.latency:
                time.sleep(self.latency)
            for fault in [*striking, *chaos]:
                if not fault.after:
                    _strike(fault)
            with self._lock:
                self._check_rate(request)
                found = copy.deepcopy(self._serve(request))
            for fault in [*striking, *chaos]:
                if fault.after:
                    _strike(fault)
            return found
        finally:
            with self._lock:
                self.busy -= 1

    def _chaos(self) -> list[Fault]:
        if self.chaos is None or self.chaos[0].random() >= self.chaos[1]:
            return []
        dice = self.chaos[0]
        kinds: list[Kind] = ["429", "500", "503", "reset"]
        kind = dice.choice(kinds)
        return [Fault(kind, after=kind != "429" and dice.random() < 0.5)]

    def _check_rate(self, request: Request) -> None:
        if self.writes_per_second is None or not request.writes:
            return
        now = time.monotonic()
        self._writes_at = [at for at in self._writes_at if at > now - 1]
        if len(self._writes_at) >= self.writes_per_second:
            raise HttpError(429, "RESOURCE_EXHAUSTED", "too many requests", Retry_After="1")
        self._writes_at.append(now)

    def _serve(self, request: Request) -> _JSON:
        routes: dict[tuple[str, str], Callable[[Request], _JSON]] = {
            ("POST", CREATES): self._create_job,
            ("GET", LISTS): self._list_jobs,
            ("GET", GETS): self._get_job,
            ("POST", UPDATES): self._update_job,
            ("POST", "/api/2.2/jobs/reset"): self._reset_job,
            ("POST", DELETES): self._delete_job,
            ("POST", RUNS): self._run_now,
            ("POST", CANCELS): self._cancel_all,
            ("POST", "/api/2.2/jobs/runs/cancel"): self._cancel_run,
            ("POST", REPAIRS): self._repair_run,
            ("GET", "/api/2.2/jobs/runs/get"): self._get_run,
            ("GET", "/api/2.2/jobs/runs/list"): self._list_runs,
            ("POST", QUERIES): self._create_query,
            ("GET", QUERIES): self._list_queries,
            ("GET", WHO): lambda _request: {"userName": ME},
        }
        if route := routes.get((request.method, request.path)):
            return route(request)
        if found := re.fullmatch(rf"{QUERIES}/([\w-]+)", request.path):
            return self._one_query(request, found[1])
        if found := re.fullmatch(r"/api/2.0/permissions/jobs/(\d+)", request.path):
            return self._permissions(request, int(found[1]))
        raise HttpError(404, "ENDPOINT_NOT_FOUND", f"no API at {request.method} {request.path}")

    # --- jobs

    def _create_job(self, request: Request) -> _JSON:
        body = dict(request.body)
        granted = body.pop("access_control_list", [])
        settings = self._checked(body)
        number = next(self._numbers)
        owner = {"user_name": ME, "permission_level": "IS_OWNER"}
        job = StoredJob(settings, _STARTED + number, [owner, *map(_access, granted)])
        self.jobs[_FIRST_JOB + number] = job
        return {"job_id": _FIRST_JOB + number}

    def _list_jobs(self, request: Request) -> _JSON:
        _only(request.query, "limit", "page_token", "expand_tasks", "name", "offset")
        limit = _limit(request, 20, self.page_limit)
        expand = request.query.get("expand_tasks", "false")
        if expand not in ("true", "false"):
            raise _invalid("expand_tasks is true or false")
        wanted = request.query.get("name")
        newest = [
            (job_id, job)
            for job_id, job in reversed(self.jobs.items())
            if wanted is None or job.settings.get("name", "").lower() == wanted.lower()
        ]
        page, following = _page(newest, request, limit, "jobs")
        jobs = [self._listed(job_id, job, expand == "true") for job_id, job in page]
        return {"jobs": jobs, **following} if jobs else {}

    def _listed(self, job_id: int, job: StoredJob, expand: bool) -> _JSON:
        settings = self._shown(job.settings)
        found = {"job_id": job_id, "created_time": job.created, "creator_user_name": ME}
        if not expand:
            hidden = ("tasks", "job_clusters")
            return {**found, "settings": {k: v for k, v in settings.items() if k not in hidden}}
        more = any(len(settings.get(name, ())) > 100 for name in PAGED)
        settings = {k: v[:100] if k in PAGED else v for k, v in settings.items()}
        return {**found, "settings": settings, **({"has_more": True} if more else {})}

    def _get_job(self, request: Request) -> _JSON:
        _only(request.query, "job_id", "page_token", "include_trigger_state")
        job_id = _number(request.query, "job_id")
        settings = self._shown(self._job(job_id).settings)
        start = _offset(request, "job")
        following = any(len(settings.get(name, ())) > start + 100 for name in PAGED)
        parts = {name: settings[name][start : start + 100] for name in PAGED if name in settings}
        answer = {
            "job_id": job_id,
            "creator_user_name": ME,
            "run_as_user_name": settings.get("run_as", {}).get("user_name", ME),
            "created_time": self._job(job_id).created,
            "settings": {**settings, **parts} if not start else parts,
        }
        return {**answer, "next_page_token": _token("job", start + 100)} if following else answer

    def _update_job(self, request: Request) -> _JSON:
        _only(request.body, "job_id", "new_settings", "fields_to_remove")
        job = self._job(_number(request.body, "job_id"))
        changes = request.body.get("new_settings", {})
        kept = {name: job.settings[name] for name in self.new_fields if name in job.settings}
        try:
            changed = changed_settings(
                self._known(job.settings),
                self._known(changes),
                request.body.get("fields_to_remove", []),
            )
        except BackendError as error:
            raise _invalid(str(error)) from error
        self._check_types(changes)
        _check_sizes(changed)
        new = {name: changes[name] for name in self.new_fields if name in changes}
        job.settings = {**changed, **kept, **new}
        return {}

    def _reset_job(self, request: Request) -> _JSON:
        _only(request.body, "job_id", "new_settings")
        job = self._job(_number(request.body, "job_id"))
        job.settings = self._checked(dict(request.body["new_settings"]))
        return {}

    def _delete_job(self, request: Request) -> _JSON:
        _only(request.body, "job_id")
        job_id = _number(request.body, "job_id")
        self._job(job_id)
        del self.jobs[job_id]
        return {}

    def _job(self, job_id: int) -> StoredJob:
        if job_id not in self.jobs:
            raise self._missing(f"Job {job_id} does not exist.")
        return self.jobs[job_id]

    def _missing(self, message: str) -> HttpError:
        if self.missing_status == 404:
            return HttpError(404, "RESOURCE_DOES_NOT_EXIST", message)
        return _invalid(message)

    def _checked(self, settings: _JSON) -> _JSON:
        try:
            checked = new_settings(self._known(settings))
        except BackendError as error:
            raise _invalid(str(error)) from error
        self._check_types(settings)
        _check_sizes(checked)
        return {**checked, **{n: settings[n] for n in self.new_fields if n in settings}}

    def _known(self, settings: Mapping[str, Any]) -> _JSON:
        return {name: value for name, value in settings.items() if name not in self.new_fields}

    def _check_types(self, settings: Mapping[str, Any]) -> None:
        known = self._known(settings)
        try:
            kept = JobSettings.from_dict(known).as_dict()
        except (AttributeError, TypeError, ValueError, KeyError) as error:
            raise _invalid(f"the request cannot be read: {error}") from error
        if lost := _lost(known, kept, ""):
            raise _invalid(f"unknown field or value: {', '.join(lost)}")

    def _shown(self, settings: _JSON) -> _JSON:
        """The settings as they are read, with what the service fills in."""
        shown: _JSON = copy.deepcopy(settings)
        if not self.defaults:
            return shown
        for task in shown.get("tasks", []):
            task.setdefault("run_if", "ALL_SUCCESS")
            task.setdefault("timeout_seconds", 0)
            task.setdefault("email_notifications", {})
            task.setdefault("webhook_notifications", {})
            if "notebook_task" in task:
                task["notebook_task"].setdefault("source", "WORKSPACE")
        for starter in ("schedule", "trigger", "continuous"):
            if starter in shown:
                shown[starter].setdefault("pause_status", "UNPAUSED")
        return {
            "name": "Untitled",
            "email_notifications": {},
            "webhook_notifications": {},
            "timeout_seconds": 0,
            "max_concurrent_runs": 1,
            "queue": {"enabled": True},
            **shown,
            "format": "MULTI_TASK",
        }

    # --- runs

    def _run_now(self, request: Request) -> _JSON:
        _only(request.body, "job_id", "job_parameters", "idempotency_token", "queue", "only")
        job_id = _number(request.body, "job_id")
        settings = self._job(job_id).settings
        token = request.body.get("idempotency_token")
        if token is not None and len(token) > 64:
            raise _invalid("idempotency_token has at most 64 characters")
        for run in self.runs.values():
            if token is not None and run.token == token:
                return {"run_id": run.run_id, "number_in_job": run.run_id}
        given = request.body.get("job_parameters", {})
        declared = {parameter["name"] for parameter in settings.get("parameters", [])}
        if unknown := sorted(set(given) - declared):
            raise _invalid(f"job {job_id} has no parameter {unknown[0]!r}")
        run_id = _FIRST_RUN + next(self._numbers)
        nodes = nodes_of(settings.get("tasks", []))
        ended = self._play(nodes, {})
        self.runs[run_id] = StoredRun(
            run_id=run_id,
            job_id=job_id,
            name=settings.get("name", "Untitled"),
            ended={node.task_key: ended[node.task_key] for node in nodes},
            outcome=run_outcome(nodes, ended),
            states=list(self.run_states),
            token=token,
            parameters=dict(given),
            nodes=nodes,
        )
        return {"run_id": run_id, "number_in_job": run_id}

    def _cancel_run(self, request: Request) -> _JSON:
        _only(request.body, "run_id")
        run_id = _number(request.body, "run_id")
        run = self._run(run_id)
        if run.states:
            run.states.clear()
            run.outcome = RunState.CANCELLED
        return {}

    def _repair_run(self, request: Request) -> _JSON:
        _only(
            request.body,
            "run_id",
            "rerun_all_failed_tasks",
            "rerun_dependent_tasks",
            "latest_repair_id",
        )
        run = self._run(_number(request.body, "run_id"))
        if run.states:
            raise _invalid("The run is in progress.")
        if request.body.get("latest_repair_id", 0) != run.repairs:
            raise _invalid("latest_repair_id is not that of the latest repair")
        tasks = [TaskRun(key, ended.state) for key, ended in run.ended.items()]
        again = to_repair(run.nodes, tasks)
        kept = {key: ended for key, ended in run.ended.items() if key not in again}
        played = self._play(run.nodes, kept)
        run.ended = {key: played[key] for key in run.ended}
        run.outcome = run_outcome(run.nodes, played)
        run.repairs += 1
        return {"repair_id": run.repairs}

    def _run(self, run_id: int) -> StoredRun:
        if run_id not in self.runs:
            raise self._missing(f"Run {run_id} does not exist.")
        return self.runs[run_id]

    def _cancel_all(self, request: Request) -> _JSON:
        _only(request.body, "job_id", "all_queued_runs")
        job_id = _number(request.body, "job_id")
        self._job(job_id)
        self.cancelled.append(job_id)
        return {}

    def _play(self, nodes: Sequence[Any], kept: Mapping[str, Ended]) -> dict[str, Ended]:
        ended = dict(kept)
        while len(ended) < len(nodes):
            for node in nodes:
                state = None if node.task_key in ended else verdict(node, ended)
                if state is RunState.QUEUED:
                    state = self.task_states.get(node.task_key, RunState.SUCCESS)
                if state is not None:
                    ended[node.task_key] = Ended(state)
        return ended

    def _get_run(self, request: Request) -> _JSON:
        _only(request.query, "run_id", "page_token", "include_history", "include_resolved_values")
        run_id = _number(request.query, "run_id")
        run, start = self._run(run_id), _offset(request, "run")
        state = run.look() if not start else "TERMINATED"
        entries = list(run.ended.items())[start : start + 100]
        tasks = [_shown_task(key, ended, state) for key, ended in entries]
        history = {"repair_history": run.history} if request.query.get("include_history") else {}
        answer = {**_shown_run(run, state), "tasks": tasks, **history}
        more = len(run.ended) > start + 100
        return {**answer, "next_page_token": _token("run", start + 100)} if more else answer

    def _list_runs(self, request: Request) -> _JSON:
        _only(request.query, "job_id", "limit", "page_token", "expand_tasks")
        limit = _limit(request, 20, 24)
        wanted = request.query.get("job_id")
        runs = [r for r in self.runs.values() if wanted is None or r.job_id == int(wanted)]
        page, following = _page(runs[::-1], request, limit, "runs")
        shown = [_shown_run(run, "TERMINATED") for run in page]
        return {"runs": shown, **following} if shown else {}

    # --- permissions

    def _permissions(self, request: Request, job_id: int) -> _JSON:
        if job_id not in self.jobs:
            raise HttpError(404, "RESOURCE_DOES_NOT_EXIST", f"Job {job_id} does not exist.")
        job = self.jobs[job_id]
        granted = [_access(entry) for entry in request.body.get("access_control_list", [])]
        entries = job.permissions
        if request.method == "PUT":
            kept = [] if any(map(_is_owner, granted)) else list(filter(_is_owner, entries))
            entries = [*kept, *granted]
        elif request.method == "PATCH":
            others = [old for old in entries if not any(_same(old, new) for new in granted)]
            entries = [*others, *granted]
        if sum(map(_is_owner, entries)) != 1:
            raise _invalid("a job has exactly one owner")
        if any(_is_owner(entry) and "group_name" in entry for entry in entries):
            raise _invalid("a group cannot own a job")
        job.permissions = entries
        return {
            "object_id": f"/jobs/{job_id}",
            "object_type": "job",
            "access_control_list": [*map(_shown_access, entries), _ADMINS],
        }

    # --- queries

    def _create_query(self, request: Request) -> _JSON:
        _only(request.body, "query", "auto_resolve_display_name")
        query = _query(request.body.get("query", {}), CreateQueryRequestQuery)
        if not query.get("display_name") or "query_text" not in query:
            raise HttpError(400, "BAD_REQUEST", "display_name and query_text are required")
        query.setdefault("parent_path", f"/Workspace/Users/{ME}")
        query["display_name"] = self._free_name(query, None, request)
        query_id = f"fe25e731-92f2-4838-9fb2-{next(self._numbers):012d}"
        self.queries[query_id] = {"id": query_id, "lifecycle_state": "ACTIVE", **query}
        return self.queries[query_id]

    def _list_queries(self, request: Request) -> _JSON:
        _only(request.query, "page_size", "page_token")
        limit = _limit(request, 20, self.page_limit, name="page_size")
        page, following = _page(list(self.active_queries.values()), request, limit, "queries")
        return {"results": page, **following} if page else {}

    def _one_query(self, request: Request, query_id: str) -> _JSON:
        query = self.queries.get(query_id)
        if query is None:
            raise HttpError(404, "NOT_FOUND", f"Query {query_id} was not found.")
        match request.method:
            case "GET":
                return query
            case "DELETE":
                if query["lifecycle_state"] == "TRASHED":
                    raise HttpError(404, "NOT_FOUND", f"Query {query_id} was not found.")
                query["lifecycle_state"] = "TRASHED"
                return {}
            case "PATCH":
                return self._patch_query(request, query)
        raise HttpError(404, "ENDPOINT_NOT_FOUND", "no such method")

    def _patch_query(self, request: Request, query: _JSON) -> _JSON:
        _only(request.body, "query", "update_mask", "auto_resolve_display_name")
        given = _query(request.body.get("query", {}), UpdateQueryRequestQuery)
        mask = request.body.get("update_mask", "")
        if not re.fullmatch(r"[a-z_]+(,[a-z_]+)*", mask):
            raise HttpError(400, "BAD_REQUEST", f"update_mask {mask!r}")
        changed = {name: given.get(name, "") for name in mask.split(",")}
        if query["lifecycle_state"] == "TRASHED":
            return query
        if "display_name" in changed:
            changed["display_name"] = self._free_name({**query, **changed}, query["id"], request)
        query.update(changed)
        return query

    def _free_name(self, query: _JSON, own_id: str | None, request: Request) -> str:
        taken = {
            other["display_name"]
            for other in self.active_queries.values()
            if other["parent_path"] == query["parent_path"] and other["id"] != own_id
        }
        name = str(query["display_name"])
        if name not in taken:
            return name
        if request.body.get("auto_resolve_display_name", True) is False:
            raise HttpError(409, "RESOURCE_ALREADY_EXISTS", f"a query is named {name!r} already")
        return next(f"{name} ({n})" for n in itertools.count(1) if f"{name} ({n})" not in taken)


# --- what is refused ------------------------------------------------------------------------------


def _invalid(message: str) -> HttpError:
    return HttpError(400, "INVALID_PARAMETER_VALUE", message)


def _only(given: Mapping[str, Any], *known: str) -> None:
    if unknown := set(given) - set(known):
        raise HttpError(400, "BAD_REQUEST", f"unknown: {sorted(unknown)}")


def _number(given: Mapping[str, Any], name: str) -> int:
    value = given.get(name)
    if isinstance(value, bool) or not re.fullmatch(r"\d+", str(value)):
        raise _invalid(f"{name} is {value!r}")
    return int(str(value))


def _limit(request: Request, default: int, most: int, name: str = "limit") -> int:
    """The page size; a test may let the service give shorter pages than were asked for."""
    limit = _number({name: default, **request.query}, name)
    allowed = 24 if most == 24 else 100
    if not 1 <= limit <= allowed:
        raise _invalid(f"{name} is 1 to {allowed}")
    return min(limit, most)


def _token(kind: str, start: int) -> str:
    return base64.urlsafe_b64encode(f"{kind}:{start}".encode()).decode()


def _offset(request: Request, kind: str) -> int:
    token = request.query.get("page_token")
    if token is None:
        return 0
    found = re.fullmatch(rf"{kind}:(\d+)", base64.urlsafe_b64decode(token).decode())
    if found is None:
        raise _invalid("page_token is of another list")
    return int(found[1])


def _page(
    entries: Sequence[Any], request: Request, limit: int, kind: str
) -> tuple[Sequence[Any], _JSON]:
    start = _offset(request, kind)
    more = len(entries) > start + limit
    following = {"next_page_token": _token(kind, start + limit)} if more else {}
    return entries[start : start + limit], following


def _lost(sent: Any, kept: Any, path: str) -> list[str]:
    """Paths that the SDK's types do not keep; what is empty may go."""
    if sent in ({}, [], None):
        return []
    if isinstance(sent, dict) and isinstance(kept, dict):
        inner = [_lost(value, kept.get(name), f"{path}/{name}") for name, value in sent.items()]
        return [found for part in inner for found in part]
    if isinstance(sent, list) and isinstance(kept, list) and len(sent) == len(kept):
        pairs = enumerate(zip(sent, kept, strict=True))
        inner = [_lost(one, other, f"{path}/{number}") for number, (one, other) in pairs]
        return [found for part in inner for found in part]
    return [] if sent == kept and isinstance(kept, type(sent)) else [path]


def _check_sizes(settings: _JSON) -> None:
    """https://docs.databricks.com/api/workspace/jobs/create"""
    limits = {"name": 4096, "description": 27_700}
    for name, most in limits.items():
        if len(settings.get(name, "").encode()) > most:
            raise _invalid(f"{name} is longer than {most} bytes")
    if len(settings.get("tags", {})) > 25:
        raise _invalid("more than 25 tags")
    if settings.get("max_concurrent_runs", 1) > 1000:
        raise _invalid("max_concurrent_runs is more than 1000")
    if len(settings.get("run_as", {"user_name": ME})) != 1:
        raise _invalid("run_as names one user, service principal or group")
    schedule = settings.get("schedule")
    if schedule is not None and not {"quartz_cron_expression", "timezone_id"} <= set(schedule):
        raise _invalid("a schedule needs quartz_cron_expression and timezone_id")


def _access(entry: Mapping[str, Any]) -> _JSON:
    kept: _JSON = JobAccessControlRequest.from_dict(dict(entry)).as_dict()
    if kept != dict(entry) or "permission_level" not in kept or len(kept) != 2:
        raise _invalid(f"access_control_list: {dict(entry)}")
    return kept


_ADMINS = {
    "group_name": "admins",
    "all_permissions": [
        {
            "permission_level": "CAN_MANAGE",
            "inherited": True,
            "inherited_from_object": ["/jobs/"],
        }
    ],
}
"""What every job of a workspace inherits."""


def _shown_access(entry: Mapping[str, Any]) -> _JSON:
    principal = {k: v for k, v in entry.items() if k != "permission_level"}
    level = {"permission_level": entry["permission_level"], "inherited": False}
    return {**principal, "all_permissions": [level]}


def _is_owner(entry: Mapping[str, Any]) -> bool:
    return entry["permission_level"] == "IS_OWNER"


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    names = ("user_name", "group_name", "service_principal_name")
    return all(one.get(name) == other.get(name) for name in names)


def _query(given: Mapping[str, Any], kind: Any) -> _JSON:
    kept: _JSON = kind.from_dict(dict(given)).as_dict()
    if lost := _lost(dict(given), kept, ""):
        raise HttpError(400, "BAD_REQUEST", f"unknown field or value: {lost}")
    return kept


# --- runs as they are shown -----------------------------------------------------------------------


def _shown_run(run: StoredRun, state: str) -> _JSON:
    return {
        "run_id": run.run_id,
        "job_id": run.job_id,
        "run_name": run.name,
        "number_in_job": run.run_id,
        "start_time": _STARTED + run.run_id % 1000,
        "end_time": _STARTED + run.run_id % 1000 + 5000 if state == "TERMINATED" else 0,
        **_shown_state(run.outcome, state),
    }


def _shown_task(task_key: str, ended: Ended, state: str) -> _JSON:
    ran = ended.state in {RunState.SUCCESS, RunState.FAILED} and state != "PENDING"
    return {
        "task_key": task_key,
        "run_id": _FIRST_RUN,
        "attempt_number": 0,
        "start_time": _STARTED if ran else 0,
        "end_time": _STARTED + 1500 if ran and state == "TERMINATED" else 0,
        **_shown_state(ended.state, state),
    }


def _shown_state(outcome: RunState, state: str) -> _JSON:
    if state != "TERMINATED":
        return {"state": {"life_cycle_state": state, "state_message": ""}}
    message = "Workload failed, see run output for details\nmore" if outcome.bad else ""
    word = _BY_STATE[outcome]
    return {"state": {"life_cycle_state": state, "result_state": word, "state_message": message}}


# --- faults ---------------------------------------------------------------------------------------


def _strike(fault: Fault) -> None:
    after = str(fault.retry_after)
    match fault.kind:
        case "429":
            raise HttpError(429, "RESOURCE_EXHAUSTED", "slow down", Retry_After=after)
        case "503":
            raise HttpError(503, "TEMPORARILY_UNAVAILABLE", "not now", Retry_After=after)
        case "403":
            raise HttpError(403, "PERMISSION_DENIED", "Job 1 does not exist, or you may not")
        case "500":
            raise HttpError(500, "INTERNAL_ERROR", "something broke")
        case "504":
            raise HttpError(504, "DEADLINE_EXCEEDED", "too late")
        case "502" | "html404":
            error = HttpError(0, "", "")
            page = b"<html><title>Not Found</title></html>"
            error.answer = Answer(page, int(fault.kind[-3:]))
            raise error
        case "reset":
            raise ConnectionLostError
