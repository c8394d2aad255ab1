"""Running scripts, each once: in order, in parallel, by two runners, through failures."""

from __future__ import annotations

import io
import threading
from collections.abc import Mapping
from typing import Any

import pytest

from lakeflow_meta.control.tables import DDL_SCRIPTS, EVENTS, EXECUTIONS, STATE, ControlTables
from lakeflow_meta.errors import BackendError, ConfigError, RunFailedError
from lakeflow_meta.ports import Row
from lakeflow_meta.scripts.report import TargetStatus
from lakeflow_meta.scripts.runner import ScriptRunner
from lakeflow_meta.scripts.script import read_scripts
from lakeflow_meta.scripts.target_lease import Leases, LeaseTerms
from lakeflow_meta.testing.clock import FixedClock
from lakeflow_meta.testing.crash import Crash, CrashPoint
from lakeflow_meta.testing.fake_scripts import FakeScriptTarget
from lakeflow_meta.testing.fake_store import FakeStore

TABLES = ControlTables.named("main.ops.etl_control")


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
def place() -> FakeScriptTarget:
    return FakeScriptTarget()


def _record(store: FakeStore, texts: Mapping[str, str], **more: Any) -> None:
    scripts, findings = read_scripts(texts)
    assert findings == []
    rows = [{**script.row(), **more} for script in scripts]
    store.merge(TABLES.of(DDL_SCRIPTS), rows, keys=["script_id"])


def _runner(
    store: FakeStore, place: FakeScriptTarget, clock: FixedClock, **more: Any
) -> ScriptRunner:
    more = {"sleep": lambda _: None, "actor": lambda: "ann", "run_id": "r1", **more}
    return ScriptRunner(store, TABLES, lambda _: place, clock=clock, **more)


def _log(store: FakeStore) -> list[Row]:
    rows: list[Row] = store.read(TABLES.of(EXECUTIONS)).to_pylist()
    return rows


def test_scripts_run_once_in_order_statement_by_statement(
    store: FakeStore, place: FakeScriptTarget, clock: FixedClock
) -> None:
    _record(
        store,
        {
            "t/10_b/1_z.sql": "Z",
            "t/2_a/10_y.sql": "Y",
            "t/2_a/2_x.sql": "X 'a;b'; -- no; statement\n XX;",
        },
    )
    first = _runner(store, place, clock).run()
    version = store.version(TABLES.of(STATE))
    second = _runner(store, place, clock).run()

    ran = [s.replace("-- no; statement\n ", "") for s in place.ran]
    assert ran == ["X 'a;b'", "XX", "Y", "Z"]
    assert [t.status for t in first.targets] == [TargetStatus.SUCCESS]
    assert [t.status for t in second.targets] == [TargetStatus.UNCHANGED]
    assert store.version(TABLES.of(STATE)) == version
    assert len(_log(store)) == 3


def test_each_script_has_a_session_of_its_own(
    store: FakeStore, place: FakeScriptTarget, clock: FixedClock
) -> None:
    _record(store, {"t/1_a/1_x.sql": "CREATE TABLE a; USE s; INSERT INTO a 1"})
    _record(store, {"t/1_a/2_y.sql": "INSERT INTO a 2"})
    _runner(store, place, clock).run()
    assert place.tables == {"a": ["1 s", "2"]}
    assert place.sessions == 2


def test_the_log_row_tells_everything(
    store: FakeStore, place: FakeScriptTarget, clock: FixedClock
) -> None:
    _record(store, {"t/1_a/1_x.sql": "X"})
    _runner(store, place, clock).run()
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
    store: FakeStore, place: FakeScriptTarget, clock: FixedClock
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
    report = _runner(store, place, clock).run()

    bad, good = report.targets
    assert [str(o.status) for o in bad.outcomes] == ["success", "failed", "skipped"]
    assert bad.outcomes[1].error == "statement 2 of 3: it exploded"
    assert good.status is TargetStatus.SUCCESS
    assert report.has_failures
    with pytest.raises(RunFailedError, match="statement 2 of 3"):
        report.raise_failures()
    _record(store, {"bad/1_a/2_no.sql": "ONE; TWO; THREE"})
    again = _runner(store, place, clock).run()
    assert not again.has_failures
    statuses = [r["execution_status"] for r in _log(store) if r["script_id"] == "bad/1_a/2_no.sql"]
    assert statuses == ["Failure", "Success"]
    assert place.ran[-3:] == ["TWO", "THREE", "LATER"], "what had finished does not run again"


