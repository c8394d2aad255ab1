"""The commands and the Python class, on real control tables and files; rows go in without Spark."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from ingest_worker import DeltaRsLoader

from lakeflow_meta import ConfigError, IdempotentIngestor, NotFoundError, RunFailedError, SpecError
from lakeflow_meta.app import App
from lakeflow_meta.cli.main import run
from lakeflow_meta.cli.output import Output, Session
from lakeflow_meta.control.tables import EVENTS, FILES
from lakeflow_meta.ingest.batch import BadFilesError, Batch, BatchCounts
from lakeflow_meta.names import TableName

METADATA = """
modules:
  - module_name: shop
    sources:
      - source_id: orders
        source_type: file
        source_config: {path: landing/orders, format: text}
        target_config: {table: main.raw.rows}
      - source_id: people
        source_type: file
        source_config: {path: landing/people, glob: "*.txt"}
        target_config: {table: main.raw.rows}
"""


class Loader(DeltaRsLoader):
    """Refuses files that hold ``BAD``."""

    def load(self, batch: Batch) -> BatchCounts:
        """Append once."""
        bad = [path for path in batch.paths if "BAD" in Path(path).read_text()]
        if bad:
            raise BadFilesError(dict.fromkeys(bad, "it holds BAD\n  Traceback: line 1"))
        return super().load(batch)


class Project:
    """A directory in which the commands run, one after another, in this process."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.loads = 0

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def loader(self, _app: App) -> Loader:
        self.loads += 1
        return Loader(self.root / "target")

    @property
    def lines(self) -> list[str]:
        rows = DeltaTable(self.root / "target").to_pyarrow_table()
        return sorted(rows["line"].to_pylist())

    def run(self, *arguments: str, code: int = 0) -> str:
        out, err = StringIO(), StringIO()
        session = Session(Output(as_json="--json" in arguments, out=out, err=err))
        assert run([*arguments], session) == code, out.getvalue() + err.getvalue()
        return out.getvalue() or err.getvalue()

    def json(self, *arguments: str, code: int = 0) -> Any:
        return json.loads(self.run("--json", *arguments, code=code))

    def rows(self, *arguments: str) -> list[dict[str, Any]]:
        return list(self.json("ingest", "log", *arguments))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LAKEFLOW_META_ACTOR", "ann")
    found = Project(tmp_path)
    monkeypatch.setattr(App, "batch_loader", lambda app: found.loader(app))
    found.write("shop.yml", METADATA)
    for name, text in (("orders/a.txt", "1\n"), ("orders/b.txt", "2\n"), ("people/c.txt", "3\n")):
        found.write(f"landing/{name}", text)
    found.run("sync", "shop.yml")
    return found


def counts(result: dict[str, Any]) -> tuple[int, int, int]:
    return result["processed"], result["skipped"], result["failed"]


def test_sources_are_ingested_once_and_nothing_new_asks_for_no_loader(project: Project) -> None:
    assert counts(project.json("ingest")) == (3, 0, 0)
    assert project.lines == ["1", "2", "3"]
    loads = project.loads
    result = project.json("ingest")
    assert counts(result) == (0, 3, 0)
    assert list(result["sources"]) == ["shop/orders", "shop/people"]
    assert project.loads == loads


def test_one_source_by_name_and_those_of_a_module(project: Project) -> None:
    assert counts(project.json("ingest", "people")) == (1, 0, 0)
    assert counts(project.json("ingest", "--module", "shop", "orders")) == (2, 0, 0)
    assert counts(project.json("ingest", "run", "shop/orders")) == (0, 2, 0)
    assert "did you mean orders?" in project.run("ingest", "order", code=2)


