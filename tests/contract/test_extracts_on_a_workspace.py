"""Where extracts are written on a Databricks target, and where they are refused."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from cli_process import Cli
from extract_samples import declared
from extract_world import World

from lakeflow_meta.backends.extracts.folders import LocalExtractFolders
from lakeflow_meta.backends.extracts.spark_rows import SparkRows
from lakeflow_meta.errors import ConfigError
from lakeflow_meta.paths import PathMap
from lakeflow_meta.settings import Settings
from lakeflow_meta.targets.databricks import DatabricksTarget


def target(*, inside: bool) -> DatabricksTarget:
    return DatabricksTarget(Settings(backend="databricks", host="https://x"), inside=inside)


def test_a_laptop_writes_no_volumes() -> None:
    with pytest.raises(ConfigError, match="extracts are written on the workspace"):
        _ = target(inside=False).extract_folders
    with pytest.raises(ConfigError, match="deploy a job"):
        target(inside=False).spark_session()


def test_on_the_compute_paths_are_those_of_the_workspace(tmp_path: Path) -> None:
    folders = target(inside=True).extract_folders
    (tmp_path / "a.csv").write_text("x")
    assert folders.names(str(tmp_path)) == ["a.csv"]
    with pytest.raises(ConfigError, match="no project here that out/x could be in"):
        folders.names("out/x")
    with pytest.raises(ConfigError, match="no project here"):
        target(inside=True).project_file("sql/x.sql.jinja")
    assert target(inside=True).project_file("/Volumes/a/b/c/x.sql.jinja").is_absolute()


def test_rows_of_spark_are_asked_for_when_a_statement_runs() -> None:
    def no_session() -> object:
        raise AssertionError("nothing was to run")

    assert SparkRows(no_session).dialect == "databricks"  # type: ignore[arg-type]  # never called


def test_a_volume_of_the_embedded_workspace_is_a_folder_of_its_home(tmp_path: Path) -> None:
    folders = LocalExtractFolders(PathMap.of_home(tmp_path / ".lakeflow", tmp_path))
    run = tmp_path / ".lakeflow/volumes/a/b/c/out/.extracts/o/r"
    run.mkdir(parents=True)
    (staging,) = folders.staged("/Volumes/a/b/c/out", "o")
    folders.put(staging, "x", "text")
    assert (run / "x").read_text() == "text"
    folders.publish(staging, "x", "final.csv")
    folders.discard(staging)
    assert folders.names("/Volumes/a/b/c/out") == ["final.csv"]
    assert not run.parents[1].exists()


def test_the_commands_refuse_what_contradicts_itself(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    done = cli.run("extract", "run", "x", "--group", "G")
    assert (done.returncode, "leave out the names" in done.stderr) == (2, True)
    done = cli.run("extract", "run")
    assert (done.returncode, done.stdout) == (0, "no extracts: nothing to do\n")
    assert cli.json("extract", "log") == []


def test_a_folder_that_vanished_is_no_error_of_the_next_run(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.record(declared())
    world.rows.tables["customers"] = pa.table({"id": [1]})
    world.one()
    for path in (tmp_path / "out/customers").iterdir():
        path.unlink()
    (tmp_path / "out/customers").rmdir()
    assert world.one().rows == 1