def test_what_follows_an_edited_statement_runs_again_and_the_session_is_made_again(
    store: FakeStore, place: FakeScriptTarget, clock: FixedClock
) -> None:
    _record(store, {"t/1_a/1_x.sql": "USE s; CREATE TABLE a; A; B; boom"})
    _runner(store, place, clock).run()
    edited = "USE s; CREATE   TABLE a -- the same\n; C; B; INSERT INTO a 1"
    _record(store, {"t/1_a/1_x.sql": edited})
    assert not _runner(store, place, clock).run().has_failures
    assert place.ran == ["CREATE TABLE a", "A", "B", "C", "B", "INSERT INTO a 1"]
    assert place.tables == {"a": ["1 s"]}


def test_rows_of_an_edited_statement_are_never_taken_for_those_of_another(
    store: FakeStore, place: FakeScriptTarget, clock: FixedClock
) -> None:
    _record(store, {"t/1_a/1_x.sql": "CREATE TABLE a; INSERT INTO a 1; INSERT INTO a 2; boom"})
    _runner(store, place, clock).run()
    _record(store, {"t/1_a/1_x.sql": "CREATE TABLE a; INSERT INTO a 3; INSERT INTO a 4"})
    assert not _runner(store, place, clock).run().has_failures
    assert place.tables == {"a": ["1", "2", "3", "4"]}


def test_a_script_changed_after_it_ran_stops_its_target_before_anything_runs(
    store: FakeStore, place: FakeScriptTarget, clock: FixedClock
) -> None:
    _record(store, {"t/1_a/1_x.sql": "X"})
    _runner(store, place, clock).run()
    _record(store, {"t/1_a/1_x.sql": "CHANGED", "t/1_a/2_y.sql": "Y", "u/1_a/1_z.sql": "Z"})

    report = _runner(store, place, clock).run()

    assert place.ran == ["X", "Z"]
    assert [str(o.status) for o in report.targets[0].outcomes] == ["failed", "skipped"]
    assert "t/1_a/1_x.sql" in report.targets[0].error
    assert "--accept-changed" in report.targets[0].outcomes[0].error
    assert report.actions()[0]["action"] == "rejected"


def test_a_changed_script_can_be_accepted_which_is_recorded_and_lets_the_others_run(
    store: FakeStore, place: FakeScriptTarget, clock: FixedClock
) -> None:
    (old,), _ = read_scripts({"t/1_a/1_x.sql": "X"})
    (new,), _ = read_scripts({"t/1_a/1_x.sql": "CHANGED"})
    _record(store, {"t/1_a/1_x.sql": "X"})
    _runner(store, place, clock).run()
    _record(store, {"t/1_a/1_x.sql": "CHANGED", "t/1_a/2_y.sql": "Y"})

    shown = _runner(store, place, clock).run(dry_run=True, accept_changed=True)
    assert [str(o.status) for o in shown.targets[0].outcomes] == ["accepted", "pending"]
    assert shown.targets[0].status is TargetStatus.PENDING
    assert len(_log(store)) == 1
    report = _runner(store, place, clock).run(accept_changed=True)

    assert [str(o.status) for o in report.targets[0].outcomes] == ["accepted", "success"]
    assert place.ran == ["X", "Y"]
    accepted = _log(store)[1]
    assert (accepted["checksum"], accepted["started_at"]) == (new.checksum, None)
    (event,) = store.read(TABLES.of(EVENTS)).to_pylist()
    assert (event["object"], event["action"], event["actor"]) == (new.script_id, "accepted", "ann")
    assert (old.checksum in event["before"], new.checksum in event["after"]) == (True, True)
    assert not _runner(store, place, clock).run().has_failures


