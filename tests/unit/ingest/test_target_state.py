"""What is told of a target that is not what the ledger takes it for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from ingest_world import source

from lakeflow_meta.errors import ConfigError
from lakeflow_meta.ingest.target_state import (
    RETENTION,
    TargetState,
    retention_of,
    target_warnings,
)
from lakeflow_meta.names import TableName

TABLE = TableName.parse("main.raw.people")


def told(state: TargetState, **loaded: int) -> str:
    return " | ".join(target_warnings(TABLE, state, loaded, lease_seconds=120))


def test_a_table_that_knows_all_batches_needs_no_word() -> None:
    assert told(TargetState(True, {"a": 4, "b": 9}), a=4, b=7) == ""
    assert told(TargetState(True)) == ""
    assert told(TargetState(False)) == ""


def test_a_table_that_is_gone_and_one_that_forgot_are_told_with_the_remedy() -> None:
    assert "main.raw.people is gone" in told(TargetState(False), a=1)
    assert "does not know batches" in told(TargetState(True, {"a": 3}), a=4)
    assert "does not know batches" in told(TargetState(True), a=1)
    assert "--force" in told(TargetState(False), a=1)
    assert "--force" in told(TargetState(True), a=1)


def test_a_table_that_could_not_tell_everything_is_not_suspected() -> None:
    assert told(TargetState(True, {}, complete=False), a=1) == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("interval 30 days", timedelta(days=30)),
        ("INTERVAL 1 DAY 2 hours", timedelta(hours=26)),
        ("1 week", timedelta(days=7)),
        ("interval 90 seconds", timedelta(seconds=90)),
        ("", None),
    ],
)
def test_retention_is_read_as_delta_writes_it(text: str, expected: timedelta | None) -> None:
    assert retention_of({RETENTION: text}) == expected
    assert retention_of({}) is None


def test_a_short_retention_is_told_and_one_below_the_lease_is_refused() -> None:
    assert told(TargetState(True, retention=timedelta(days=8))) == ""
    assert "forgets transactions after 1 day" in told(
        TargetState(True, retention=timedelta(days=1))
    )
    with pytest.raises(ConfigError, match="0:01:00"):
        told(TargetState(True, retention=timedelta(minutes=1)))


def test_a_run_with_something_new_tells_of_a_target_that_was_dropped(world: Any) -> None:
    world.files.put("/in/a.csv", "1\n")
    assert world.ingest().warnings == ()
    world.target.commits.clear()
    world.target.exists = False
    world.files.put("/in/b.csv", "2\n")
    first = world.ingest()
    assert first.processed == 1
    assert "is gone" in first.warnings[0]
    world.target.exists = True
    world.target.commits.clear()
    world.files.put("/in/c.csv", "3\n")
    assert "does not know batches" in world.ingest().warnings[0]
    assert world.ingest().warnings == ()


def test_a_batch_whose_files_are_all_gone_is_fenced_against_who_began_it(
    world_factory: Any, killed: type[BaseException]
) -> None:
    """Its client died in the append; what the client had asked for may be at work still."""
    probe = world_factory()
    probe.files.put("/in/a.csv", "1\n")
    first = probe.process("p1")
    first.ingest(source())
    load = first.steps.index("loader.load") + 1

    world = world_factory()
    world.files.put("/in/a.csv", "1\n")
    with pytest.raises(killed):
        world.process("p1", stop_at=load).ingest(source())
    world.files.remove("/in/a.csv")
    result = world.process("p2").ingest(source())
    assert [failure.reason for failure in result.failures] == ["it is gone"]
    [fence] = world.target.commits
    assert fence.lines == {}
    assert str(fence.batch_id) == world.ledger("batch_id")["/in/a.csv"]