def test_a_bad_file_and_a_source_that_is_not_there_fail_and_the_others_go_on(
    project: Project,
) -> None:
    project.write("landing/orders/bad.txt", "BAD\n")
    for file in (project.root / "landing/people").iterdir():
        file.unlink()
    (project.root / "landing/people").rmdir()
    result = project.json("ingest", code=1)
    assert counts(result) == (2, 0, 2)
    failures = result["sources"]["shop/orders"]["failures"]
    assert [Path(failure["path"]).name for failure in failures] == ["bad.txt"]
    assert "there is no" in result["sources"]["shop/people"]["error"]
    text = project.run("ingest", code=1)
    assert "✗ shop/people" in text
    assert "it holds BAD" in text


def test_a_dry_run_writes_nothing_and_shows_what_a_run_would_do(project: Project) -> None:
    result = project.json("ingest", "--dry-run")
    assert (result["files"], result["bytes"]) == (3, 6)
    text = project.run("ingest", "--dry-run", "people")
    assert "1 files to ingest (2 bytes)" in text
    assert "+ " + str(project.root / "landing/people/c.txt") in text
    assert project.loads == 0
    assert project.rows() == []


def test_force_ingests_named_files_again_and_is_recorded(project: Project) -> None:
    project.run("ingest")
    result = project.json("ingest", "--force", "--file", "landing/orders/a*")
    assert counts(result) == (1, 0, 0)
    assert project.lines == ["1", "1", "2", "3"]
    app = App.from_environment()
    (event,) = [
        row for row in app.store.read(app.tables.of(EVENTS)).to_pylist() if row["verb"] == "ingest"
    ]
    assert (event["actor"], event["action"], event["object"]) == ("ann", "forced", "main.raw.rows")
    assert project.rows()[0]["attempt"] == 2
    text = project.run("ingest", "--file", "landing/none.txt", code=2)
    assert "no source has the file" in text


def test_the_log_is_the_newest_first_and_can_be_narrowed(project: Project) -> None:
    project.write("landing/orders/bad.txt", "BAD\n")
    project.run("ingest", "orders", code=1)
    project.run("ingest", "people")
    names = [Path(row["file_path"]).name for row in project.rows()]
    assert names[0] == "c.txt"
    assert sorted(names) == ["a.txt", "b.txt", "bad.txt", "c.txt"]
    assert [row["status"] for row in project.rows("--status", "failed")] == ["failed"]
    assert len(project.rows("--limit", "2")) == 2
    assert [Path(row["file_path"]).name for row in project.rows("people")] == ["c.txt"]
    last = project.rows()[0]["processed_at"]
    assert [row["processed_at"] for row in project.rows("--since", last)] == [last]
    assert "write pending, processing, success, failed" in project.run(
        "ingest", "log", "--status", "done", code=2
    )
    assert "bad.txt" in project.run("ingest", "log")


def test_files_that_no_source_names(project: Project) -> None:
    where = ("--table", "main.raw.rows")
    assert "3 files" not in project.run("ingest", "file", "landing/orders", *where, "--dry-run")
    assert counts(project.json("ingest", "file", "landing/orders", *where)) == (2, 0, 0)
    assert counts(project.json("ingest", "orders")) == (0, 2, 0), "it is the same ledger"
    assert counts(project.json("ingest", "file", "landing/*/c.txt", *where)) == (1, 0, 0)
    assert counts(project.json("ingest", "file", "landing/orders/a.txt", *where, "--force")) == (
        1,
        0,
        0,
    )
    text = project.run("ingest", "file", "landing/orders", *where, "--mode", "upsert", code=2)
    assert "write_mode" in text


def test_a_folder_of_several_formats_needs_to_be_told_which(project: Project) -> None:
    project.write("landing/orders/x.csv", "id\n1\n")
    text = project.run("ingest", "file", "landing/orders", "--table", "main.raw.rows", code=2)
    assert "formats csv, text; say format, or glob" in text


# --------------------------------------------------------------------------- the Python class


LEDGER = "main.lakeflow.rows_ingested"


def ingestor(**options: Any) -> IdempotentIngestor:
    return IdempotentIngestor(None, LEDGER, "main.raw.rows", **options)