def test_repeatable_scripts_run_after_all_others_and_again_when_they_change(
    store: FakeStore, place: FakeScriptTarget, clock: FixedClock
) -> None:
    texts = {"t/R__b.sql": "B1", "t/1_a/R__a.sql": "A1", "t/2_z/1_x.sql": "X"}
    _record(store, texts)
    _runner(store, place, clock).run()
    _runner(store, place, clock).run()
    for body in ("B2", "B1"):
        _record(store, {"t/R__b.sql": body})
        clock.advance(-3600)
        _runner(store, place, clock).run()
        _runner(store, place, clock).run()
    assert place.ran == ["X", "A1", "B1", "B2", "B1"]


def test_rows_of_a_repeatable_script_are_written_each_time_it_runs(
    store: FakeStore, place: FakeScriptTarget, clock: FixedClock
) -> None:
    place.tables["a"] = []
    for body in ("INSERT INTO a 1", "INSERT INTO a 2", "INSERT INTO a 1"):
        _record(store, {"t/R__a.sql": body})
        _runner(store, place, clock).run()
    assert place.tables["a"] == ["1", "2", "1"]


def test_a_dry_run_starts_nothing_and_writes_nothing(
    store: FakeStore, place: FakeScriptTarget, clock: FixedClock
) -> None:
    _record(store, {"t/1_a/1_x.sql": "X"})
    writes = store.calls["merge"] + store.calls["append"] + store.calls["ensure"]
    report = _runner(store, place, clock).run(dry_run=True)
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
    assert place.sessions == 0
    assert store.calls["merge"] + store.calls["append"] + store.calls["ensure"] == writes


def test_no_scripts_is_nothing_to_do_and_an_unknown_target_is_an_error(
    store: FakeStore, place: FakeScriptTarget, clock: FixedClock
) -> None:
    runner = _runner(store, place, clock)
    assert list(runner.run().lines()) == ["no DDL scripts: nothing to do"]
    _record(store, {"silver/1_a/1_x.sql": "X"})
    with pytest.raises(ConfigError, match=r"'silvr'.*did you mean silver"):
        runner.run(["silvr"])


def test_starts_are_staggered_by_target(
    store: FakeStore, place: FakeScriptTarget, clock: FixedClock
) -> None:
    _record(store, {f"{t}/1_a/1_x.sql": t for t in "abc"})
    slept: list[float] = []
    report = _runner(store, place, clock, sleep=slept.append, monotonic=lambda: 7.0).run()
    assert sorted(slept) == pytest.approx([0.0, 0.2, 0.4])
    assert all(target.seconds < 0.2 for target in report.targets)


def test_inactive_scripts_are_not_run(
    store: FakeStore, place: FakeScriptTarget, clock: FixedClock
) -> None:
    _record(store, {"t/1_a/1_x.sql": "X", "t/1_a/2_y.sql": "Y"})
    _record(store, {"t/1_a/1_x.sql": "X"}, is_active=False)
    _runner(store, place, clock).run()
    assert place.ran == ["Y"]


def test_a_row_that_cannot_be_read_stops_its_target_only(
    store: FakeStore, place: FakeScriptTarget, clock: FixedClock
) -> None:
    _record(store, {"t/1_a/1_x.sql": "X", "u/1_a/1_y.sql": "Y"})
    broken = {"script_id": "t/odd", "target": "t", "language": "sql", "body": "B"}
    store.append(TABLES.of(DDL_SCRIPTS), [broken])
    report = _runner(store, place, clock).run()
    assert place.ran == ["Y"]
    assert "'t/odd'" in report.targets[0].error


