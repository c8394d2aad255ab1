"""Lanes: who holds them, for how long, and who takes them over."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from lakeflow_meta.backends.processes import may_be_alive, process_name
from lakeflow_meta.control.tables import STATE, ControlTables
from lakeflow_meta.errors import ConflictError
from lakeflow_meta.ingest.lanes import MAX_LANES, LaneLostError, Lanes, LeaseTerms
from lakeflow_meta.names import TableName
from lakeflow_meta.testing.clock import FixedClock
from lakeflow_meta.testing.fake_store import FakeStore

TABLES = ControlTables.named("main.lakeflow.etl_control")
TARGET = TableName.parse("main.raw.people")


class Place:
    def __init__(self) -> None:
        self.clock = FixedClock()
        self.store = FakeStore(self.clock)
        self.dead: set[str] = set()

    def lanes(self, owner: str, terms: LeaseTerms | None = None) -> Lanes:
        return Lanes(
            self.store,
            TABLES,
            TARGET,
            owner=owner,
            is_alive=lambda name: name not in self.dead,
            clock=self.clock,
            terms=terms or LeaseTerms(seconds=60, renew_seconds=20),
        )


@pytest.fixture
def place() -> Place:
    return Place()


def test_two_owners_get_two_lanes_and_a_released_one_is_used_again(place: Place) -> None:
    first = place.lanes("a").acquire()
    second = place.lanes("b").acquire()
    assert first.app_id != second.app_id
    first.release()
    assert place.lanes("c").acquire().app_id == first.app_id


def test_versions_are_remembered_by_the_lane(place: Place) -> None:
    lane = place.lanes("a").acquire()
    lane.start_version(7)
    lane.release()
    assert place.lanes("b").acquire().version == 7


def test_a_lane_of_a_dead_owner_is_taken_at_once_and_of_a_living_one_when_its_lease_ends(
    place: Place,
) -> None:
    lane = place.lanes("a").acquire()
    assert place.lanes("b").acquire_app(lane.app_id) is None
    place.clock.advance(59)
    assert place.lanes("b").acquire_app(lane.app_id) is None
    place.clock.advance(1)
    taken = place.lanes("b").acquire_app(lane.app_id)
    assert taken is not None
    assert place.lanes("c").acquire_app(lane.app_id) is None
    place.dead.add("b")
    assert place.lanes("c").acquire_app(lane.app_id) is not None


def test_who_lost_a_lane_can_neither_use_nor_release_it(place: Place) -> None:
    lost = place.lanes("a").acquire()
    place.clock.advance(61)
    held = place.lanes("b").acquire()
    assert held.app_id == lost.app_id
    with pytest.raises(LaneLostError):
        lost.start_version(2)
    lost.release()
    held.start_version(3)
    assert held.version == 3


def test_a_lane_that_the_state_table_lost_is_made_anew_under_its_name(place: Place) -> None:
    taken = place.lanes("a").acquire_app("ingest-orphan")
    assert taken is not None
    assert taken.app_id == "ingest-orphan"
    assert place.lanes("b").acquire().app_id != "ingest-orphan"


def test_lanes_to_avoid_are_avoided(place: Place) -> None:
    lane = place.lanes("a").acquire()
    lane.release()
    assert place.lanes("b").acquire(avoid={lane.app_id}).app_id != lane.app_id


def test_there_is_an_end_to_lanes(place: Place) -> None:
    for number in range(MAX_LANES):
        place.lanes(f"owner {number}").acquire()
    with pytest.raises(ConflictError, match="held by running ingestors"):
        place.lanes("one more").acquire()


def test_a_lease_is_renewed_as_long_as_work_goes_on(place: Place) -> None:
    lane = place.lanes("a", LeaseTerms(seconds=60, renew_seconds=0.01)).acquire()
    with lane.kept():
        before = place.store.version(TABLES.of(STATE))
        end = time.monotonic() + 5
        while place.store.version(TABLES.of(STATE)) == before and time.monotonic() < end:
            time.sleep(0.005)
    after = place.store.version(TABLES.of(STATE))
    assert after is not None
    assert before is not None
    assert after > before
    time.sleep(0.05)
    assert place.store.version(TABLES.of(STATE)) == after
    lane.start_version(2)


def test_a_process_is_alive_until_it_has_ended() -> None:
    assert may_be_alive(f"{process_name()}/ingest")
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    owner = process_name(child.pid)
    assert may_be_alive(owner)
    child.communicate(b"\n")
    assert not may_be_alive(owner)


@pytest.mark.parametrize("owner", ["elsewhere:1:2", "nonsense", ""])
def test_of_other_machines_nothing_is_known(owner: str) -> None:
    assert may_be_alive(owner)
