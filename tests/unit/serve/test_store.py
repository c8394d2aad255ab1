"""The file of `serve`: damaged, newer, read by others while it is held."""

import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest

from lakeflow_meta.backends import serve_store
from lakeflow_meta.backends.processes import process_name
from lakeflow_meta.backends.serve_store import ServeStore
from lakeflow_meta.errors import BackendError, ConfigError, ConflictError
from lakeflow_meta.ports import Trigger
from lakeflow_meta.serve.memory import Fire, Memory, Note
from lakeflow_meta.testing import FixedClock

ELSEWHERE = "far@away.1:77:5"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "home" / "serve.db"


def _memory(clock: FixedClock) -> Memory:
    return Memory("i", since=clock(), looked_until=clock())


def test_a_file_that_is_no_database_is_an_error_with_the_remedy(file: Path) -> None:
    file.parent.mkdir()
    file.write_text("not a database" * 100)
    with pytest.raises(BackendError, match="delete it: jobs and runs are kept elsewhere"):
        ServeStore(file)


def test_a_file_of_a_newer_version_is_refused(file: Path) -> None:
    ServeStore(file).close()
    with sqlite3.connect(file) as newer:
        newer.execute("PRAGMA user_version = 9")
    newer.close()
    with pytest.raises(ConfigError, match="upgrade"):
        ServeStore(file)


def test_a_damaged_memory_is_begun_again_and_the_others_are_kept(file: Path) -> None:
    store, clock = ServeStore(file), FixedClock()
    store.remember([Note(1, _memory(clock)), Note(2, _memory(clock))])
    with sqlite3.connect(file) as other:
        other.execute("UPDATE memories SET memory = '{' WHERE job_id = 1")
    other.close()
    assert set(store.memories()) == {2}
    store.close()


def test_all_notes_are_written_or_none(file: Path) -> None:
    store, clock = ServeStore(file), FixedClock()
    impossible = Note(2, _memory(clock), appeared=frozenset({None}))  # type: ignore[arg-type]
    with pytest.raises(BackendError):
        store.remember([Note(1, _memory(clock)), impossible])
    assert store.memories() == {}
    store.close()


def test_whoever_is_on_another_machine_is_believed_for_a_minute(file: Path) -> None:
    clock = FixedClock()
    far, near = ServeStore(file, clock, process=ELSEWHERE), ServeStore(file, clock)
    far.take()
    clock.advance(59)
    with pytest.raises(ConflictError, match="process 77 on far serves this home already"):
        near.take()
    assert near.held_by() == "process 77 on far"
    far.renew()
    clock.advance(61)
    assert near.held_by() is None
    assert near.take() == ELSEWHERE
    assert near.held_by() is not None
    assert process_name().split(":")[1] in str(near.held_by())
    far.close()
    near.close()


def test_forgetting_a_job_leaves_nothing_of_it(file: Path) -> None:
    store, clock = ServeStore(file), FixedClock()
    for job_id in (1, 2):
        fire = Fire(job_id, f"{job_id}#1", Trigger(at=clock() + timedelta(1)))
        assert store.claim(fire, Note(job_id, _memory(clock), appeared=frozenset({"a"})))
        assert not store.claim(fire, Note(job_id, _memory(clock)))
    store.forget([1])
    assert set(store.memories()) == {2}
    assert store.seen_files(1) == frozenset()
    assert [fire.job_id for fire in store.open_fires()] == [2]
    store.settle("2#1", "run 5")
    assert store.open_fires() == []
    store.close()


def test_fires_are_kept_for_a_while_and_open_ones_until_they_are_settled(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve_store, "_KEPT_FIRES", 3)
    store, clock = ServeStore(file), FixedClock()
    store.take()
    for number in range(9):
        store.claim(Fire(1, str(number), Trigger()), Note(1, _memory(clock)))
        if number:
            store.settle(str(number), "run")
    store.renew()
    assert [fire.token for fire in store.open_fires()] == ["0"]
    known = [not store.claim(Fire(1, str(n), Trigger()), Note(1, _memory(clock))) for n in range(9)]
    assert known == [True, False, False, False, False, False, True, True, True]
    store.close()


def test_two_memories_never_share_an_identity(tmp_path: Path) -> None:
    first, second = ServeStore(tmp_path / "a.db"), ServeStore(tmp_path / "b.db")
    assert first.identity != second.identity
    first.close()
    assert ServeStore(tmp_path / "a.db").identity == first.identity
    second.close()