def test_python_that_cannot_run_is_found_before_anything_runs(
    store: FakeStore, clock: FixedClock
) -> None:
    place = FakeScriptTarget(missing="spark")
    _record(store, {"t/1_a/1_x.sql": "X", "t/1_a/2_y.py": "def f():\n    spark.sql('')"})
    _record(store, {"u/1_a/1_x.sql": "U", "u/1_a/2_y.py": "ok()"})
    broken = {"script_id": "u/1_a/2_y.py", "target": "u", "release": "1_a", "ordinal": 2}
    row = {**broken, "script_name": "y", "language": "py", "body": "a = 1\nb = (\n"}
    store.merge(TABLES.of(DDL_SCRIPTS), [row], keys=["script_id"])
    report = _runner(store, place, clock).run()
    assert place.ran == []
    assert report.targets[0].error == "t/1_a/2_y.py: there is no spark here"
    assert report.targets[1].error.startswith("u/1_a/2_y.py, line 2: this is no Python: ")


def test_python_scripts_run_and_print_to_the_output(
    store: FakeStore, place: FakeScriptTarget, clock: FixedClock
) -> None:
    _record(store, {"t/1_a/2_y.py": "print()", "t/1_a/3_z.py": "boom()"})
    output = io.StringIO()
    report = _runner(store, place, clock).run(output=output)
    assert (place.ran, output.getvalue()) == (["print()"], "ddl_scripts/t/1_a/2_y.py\n")
    assert report.targets[0].outcomes[1].error == "it exploded"


def test_transactions_are_refused_before_anything_runs_where_there_are_none(
    store: FakeStore, clock: FixedClock
) -> None:
    place = FakeScriptTarget(numbers=True)
    place.allows_transactions = False
    _record(store, {"t/1_a/1_x.sql": "X", "t/1_a/2_y.sql": "Y; BEGIN; Z; COMMIT"})
    report = _runner(store, place, clock).run()
    assert place.ran == []
    assert "t/1_a/2_y.sql: statement 2: every statement is a transaction" in report.targets[0].error


def test_work_that_cannot_be_logged_is_no_success_and_no_failure_row(
    store: FakeStore, place: FakeScriptTarget, clock: FixedClock
) -> None:
    _record(store, {"t/1_a/1_x.sql": "CREATE TABLE a; INSERT INTO a 1", "t/1_a/2_y.sql": "Y"})
    store.fail_on("append")
    report = _runner(store, place, clock).run()
    assert report.targets[0].outcomes[0].error.startswith("the work is done, but the execution log")
    assert _log(store) == []
    assert not _runner(store, place, clock).run().has_failures
    assert place.tables == {"a": ["1"]}
    assert place.ran[-1] == "Y"


def test_a_failure_before_the_statement_in_doubt_does_not_settle_it(
    store: FakeStore, clock: FixedClock
) -> None:
    _record(store, {"t/1_a/1_x.sql": "USE s; CREATE TABLE a; INSERT INTO a 1"})
    place = FakeScriptTarget(wrap=CrashPoint(2, after=True).wrap)
    with pytest.raises(Crash):
        _runner(store, place, clock).run()
    assert place.tables == {"a": []}

    def refuse(_statement: str) -> None:
        raise BackendError("not now", code="BUSY")

    place.wrap, place.during = lambda session: session, refuse
    dead = {"is_alive": lambda _: False}
    failed = _runner(store, place, clock, **dead).run()
    assert failed.targets[0].outcomes[0].error == "statement 1 of 3: not now"
    place.during = lambda _: None
    assert not _runner(store, place, clock, **dead).run().has_failures
    assert place.tables == {"a": ["1 s"]}


def test_a_store_that_fails_in_the_middle_stops_the_target_and_the_rest_is_done_later(
    store: FakeStore, place: FakeScriptTarget, clock: FixedClock
) -> None:
    _record(store, {"t/1_a/1_x.sql": "CREATE TABLE a; INSERT INTO a 1; INSERT INTO a 2"})
    store.fail_on("merge", nth=4)
    report = _runner(store, place, clock).run()
    assert report.has_failures
    assert place.tables == {"a": ["1"]}
    store.heal()
    assert not _runner(store, place, clock).run().has_failures
    assert place.tables == {"a": ["1", "2"]}


