"""The decisions alone, over clocks that wander and looks that are lost."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeflow_meta.ports import LiveJob
from lakeflow_meta.serve.due import Decision, current_memory, due_by_files, due_by_time
from lakeflow_meta.serve.memory import Memory, fire_to_json, read_fire, read_memory
from lakeflow_meta.serve.triggers import NotHere, OnFiles, StartedJob, started_job

START = datetime(2026, 3, 28, tzinfo=UTC)


def _job(**settings: object) -> StartedJob:
    found = started_job(LiveJob(7, {"name": "j", **settings}))
    assert found is not None
    return found


CRON = _job(schedule={"quartz_cron_expression": "0 0/10 * * * ?", "timezone_id": "Europe/Berlin"})
PERIODIC = _job(trigger={"periodic": {"interval": 7, "unit": "MINUTES"}})
FILES = _job(trigger={"file_arrival": {"url": "/Volumes/a/b/c"}})


@pytest.mark.parametrize("job", [CRON, PERIODIC], ids=["cron", "periodic"])
@given(st.lists(st.tuples(st.integers(-4000, 9000), st.booleans()), max_size=40))
def test_no_time_is_fired_twice_or_early_whatever_the_clock_does(
    job: StartedJob, steps: list[tuple[int, bool]]
) -> None:
    now, memory, tokens = START, current_memory(job, None, START), set()
    for seconds, restarts in steps:
        now += timedelta(seconds=seconds)
        if restarts:
            memory = read_memory(memory.to_json())
        memory = current_memory(job, memory, now)
        decision = due_by_time(job, memory, now, was_away=restarts)
        memory = decision.memory
        if decision.fire is not None and decision.fire.token not in tokens:
            assert decision.fire.trigger.at is not None
            assert decision.fire.trigger.at <= now
            tokens.add(decision.fire.token)
        assert memory.looked_until <= now


@pytest.mark.parametrize("job", [CRON, PERIODIC], ids=["cron", "periodic"])
@given(st.lists(st.integers(1, 420), min_size=1, max_size=60))
def test_whoever_looks_often_enough_fires_every_time(job: StartedJob, steps: list[int]) -> None:
    now, memory, fired = START, current_memory(job, None, START), []
    for seconds in steps:
        now += timedelta(seconds=seconds)
        decision = due_by_time(job, memory, now)
        memory = decision.memory
        if decision.fire is not None:
            fired.append(decision.fire.trigger.at)
    every = timedelta(minutes=10 if job is CRON else 7)
    assert fired == [START + every * n for n in range(1, (now - START) // every + 1)]


_NAMES = st.frozensets(st.sampled_from("abcdef"), max_size=6)


@given(st.lists(st.tuples(_NAMES, st.booleans()), max_size=30))
def test_every_arrival_belongs_to_exactly_one_fire(
    looks: list[tuple[frozenset[str], bool]],
) -> None:
    """What arrives is in the folder at one look and was not at the one before."""
    assert isinstance(FILES.starter, OnFiles)
    memory, seen = current_memory(FILES, None, START), frozenset[str]()
    before: frozenset[str] | None = None
    for number, (names, restarts) in enumerate(looks):
        now = START + timedelta(seconds=number)
        memory = read_memory(memory.to_json()) if restarts else memory
        files = dict.fromkeys(names, (1, 1))
        decision: Decision = due_by_files(FILES, FILES.starter, memory, seen, files, now)
        memory, seen = decision.memory, (seen | decision.appeared) - decision.gone
        arrived = frozenset[str]() if before is None else names - before
        assert (decision.fire is not None) == bool(arrived)
        assert before is None or decision.appeared == arrived
        before = names


@given(
    st.builds(
        Memory,
        identity=st.text(),
        since=st.just(START),
        looked_until=st.just(START + timedelta(microseconds=1)),
        fired_at=st.none() | st.just(START),
        fires=st.integers(0, 9),
        paused=st.booleans(),
        activity=st.text(max_size=5),
        active_at=st.none() | st.just(START),
        versions=st.dictionaries(st.text(max_size=5), st.integers(-1, 99), max_size=3),
        changed=st.frozensets(st.text(max_size=5), max_size=3),
        has_baseline=st.booleans(),
    )
)
def test_what_is_remembered_comes_back_as_it_was(memory: Memory) -> None:
    assert read_memory(memory.to_json()) == memory


def test_a_fire_comes_back_as_it_was() -> None:
    memory = current_memory(CRON, None, START)
    fire = due_by_time(CRON, memory, START + timedelta(hours=1)).fire
    assert fire is not None
    assert read_fire(fire.job_id, fire.token, fire_to_json(fire)) == fire


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"identity": 1}', "null"])
def test_a_damaged_memory_is_an_error_that_its_reader_expects(text: str) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        read_memory(text)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"schedule": {"quartz_cron_expression": "0 0 2 * * *", "timezone_id": "UTC"}},
            "exactly one",
        ),
        ({"trigger": {"model": {"name": "m"}}}, "platform alone"),
        ({"trigger": {"table_update": {"table_names": []}}}, "table_names"),
        ({"trigger": {}}, "periodic"),
    ],
)
def test_what_cannot_be_waited_for_says_why(settings: dict[str, object], said: str) -> None:
    job = _job(**settings)
    assert isinstance(job.starter, NotHere)
    assert said in str(job.starter)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (
            {"schedule": {"quartz_cron_expression": "0 0 2 * * ?", "timezone_id": "UTC"}},
            "0 0 2 * * ? UTC",
        ),
        ({"trigger": {"periodic": {"interval": 1, "unit": "DAYS"}}}, "every 1 day"),
        ({"trigger": {"periodic": {"interval": 2, "unit": "WEEKS"}}}, "every 2 weeks"),
        (
            {
                "trigger": {
                    "file_arrival": {
                        "url": "/Volumes/a/b/c",
                        "wait_after_last_change_seconds": 60,
                        "min_time_between_triggers_seconds": 300,
                    }
                }
            },
            "files in /Volumes/a/b/c, after 60 s of quiet, at most every 300 s",
        ),
        (
            {"trigger": {"table_update": {"table_names": ["a.b.c", "a.b.d"]}}},
            "changes of a.b.c or a.b.d",
        ),
        ({"continuous": {}}, "continuous"),
        ({"continuous": {"task_retry_mode": "NEVER"}}, "continuous"),
        (
            {"continuous": {"task_retry_mode": "ON_FAILURE"}},
            "continuous; task_retry_mode has no effect here, give the tasks max_retries",
        ),
    ],
)
def test_what_starts_a_job_fits_in_one_line(settings: dict[str, object], line: str) -> None:
    assert str(_job(**settings).starter) == line
