"""The shipped fakes: what a test can ask of them beyond the contract."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from lakeflow_meta.errors import BackendError
from lakeflow_meta.names import TableName
from lakeflow_meta.ports import RunState
from lakeflow_meta.testing import Call, FakeJobs, FakeQueries, FakeStore, FixedClock, InjectedError


def test_a_fault_before_a_call_keeps_it_from_taking_effect() -> None:
    fake = FakeJobs()
    fake.fail_on("create_job", nth=2, when="before")
    fake.create_job({"name": "a"})
    with pytest.raises(InjectedError) as raised:
        fake.create_job({"name": "b"})
    assert raised.value.transient
    fake.create_job({"name": "c"})
    assert [job.settings["name"] for job in fake.list_jobs()] == ["a", "c"]


def test_a_fault_after_a_call_loses_only_the_answer() -> None:
    fake = FakeJobs()
    fake.fail_on("create_job", when="after", error=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        fake.create_job({"name": "a"})
    assert [job.settings["name"] for job in fake.list_jobs()] == ["a"]


def test_healed_faults_do_not_strike_and_unknown_methods_are_refused() -> None:
    fake = FakeJobs()
    fake.fail_on("list_jobs")
    fake.heal()
    assert list(fake.list_jobs()) == []
    with pytest.raises(ValueError, match="no method 'creat_job'"):
        fake.fail_on("creat_job")


@pytest.mark.parametrize(
    ("fake", "method"), [(FakeQueries(), "list_queries"), (FakeStore(), "version")]
)
def test_every_fake_fails_on_demand(fake: FakeQueries | FakeStore, method: str) -> None:
    arguments = [TableName.parse("a.b.c")] if method == "version" else []
    fake.fail_on(method, nth=2)
    fake.fail_on(method, nth=3, error=KeyboardInterrupt())
    call = getattr(fake, method)
    call(*arguments)
    with pytest.raises(InjectedError):
        call(*arguments)
    with pytest.raises(KeyboardInterrupt):
        call(*arguments)
    call(*arguments)
    with pytest.raises(ValueError, match="no method 'list_jobs'"):
        fake.fail_on("list_jobs")


def test_every_call_is_logged_as_it_was_made_also_one_that_failed() -> None:
    fake = FakeJobs()
    settings = {"name": "a"}
    job_id = fake.create_job(settings)
    settings["name"] = "changed later"
    list(fake.list_jobs())
    with pytest.raises(BackendError):
        fake.update_job(job_id, {"nmae": "x"}, ["tags"])
    assert fake.calls[0] == Call("create_job", {"settings": {"name": "a"}})
    assert [call.method for call in fake.calls] == ["create_job", "list_jobs", "update_job"]
    assert [call.method for call in fake.writes] == ["create_job", "update_job"]
    assert fake.calls_of("update_job")[0].arguments["fields_to_remove"] == ("tags",)


def test_the_end_of_a_task_can_be_scripted() -> None:
    fake = FakeJobs()
    fake.task_states["a"] = RunState.FAILED
    wheel = {"package_name": "p", "entry_point": "e"}
    tasks = [
        {"task_key": "a", "python_wheel_task": wheel},
        {"task_key": "b", "python_wheel_task": wheel, "depends_on": [{"task_key": "a"}]},
    ]
    run = fake.follow_run(fake.run_job(fake.create_job({"tasks": tasks}), {}))
    assert run.state is RunState.FAILED
    assert [task.state for task in run.tasks] == [RunState.FAILED, RunState.UPSTREAM_FAILED]


def test_a_fixed_clock_stands_still_until_it_is_moved() -> None:
    clock = FixedClock(datetime(2026, 3, 1, tzinfo=UTC))
    assert clock() == clock() == datetime(2026, 3, 1, tzinfo=UTC)
    clock.advance(90)
    assert clock() == datetime(2026, 3, 1, 0, 1, 30, tzinfo=UTC)
    ticking = FixedClock(step_seconds=1)
    assert ticking() + timedelta(seconds=1) == ticking()
    with pytest.raises(ValueError, match="aware"):
        clock.set(datetime(2026, 3, 1))  # noqa: DTZ001 - the naive time is what is refused
