"""Records of many jobs in few commits, while other jobs go out."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from lakeflow_meta.control.tables import EVENTS, JOBS, ControlTables
from lakeflow_meta.errors import BackendError
from lakeflow_meta.jobs.journal import Journal
from lakeflow_meta.jobs.records import JobRecord
from lakeflow_meta.ports import MergeResult

World = Any
TABLES = ControlTables.named("main.lakeflow.etl_control")


def journal(world: World, store: Any = None) -> Journal:
    return Journal(store or world.store, TABLES, clock=world.clock, actor="tester")


def write(book: Journal, name: str) -> None:
    book.event(name, "created", 1, ())
    book.record(JobRecord(name, 1, name))


class Slow:
    """A store whose merges wait until they may go on."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.begun = threading.Event()
        self.may_end = threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def merge(self, *arguments: Any, **options: Any) -> MergeResult:
        self.begun.set()
        assert self.may_end.wait(30)
        found: MergeResult = self._store.merge(*arguments, **options)
        return found


def test_a_full_page_is_one_commit_of_each_table(world: World) -> None:
    book = journal(world)
    before = world.versions()
    for number in range(2 * Journal.BATCH + 1):
        write(book, f"m{number}")
    book.flush()
    after = world.versions()
    for layout in (JOBS, EVENTS):
        name = str(TABLES.of(layout))
        assert after[name] - before[name] == 3
    assert len(world.records) == 2 * Journal.BATCH + 1


def test_others_go_on_while_one_writes_and_share_the_next_commit(world: World) -> None:
    slow = Slow(world.store)
    book = journal(world, slow)
    write(book, "a")
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(book.flush)
        assert slow.begun.wait(30)
        write(book, "b")  # does not wait
        write(book, "c")
        others = [pool.submit(book.flush) for _ in range(2)]
        slow.may_end.set()
        for flush in (first, *others):
            flush.result()
    assert sorted(world.records) == ["a", "b", "c"]
    assert world.store.calls["merge"] == 2


def test_what_cannot_be_written_is_named_and_the_next_page_is_written(world: World) -> None:
    book = journal(world)
    write(book, "a")
    world.store.fail_on("merge", error=BackendError("disk full"))
    book.flush()
    write(book, "b")
    book.flush()
    assert book.failures == {"a": "disk full"}
    assert list(world.records) == ["b"]