def test_a_file_is_ingested_or_skipped_or_an_error(project: Project) -> None:
    files = ingestor()
    assert files.ingest_file("landing/orders/a.txt") is True
    assert files.ingest_file(project.root / "landing/orders/a.txt") is False
    assert files.ingest_file("landing/orders/a.txt", force=True) is True
    assert project.lines == ["1", "1"]
    project.write("landing/orders/bad.txt", "BAD\n")
    with pytest.raises(RunFailedError, match="it holds BAD") as caught:
        files.ingest_file("landing/orders/bad.txt")
    assert "Traceback: line 1" in caught.value.report.failures[0].reason
    with pytest.raises(NotFoundError, match=r"none\.txt"):
        files.ingest_file("landing/none.txt")
    with pytest.raises(ConfigError, match="is a folder; use ingest_directory"):
        files.ingest_file("landing/orders")


def test_a_folder_is_counted(project: Project) -> None:
    project.write("landing/orders/bad.txt", "BAD\n")
    result = ingestor().ingest_directory("landing/orders")
    assert result == {"processed": 2, "skipped": 0, "failed": 1}
    assert [failure.reason.splitlines()[0] for failure in result.failures] == ["it holds BAD"]
    again = ingestor().ingest_directory("landing", recursive=True, glob="[ac].txt")
    assert again == {"processed": 1, "skipped": 1, "failed": 0}
    (project.root / "empty").mkdir()
    nothing = ingestor().ingest_directory("empty")
    assert nothing == {"processed": 0, "skipped": 0, "failed": 0}


def test_the_ledger_has_a_table_and_lanes_of_its_own(project: Project) -> None:
    ingestor().ingest_directory("landing/orders")
    folder = project.root / ".lakeflow/warehouse/main/lakeflow"
    assert (folder / "rows_ingested/_delta_log").is_dir()
    assert (folder / "rows_ingested_state/_delta_log").is_dir()
    app = App.from_environment()
    rows = app.store.read(TableName.parse(LEDGER)).to_pylist()
    assert [row["record_count"] for row in rows] == [1, 1]
    assert not app.store.read(app.tables.of(FILES)).num_rows


def test_the_ledger_of_the_commands_may_be_shared(project: Project) -> None:
    shared = IdempotentIngestor(None, "main.lakeflow.etl_control_files", "main.raw.rows")
    shared.ingest_directory("landing/orders")
    assert counts(project.json("ingest", "orders")) == (0, 2, 0)
    assert not [*Path(".lakeflow/warehouse/main/lakeflow").glob("*files_s*")]


def test_options_hold_for_every_call_and_a_call_may_say_otherwise(project: Project) -> None:
    files = ingestor(glob="a.txt", format="text")
    assert files.ingest_directory("landing/orders")["processed"] == 1
    assert files.ingest_directory("landing/orders", glob="b.txt")["processed"] == 1
    with pytest.raises(ConfigError, match="unknown option colour"):
        files.ingest_directory("landing/orders", colour="red")  # type: ignore[call-arg]  # wrong
    with pytest.raises(SpecError, match="on_change"):
        ingestor(on_change="maybe")


def test_a_transform_goes_to_the_loader_as_it_is(project: Project) -> None:
    seen: list[Any] = []

    def transform(frame: Any) -> Any:
        return frame

    class Spy(Loader):
        def load(self, batch: Batch) -> BatchCounts:
            config = batch.source.source_config
            seen.append((batch.source.transform_fn, config.row_wise, len(batch.files)))
            return super().load(batch)

    project.loader = lambda _app: Spy(project.root / "target")  # type: ignore[method-assign]  # spied on
    ingestor().ingest_directory("landing/orders", transform, row_wise=True)
    ingestor().ingest_directory("landing/people", transform)
    assert seen == [(transform, True, 2), (transform, False, 1)]