def test_two_runners_at_once_run_each_script_once(store: FakeStore, clock: FixedClock) -> None:
    _record(store, {f"t/1_a/{n}_x.sql": f"S{n}" for n in range(1, 6)})
    both = threading.Barrier(2)
    place = FakeScriptTarget()
    runners = [
        _runner(
            store,
            place,
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

    assert place.ran == [f"S{n}" for n in range(1, 6)]
    assert not any(report.has_failures for report in reports)
    assert len(_log(store)) == 5


def test_one_runner_in_two_threads_is_two_runners(store: FakeStore, clock: FixedClock) -> None:
    """Tasks of one job share their app, and so its runner."""
    _record(store, {f"t/1_a/{n}_x.sql": f"S{n}" for n in range(1, 4)})
    place = FakeScriptTarget()
    runner = _runner(store, place, clock, sleep=lambda _: threading.Event().wait(0.001))
    threads = [threading.Thread(target=runner.run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert place.ran == ["S1", "S2", "S3"]


def test_a_runner_that_lost_its_lease_runs_nothing_more_and_says_nothing_in_the_log(
    store: FakeStore, clock: FixedClock
) -> None:
    _record(store, {"t/1_a/1_x.sql": "X; Y; Z", "t/1_a/2_y.sql": "LATER"})
    now = [0.0]
    place = FakeScriptTarget()

    def pause(statement: str) -> None:
        if statement == "Y":
            now[0] += 61

    place.during = pause
    report = _runner(store, place, clock, monotonic=lambda: now[0]).run()
    assert place.ran == ["X", "Y"]
    assert [str(o.status) for o in report.targets[0].outcomes] == ["failed", "skipped"]
    assert "ran out" in report.targets[0].outcomes[0].error
    assert _log(store) == []
    now[0] += 1
    place.during = lambda _: None
    done = _runner(store, place, clock, monotonic=lambda: now[0], is_alive=lambda _: False).run()
    assert not done.has_failures
    assert place.ran == ["X", "Y", "Y", "Z", "LATER"]


def test_a_target_that_waits_in_vain_shows_what_ran_before_and_says_who_has_it(
    store: FakeStore, place: FakeScriptTarget, clock: FixedClock
) -> None:
    _record(store, {"t/1_a/1_x.sql": "X"})
    _runner(store, place, clock).run()
    _record(store, {"t/1_a/2_y.sql": "Y"})
    events: list[Any] = []
    terms = LeaseTerms(wait_seconds=3)
    other = Leases(store, TABLES, "other", clock=clock).of("t")
    with other.held():
        report = _runner(store, place, clock, terms=terms, progress=events.append).run()
    assert [str(o.status) for o in report.targets[0].outcomes] == ["already_run", "skipped"]
    assert "another runner holds it: other/" in report.targets[0].error
    assert report.to_dict()["exceptions"] == 1
    assert [(event.step, event.key) for event in events] == [("wait for another runner", "t")]


def test_a_run_that_is_interrupted_begins_no_other_script(
    store: FakeStore, clock: FixedClock
) -> None:
    """The interruption comes to the thread that waits, as Ctrl-C does."""
    _record(store, {"a/1_a/1_x.sql": "A", "b/1_a/1_x.sql": "B1", "b/1_a/2_y.sql": "B2"})
    began = threading.Event()

    def during(statement: str) -> None:
        if statement == "A":
            began.wait(10)
            raise KeyboardInterrupt
        began.set()
        threading.Event().wait(0.2)

    place = FakeScriptTarget(during=during)
    with pytest.raises(KeyboardInterrupt):
        _runner(store, place, clock).run()
    assert place.ran == ["B1"]
    assert (
        not _runner(store, FakeScriptTarget(), clock, is_alive=lambda _: False).run().has_failures
    )
