"""The lease of a target: who gets it, who keeps it, whatever clocks do."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from lakeflow_meta.control.tables import STATE, ControlTables
from lakeflow_meta.errors import ConflictError
from lakeflow_meta.scripts.target_lease import Leases, LeaseTerms, TargetLease
from lakeflow_meta.testing.clock import FixedClock
from lakeflow_meta.testing.fake_store import FakeStore

TABLES = ControlTables.named("main.ops.etl_control")


class World:
    """A store, a clock that people set, and seconds that only pass."""

    def __init__(self) -> None:
        self.clock = FixedClock()
        self.store = FakeStore(self.clock)
        self.store.ensure(TABLES.of(STATE), STATE)
        self.seconds = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds

    def leases(self, owner: str, **more: Any) -> Leases:
        return Leases(
            self.store,
            TABLES,
            owner,
            **{"clock": self.clock, "sleep": self.sleep, "monotonic": lambda: self.seconds, **more},
        )

    def dead_holder(self) -> TargetLease:
        lease = self.leases("gone").of("t")
        assert lease._take(lease._read())
        return lease


@pytest.fixture
def world() -> World:
    return World()


def test_a_runner_that_died_is_followed_at_once_where_its_death_can_be_told(world: World) -> None:
    world.dead_holder()
    with world.leases("next", is_alive=lambda owner: not owner.startswith("gone/")).of("t").held():
        assert world.slept == []


def test_a_dead_runner_that_nobody_can_see_is_followed_when_its_lease_has_not_moved(
    world: World,
) -> None:
    world.dead_holder()
    seen: list[str] = []
    with world.leases("next").of("t").held(seen.append):
        assert sum(world.slept) == pytest.approx(60.0)
    assert len(seen) == 1
    assert seen[0].startswith("gone/")


@pytest.mark.parametrize("jump", [-86_400.0, 86_400.0])
def test_a_live_holder_keeps_its_lease_though_a_clock_jumps(world: World, jump: float) -> None:
    holder = world.dead_holder()  # it lives: it renews below
    terms = LeaseTerms(wait_seconds=300.0)

    def sleep(seconds: float) -> None:
        world.sleep(seconds)
        world.clock.advance(jump / 10)
        if len(world.slept) % 20 == 0:
            holder.remember("n", len(world.slept))

    waiter = world.leases("next", sleep=sleep, terms=terms).of("t")
    with pytest.raises(ConflictError, match="another runner holds it: gone/"), waiter.held():
        pass
    holder.check()


def test_who_was_paused_past_its_lease_may_not_go_on(world: World) -> None:
    holder = world.dead_holder()
    world.seconds += 59
    holder.check()
    world.seconds += 1
    with pytest.raises(ConflictError, match="ran out"):
        holder.check()


def test_who_lost_the_lease_cannot_write_its_memory(world: World) -> None:
    holder = world.dead_holder()
    holder.remember("s", 1)
    other = world.leases("next", is_alive=lambda _: False).of("t")
    with other.held(), pytest.raises(ConflictError, match="another runner took it"):
        holder.remember("s", 2)
    after = world.leases("last").of("t")
    with after.held():
        assert after.recall("s") == 1
        after.forget("s")
    again = world.leases("last").of("t")
    with again.held():
        assert again.recall("s") is None


def test_of_many_at_once_one_holds_it_at_a_time() -> None:
    world = World()
    inside: list[int] = []
    most: list[int] = []

    def go(number: int) -> None:
        lease = world.leases(f"p{number}", sleep=lambda _: threading.Event().wait(0.001)).of("t")
        with lease.held():
            inside.append(number)
            most.append(len(inside))
            threading.Event().wait(0.002)
            inside.remove(number)

    threads = [threading.Thread(target=go, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 5


def test_an_answer_that_was_lost_does_not_lose_the_lease(world: World) -> None:
    lease = world.dead_holder()
    world.store.fail_on("merge", when="after")
    with pytest.raises(Exception, match="injected"):
        lease.remember("s", 1)
    lease.remember("s", 2)
    lease.check()


def test_a_renewal_that_fails_is_tried_again(world: World) -> None:
    terms = LeaseTerms(lease_seconds=0.06)
    lease = Leases(world.store, TABLES, "me", terms=terms).of("t")
    with lease.held():
        world.store.fail_on("merge")
        for _ in range(12):
            threading.Event().wait(0.02)
        lease.check()


def test_a_row_of_an_earlier_layout_is_understood(world: World) -> None:
    old = '{"owner":"","until":"2026-01-01T00:00:00+00:00"}'
    row = {"key": "ddl/t", "value": old, "fence": 3}
    world.store.merge(TABLES.of(STATE), [row], keys=["key"])
    lease = world.leases("next").of("t")
    with lease.held():
        assert lease.recall("anything") is None
