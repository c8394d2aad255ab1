"""Running scripts, each once: in order, in parallel, by two runners, through failures."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from lakeflow_meta.control.tables import DDL_SCRIPTS, EXECUTIONS, STATE, ControlTables
from lakeflow_meta.errors import BackendError, ConfigError, RunFailedError
from lakeflow_meta.ports import Row
from lakeflow_meta.scripts.report import TargetStatus
from lakeflow_meta.scripts.runner import ScriptRunner
from lakeflow_meta.scripts.script import read_scripts
from lakeflow_meta.scripts.target_lease import LeaseTerms, TargetLease
from lakeflow_meta.testing.clock import FixedClock
from lakeflow_meta.testing.fake_store import FakeStore

TABLES = ControlTables.named("main.ops.etl_control")


class _Session:
    """Remembers statements; one that holds ``boom`` is refused."""

    def __init__(self, during: Callable[[str], None] = lambda _: None) -> None:
        self.ran: list[str] = []
        self.starts = 0
        self._during = during

    def start(self) -> _Session:
        self.starts += 1
        return self

    def execute(self, statement: str, parameters: Mapping[str, Any] | None = None) -> list[Row]:
        self._during(statement)
        if "boom" in statement:
            raise BackendError("it exploded", code="BOOM")
        self.ran.append(statement)
        return []


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def store(clock: FixedClock) -> FakeStore:
    made = FakeStore(clock)
    for table, layout in TABLES.all().items():
        made.ensure(table, layout)
    return made


@pytest.fixture
def session() -> _Session:
    return _Session()


def _record(store: FakeStore, texts: Mapping[str, str]) -> None:
    scripts, findings = read_scripts(texts)
    assert findings == []
    store.merge(TABLES.of(DDL_SCRIPTS), [s.row() for s in scripts], keys=["script_id"])


def _runner(store: FakeStore, session: _Session, clock: FixedClock, **more: Any) -> ScriptRunner:
    more = {"sleep": lambda _: None, "actor": lambda: "ann", "run_id": "r1", **more}
    return ScriptRunner(store, TABLES, session.start, clock=clock, **more)


def _log(store: FakeStore) -> list[Row]:
    rows: list[Row] = store.read(TABLES.of(EXECUTIONS)).to_pylist()
    return rows


def test_scripts_run_once_in_order_statement_by_statement(
    store: FakeStore, session: _Session, clock: FixedClock
) -> None:
    _record(
        store,
        {
            "t/10_b/1_z.sql": "Z",
            "t/2_a/10_y.sql": "Y",
            "t/2_a/2_x.sql": "X 'a;b'; -- no; statement\n XX;",
        },
    )
    first = _runner(store, session, clock).run()
    version = store.version(TABLES.of(STATE))
    second = _runner(store, session, clock).run()

    assert [s.replace("-- no; statement\n ", "") for s in session.ran] == [
        "X 'a;b'",
        "XX",
        "Y",
        "Z",
    ]
    assert [t.status for t in first.targets] == [TargetStatus.SUCCESS]
    assert [t.status for t in second.targets] == [TargetStatus.UNCHANGED]
    assert session.starts == 1
    assert store.version(TABLES.of(STATE)) == version
    assert len(_log(store)) == 3


def test_the_log_row_tells_everything(
    store: FakeStore, session: _Session, clock: FixedClock
) -> None:
    _record(store, {"t/1_a/1_x.sql": "X"})
    _runner(store, session, clock).run()
    (row,) = _log(store)
    assert row.pop("duration_seconds") >= 0
    (script,), _ = read_scripts({"t/1_a/1_x.sql": "X"})
    assert row == {
        "script_id": "t/1_a/1_x.sql",
        "script_name": "x",
        "execution_status": "Success",
        "update_date": clock(),
        "checksum": script.checksum,
        "started_at": clock(),
        "error": None,
        "run_id": "r1",
        "executed_by": "ann",
        "target": "t",
    }


def test_a_failure_skips_the_rest_of_its_target_and_is_tried_again(
    store: FakeStore, session: _Session, clock: FixedClock
) -> None:
    _record(
        store,
        {
            "bad/1_a/1_ok.sql": "OK",
            "bad/1_a/2_no.sql": "ONE; boom; THREE",
            "bad/2_b/1_later.sql": "LATER",
            "good/1_a/1_x.sql": "GOOD",
        },
    )
    report = _runner(store, session, clock).run()

    bad, good = report.targets
    assert [str(o.status) for o in bad.outcomes] == ["success", "failed", "skipped"]
    assert bad.outcomes[1].error == "statement 2 of 3: it exploded"
    assert good.status is TargetStatus.SUCCESS
    assert report.has_failures
    with pytest.raises(RunFailedError, match="statement 2 of 3"):
        report.raise_failures()
    _record(store, {"bad/1_a/2_no.sql": "FIXED"})
    again = _runner(store, session, clock).run()
    assert not again.has_failures
    statuses = [r["execution_status"] for r in _log(store) if r["script_id"] == "bad/1_a/2_no.sql"]
    assert statuses == ["Failure", "Success"]
    assert session.ran[-2:] == ["FIXED", "LATER"]


def test_a_script_changed_after_it_ran_stops_its_target_before_anything_runs(
    store: FakeStore, session: _Session, clock: FixedClock
) -> None:
    _record(store, {"t/1_a/1_x.sql": "X"})
    _runner(store, session, clock).run()
    _record(store, {"t/1_a/1_x.sql": "CHANGED", "t/1_a/2_y.sql": "Y", "u/1_a/1_z.sql": "Z"})

    report = _runner(store, session, clock).run()

    assert session.ran == ["X", "Z"]
    assert [str(o.status) for o in report.targets[0].outcomes] == ["failed", "skipped"]
    assert "t/1_a/1_x.sql" in report.targets[0].error
    assert report.actions()[0]["action"] == "rejected"


def test_a_dry_run_starts_nothing_and_writes_nothing(
    store: FakeStore, session: _Session, clock: FixedClock
) -> None:
    _record(store, {"t/1_a/1_x.sql": "X"})
    writes = store.calls["merge"] + store.calls["append"] + store.calls["ensure"]
    report = _runner(store, session, clock).run(dry_run=True)
    assert report.has_changes
    assert report.actions() == [
        {
            "kind": "ddl_script",
            "name": "t/1_a/1_x.sql",
            "action": "run",
            "changes": [],
            "error": None,
        }
    ]
    assert session.starts == 0
    assert store.calls["merge"] + store.calls["append"] + store.calls["ensure"] == writes


def test_no_scripts_is_nothing_to_do_and_an_unknown_target_is_an_error(
    store: FakeStore, session: _Session, clock: FixedClock
) -> None:
    runner = _runner(store, session, clock)
    assert list(runner.run().lines()) == ["no DDL scripts: nothing to do"]
    _record(store, {"silver/1_a/1_x.sql": "X"})
    with pytest.raises(ConfigError, match=r"'silvr'.*did you mean silver"):
        runner.run(["silvr"])


def test_starts_are_staggered_by_target(
    store: FakeStore, session: _Session, clock: FixedClock
) -> None:
    _record(store, {f"{t}/1_a/1_x.sql": t for t in "abc"})
    slept: list[float] = []
    report = _runner(store, session, clock, sleep=slept.append).run()
    assert sorted(slept) == pytest.approx([0.0, 0.2, 0.4])
    assert all(target.seconds < 0.2 for target in report.targets)


def test_inactive_scripts_are_not_run(
    store: FakeStore, session: _Session, clock: FixedClock
) -> None:
    _record(store, {"t/1_a/1_x.sql": "X", "t/1_a/2_y.sql": "Y"})
    scripts, _ = read_scripts({"t/1_a/1_x.sql": "X"})
    off = {**scripts[0].row(), "is_active": False}
    store.merge(TABLES.of(DDL_SCRIPTS), [off], keys=["script_id"])
    _runner(store, session, clock).run()
    assert session.ran == ["Y"]


def test_a_row_that_cannot_be_read_stops_its_target_only(
    store: FakeStore, session: _Session, clock: FixedClock
) -> None:
    _record(store, {"t/1_a/1_x.sql": "X", "u/1_a/1_y.sql": "Y"})
    broken = {"script_id": "t/odd", "target": "t", "language": "sql", "body": "B"}
    store.append(TABLES.of(DDL_SCRIPTS), [broken])
    report = _runner(store, session, clock).run()
    assert session.ran == ["Y"]
    assert "'t/odd'" in report.targets[0].error


def test_python_scripts_are_refused_by_name_unless_somebody_can_run_them(
    store: FakeStore, session: _Session, clock: FixedClock
) -> None:
    _record(store, {"t/1_a/1_x.sql": "X", "t/1_a/2_y.py": "print()"})
    refused = _runner(store, session, clock).run()
    assert "t/1_a/2_y.py" in refused.targets[0].error
    assert session.ran == []
    ran: list[tuple[str, str]] = []
    run_python = lambda body, name: ran.append((body, name))  # noqa: E731 - one line
    done = _runner(store, session, clock, run_python=run_python).run()
    assert not done.has_failures
    assert ran == [("print()", "t/1_a/2_y.py")]


def test_work_that_cannot_be_logged_is_no_success_and_no_failure_row(
    store: FakeStore, session: _Session, clock: FixedClock
) -> None:
    _record(store, {"t/1_a/1_x.sql": "X", "t/1_a/2_y.sql": "Y"})
    store.fail_on("append")
    report = _runner(store, session, clock).run()
    assert report.targets[0].outcomes[0].error.startswith("the work is done, but the execution log")
    assert session.ran == ["X"]
    assert _log(store) == []


def test_two_runners_at_once_run_each_script_once(store: FakeStore, clock: FixedClock) -> None:
    _record(store, {f"t/1_a/{n}_x.sql": f"S{n}" for n in range(1, 6)})
    both = threading.Barrier(2)
    session = _Session()
    runners = [
        _runner(
            store,
            session,
            clock,
            sleep=lambda _: threading.Event().wait(0.001),
            terms=LeaseTerms(poll_seconds=0.01),
        )
        for _ in range(2)
    ]
    reports: list[Any] = []

    def go(runner: ScriptRunner) -> None:
        both.wait()
        reports.append(runner.run())

    threads = [threading.Thread(target=go, args=(runner,)) for runner in runners]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert session.ran == [f"S{n}" for n in range(1, 6)]
    assert not any(report.has_failures for report in reports)
    assert len(_log(store)) == 5


def test_a_runner_that_died_is_followed_at_once_where_its_death_can_be_told(
    store: FakeStore, session: _Session, clock: FixedClock
) -> None:
    _record(store, {"t/1_a/1_x.sql": "X"})
    _dead_holder(store, clock)
    waits: list[float] = []
    patient = LeaseTerms(wait_seconds=3)
    held = _runner(store, session, clock, sleep=waits.append, terms=patient).run()
    assert "another runner holds it: gone/1" in held.targets[0].error
    assert waits == [0.0, 1.0, 1.0, 1.0]
    done = _runner(store, session, clock, is_alive=lambda owner: owner != "gone/1").run()
    assert not done.has_failures
    assert session.ran == ["X"]


def test_a_lease_that_ran_out_is_taken_over(
    store: FakeStore, session: _Session, clock: FixedClock
) -> None:
    _record(store, {"t/1_a/1_x.sql": "X"})
    _dead_holder(store, clock)
    clock.advance(61)
    assert not _runner(store, session, clock).run().has_failures


def test_a_runner_that_lost_its_lease_runs_nothing_more(
    store: FakeStore, clock: FixedClock
) -> None:
    _record(store, {"t/1_a/1_x.sql": "X", "t/1_a/2_y.sql": "Y"})
    session = _Session(during=lambda _: clock.advance(61))
    report = _runner(store, session, clock).run()
    assert session.ran == ["X"]
    assert [str(o.status) for o in report.targets[0].outcomes] == ["success", "skipped"]
    assert "ran out" in report.targets[0].error


def _dead_holder(store: FakeStore, clock: FixedClock) -> None:
    lease = TargetLease(
        store,
        TABLES.of(STATE),
        "t",
        "gone/1",
        terms=LeaseTerms(),
        clock=clock,
        sleep=lambda _: None,
        is_alive=bool,
    )
    assert lease._take()
