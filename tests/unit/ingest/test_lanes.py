"""Lanes: who holds them, for how long, and who takes them over."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from lakeflow_meta.backends.processes import is_running, process_name
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
        self.one_machine = True

    def is_alive(self, owner: str) -> bool | None:
        if owner in self.dead:
            return False
        return True if self.one_machine else None

    def lanes(self, owner: str, terms: LeaseTerms | None = None) -> Lanes:
        return Lanes(
            self.store,
            TABLES,
            TARGET,
            owner=owner,
            is_alive=self.is_alive,
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


DAY = 24 * 60 * 60


def test_a_lane_of_a_dead_owner_is_taken_at_once(place: Place) -> None:
    lane = place.lanes("a").acquire()
    assert place.lanes("b").acquire_app(lane.app_id) is None
    place.dead.add("a")
    assert place.lanes("b").acquire_app(lane.app_id) is not None


@pytest.mark.parametrize("jump", [61, DAY, -DAY])
def test_no_clock_takes_a_lane_from_a_process_that_runs(place: Place, jump: float) -> None:
    """A slow one, that has not renewed its lease; or one whose clock was set."""
    lane = place.lanes("a").acquire()
    place.clock.advance(jump)
    assert place.lanes("b").acquire_app(lane.app_id) is None
    lane.start_version(2)
    assert place.lanes("b").acquire_app(lane.app_id) is None


@pytest.mark.parametrize("jump", [0, DAY, -DAY])
def test_no_clock_keeps_a_lane_for_a_process_that_is_gone(place: Place, jump: float) -> None:
    lane = place.lanes("a").acquire()
    place.clock.advance(jump)
    place.dead.add("a")
    assert place.lanes("b").acquire_app(lane.app_id) is not None


def test_of_another_machine_the_lease_is_known_and_no_more(place: Place) -> None:
    place.one_machine = False
    lane = place.lanes("a").acquire()
    place.clock.advance(59)
    assert place.lanes("b").acquire_app(lane.app_id) is None
    place.clock.advance(1)
    taken = place.lanes("b").acquire_app(lane.app_id)
    assert taken is not None
    assert place.lanes("c").acquire_app(lane.app_id) is None


@pytest.mark.parametrize("jump", [DAY, -DAY])
def test_a_lease_of_another_machine_is_counted_by_the_clock_of_who_asks(
    place: Place, jump: float
) -> None:
    place.one_machine = False
    lane = place.lanes("a").acquire()
    place.clock.advance(jump)
    taken = place.lanes("b").acquire_app(lane.app_id)
    assert (taken is not None) == (jump > 0)
    if taken is None:
        lane.start_version(1)  # the holder renews it by the new clock
        place.clock.advance(61)
        assert place.lanes("b").acquire_app(lane.app_id) is not None
    else:
        with pytest.raises(LaneLostError):
            lane.start_version(1)


def test_a_run_that_ended_without_giving_its_lane_back_is_known_to_its_own_process(
    place: Place,
) -> None:
    lanes = place.lanes("host:1/first")
    with lanes.at_work():
        lane = lanes.acquire()
        assert place.lanes("host:1/second").acquire_app(lane.app_id) is None
    assert place.lanes("other:2/third").acquire_app(lane.app_id) is None
    assert place.lanes("host:1/second").acquire_app(lane.app_id) is not None


def test_who_lost_a_lane_can_neither_use_nor_release_it(place: Place) -> None:
    place.one_machine = False
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


def test_a_process_runs_until_it_has_ended() -> None:
    assert is_running(f"{process_name()}/ingest") is True
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    owner = process_name(child.pid)
    assert is_running(owner) is True
    child.communicate(b"\n")
    assert is_running(owner) is False


@pytest.mark.parametrize("owner", ["elsewhere:1:2", "nonsense", ""])
def test_of_other_machines_nothing_is_known(owner: str) -> None:
    assert is_running(owner) is None
