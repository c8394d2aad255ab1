"""The monitor: files in, changes found, jobs made. With the real manager and orchestrator."""

import json
import threading
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from monitor_world import TABLES, World, module

from lakeflow_meta.backends.heartbeat_file import HeartbeatFile
from lakeflow_meta.backends.local_folder import LocalFolder
from lakeflow_meta.control.monitor_report import status_line
from lakeflow_meta.control.tables import SOURCES, STATE
from lakeflow_meta.errors import NotFoundError


@pytest.fixture
def world() -> World:
    return World()


def updated(result: dict[str, Any]) -> dict[str, str]:
    return {job["module"]: job["action"] for job in result["jobs_updated"]}


def files(result: dict[str, Any]) -> dict[str, str]:
    return {file["file"]: file["action"] for file in result["files"]}


# --- one look


def test_a_new_file_becomes_rows_and_a_job_in_one_look(world: World) -> None:
    world.folder.put("deep/er/sales.yml", module("sales"))
    result = world.monitor().check_and_update()
    assert result["errors"] == []
    assert updated(result) == {"sales": "created"}
    assert files(result) == {"deep/er/sales.yml": "new"}
    assert result["jobs_updated"][0]["job_id"] == next(world.jobs.list_jobs()).job_id
    assert (result["changes_detected"], result["yaml_changes"], result["table_changes"]) == (
        True,
        True,
        True,
    )


def test_the_result_has_the_keys_that_scripts_of_lakeflow_jobs_meta_read(world: World) -> None:
    world.folder.put("a.yml", module("sales"))
    monitor = world.monitor()
    first, second = monitor.check_and_update(), monitor.check_and_update()
    assert {"timestamp", "changes_detected", "yaml_changes", "table_changes"} <= first.keys()
    assert {"jobs_updated", "errors", "last_check_timestamp"} <= first.keys()
    assert first["jobs_updated"][0]["job"] == "sales"
    assert second["last_check_timestamp"] == first["timestamp"]
    assert datetime.fromisoformat(first["timestamp"]).tzinfo is not None


def test_an_idle_look_writes_nothing_and_says_so(world: World) -> None:
    world.folder.put("a.yml", module("sales"))
    monitor = world.monitor()
    monitor.check_and_update()
    before, calls = world.versions(), dict(world.store.calls)
    result = monitor.check_and_update()
    assert not result["changes_detected"]
    assert result["errors"] == []
    assert world.versions() == before
    made = {m for m in world.store.calls if world.store.calls[m] != calls.get(m, 0)}
    assert made == {"version"}
    assert status_line(result).endswith("nothing changed")


def test_an_edit_in_place_of_the_same_size_and_time_is_seen_and_touches_one_job(
    world: World,
) -> None:
    world.folder.put("a.yml", module("a"))
    world.folder.put("b.yml", module("b", "SELECT 1"))
    monitor = world.monitor()
    monitor.check_and_update()
    at = world.folder.files["b.yml"][1]
    world.folder.files["b.yml"] = (module("b", "SELECT 2").encode(), at)
    result = monitor.check_and_update()
    assert files(result) == {"b.yml": "changed"}
    assert updated(result) == {"b": "updated"}
    assert world.statement("b") == "SELECT 2"


def test_many_files_at_once_are_one_look(world: World) -> None:
    for number in range(20):
        world.folder.put(f"f{number}.yaml", module(f"m{number}"))
    result = world.monitor().check_and_update()
    assert len(files(result)) == len(updated(result)) == 20


def test_hidden_files_settings_and_other_types_are_no_metadata(world: World) -> None:
    for name in ("x.txt", "conf/dev.yml", ".git/a.yml", "a/.b.yml", "notes.yml~"):
        world.folder.put(name, "modules: [")
    result = world.monitor().check_and_update()
    assert (files(result), result["errors"]) == ({}, [])


def test_a_ddl_script_beside_the_yaml_is_watched_too(world: World) -> None:
    world.folder.put("ddl_scripts/lake/001_init/001_a.sql", "CREATE SCHEMA s")
    world.folder.put("a.yml", module("a"))
    monitor = world.monitor()
    assert monitor.check_and_update()["errors"] == []
    world.folder.put("ddl_scripts/lake/001_init/002_b.sql", "CREATE SCHEMA t")
    result = monitor.check_and_update()
    assert files(result) == {"ddl_scripts/lake/001_init/002_b.sql": "new"}
    assert not result["table_changes"]


# --- bad files


def test_a_bad_file_is_reported_with_its_line_and_does_not_stop_the_others(world: World) -> None:
    world.folder.put("good.yml", module("good"))
    world.folder.put("bad.yml", "modules:\n  - module_nam: x\n")
    monitor = world.monitor()
    result = monitor.check_and_update()
    assert updated(result) == {"good": "created"}
    assert files(result) == {"good.yml": "new", "bad.yml": "invalid"}
    assert "bad.yml:2" in result["errors"][0]
    again = monitor.check_and_update()
    assert again["errors"] == result["errors"]
    world.folder.put("bad.yml", module("fixed"))
    assert updated(monitor.check_and_update()) == {"fixed": "created"}


def test_a_bad_file_writes_nothing_however_often_it_is_tried(world: World) -> None:
    world.folder.put("a.yml", module("a"))
    world.folder.put("bad.yml", "modules: [")
    monitor = world.monitor()
    monitor.check_and_update()
    before = world.versions()
    for _ in range(3):
        assert monitor.check_and_update()["errors"]
    assert world.versions() == before


def test_a_file_that_is_not_text_or_cannot_be_read_fails_alone(world: World) -> None:
    world.folder.put("good.yml", module("good"))
    world.folder.put("latin.yml", b"modules: [\xff]")
    world.folder.put("secret.yml", module("secret"))
    world.folder.broken.add("secret.yml")
    monitor = world.monitor()
    result = monitor.check_and_update()
    assert updated(result) == {"good": "created"}
    assert len(result["errors"]) == 2
    world.folder.broken.clear()
    assert updated(monitor.check_and_update()) == {"secret": "created"}


def test_what_needs_a_bad_file_waits_with_it(world: World) -> None:
    table = (
        "tables:\n  - table: main.s.t\n    module: sales\n    columns: [{name: id, type: INT}]\n"
    )
    world.folder.put("table.yml", table)
    world.folder.put("sales.yml", "modules: [{module_name: sales, sourcez: []}]")
    world.folder.put("other.yml", module("other"))
    monitor = world.monitor()
    result = monitor.check_and_update()
    assert updated(result) == {"other": "created"}
    assert files(result)["table.yml"] == "invalid"
    world.folder.put("sales.yml", module("sales"))
    result = monitor.check_and_update()
    assert result["errors"] == []
    assert files(result) == {"sales.yml": "new", "table.yml": "new"}


def test_of_two_files_that_declare_the_same_the_newcomer_is_to_blame(world: World) -> None:
    world.folder.put("z.yml", module("sales", "SELECT 'first'"))
    monitor = world.monitor()
    monitor.check_and_update()
    world.folder.put("a.yml", module("sales", "SELECT 'late'"))
    result = monitor.check_and_update()
    assert files(result) == {"a.yml": "invalid"}
    assert "already declared" in result["errors"][0]
    assert world.statement("sales") == "SELECT 'first'"


def test_a_folder_that_cannot_be_listed_is_an_error_and_not_empty(world: World) -> None:
    world.folder.put("a.yml", module("a"))
    monitor = world.monitor()
    monitor.check_and_update()
    world.folder.missing = True
    result = monitor.check_and_update()
    assert "no such volume" in result["errors"][0]
    assert files(result) == {}
    world.folder.missing = False
    assert not monitor.check_and_update()["changes_detected"]


# --- half-written files


def test_a_young_file_is_taken_in_the_same_look_once_it_stands_still(world: World) -> None:
    world.folder.put("a.yml", module("a"), age=timedelta(0))
    assert updated(world.monitor().check_and_update()) == {"a": "created"}


def test_a_file_that_grows_is_left_until_it_stands_still(world: World) -> None:
    whole = module("a", "SELECT 1", "SELECT 2")
    cut = whole[: whole.index("      - source_id: s1")]
    world.folder.put("a.yml", cut, age=timedelta(0))
    now = timedelta(0)
    world.folder.on_list = [lambda: None, lambda: world.folder.put("a.yml", whole, age=now)]
    monitor = world.monitor()
    result = monitor.check_and_update()
    assert files(result) == {"a.yml": "waiting"}
    assert not result["changes_detected"]
    assert updated(monitor.check_and_update()) == {"a": "created"}
    assert len(world.manager.get_module_sources("a")) == 2


def test_a_file_that_goes_between_two_looks_was_never_there(world: World) -> None:
    world.folder.put("a.yml", module("a"), age=timedelta(0))
    world.folder.on_list = [lambda: None, world.folder.files.clear]
    result = world.monitor().check_and_update()
    assert (files(result), result["errors"]) == ({}, [])


def test_stopping_while_a_file_settles_takes_nothing(world: World) -> None:
    stop = threading.Event()
    world.folder.put("a.yml", module("a"), age=timedelta(0))
    world.folder.on_list = [stop.set]
    result = world.monitor(stop=stop).check_and_update()
    assert files(result) == {"a.yml": "waiting"}
    assert world.store.version(TABLES.sources) is None


# --- deleted files


def test_a_deleted_file_is_reported_once_and_removes_nothing(world: World) -> None:
    world.folder.put("a.yml", module("a"))
    world.folder.put("b.yml", module("b"))
    monitor = world.monitor()
    monitor.check_and_update()
    del world.folder.files["b.yml"]
    result = monitor.check_and_update()
    assert files(result) == {"b.yml": "deleted"}
    assert result["yaml_changes"]
    assert updated(result) == {}
    assert world.manager.get_all_modules() == ["a", "b"]
    assert files(monitor.check_and_update()) == {}


def test_a_file_that_is_replaced_while_listed_is_not_deleted(world: World) -> None:
    world.folder.put("a.yml", module("a"))
    monitor = world.monitor()
    monitor.check_and_update()
    kept = dict(world.folder.files)
    world.folder.files.clear()
    world.folder.on_list = [lambda: None, lambda: world.folder.files.update(kept)]
    assert files(monitor.check_and_update()) == {}


def test_with_prune_rows_of_a_deleted_file_go_and_its_job_is_paused(world: World) -> None:
    world.folder.put("a.yml", module("a"))
    world.folder.put("b.yml", module("b"))
    monitor = world.monitor(prune=True)
    monitor.check_and_update()
    del world.folder.files["b.yml"]
    result = monitor.check_and_update()
    assert result["errors"] == []
    assert updated(result) == {"b": "paused"}
    assert world.manager.get_all_modules() == ["a"]


def test_prune_waits_for_bad_files_and_for_the_last_file(world: World) -> None:
    world.folder.put("a.yml", module("a"))
    world.folder.put("b.yml", module("b"))
    monitor = world.monitor(prune=True)
    monitor.check_and_update()
    del world.folder.files["b.yml"]
    world.folder.put("a.yml", "modules: [")
    monitor.check_and_update()
    assert world.manager.get_all_modules() == ["a", "b"]
    world.folder.put("a.yml", module("a"))
    assert updated(monitor.check_and_update()) == {"b": "paused"}
    world.folder.files.clear()
    assert monitor.check_and_update()["errors"]
    assert world.manager.get_all_modules() == ["a"]


# --- SQL and restores live beside files


def test_a_change_by_sql_is_found_and_survives_other_files(world: World) -> None:
    world.folder.put("a.yml", module("a"))
    world.folder.put("b.yml", module("b"))
    monitor = world.monitor()
    monitor.check_and_update()
    world.set_statement("a", "SELECT 'by hand'")
    result = monitor.check_and_update()
    assert updated(result) == {"a": "updated"}
    assert not result["yaml_changes"]
    world.folder.put("b.yml", module("b", "SELECT 2"))
    assert updated(monitor.check_and_update()) == {"b": "updated"}
    assert world.statement("a") == "SELECT 'by hand'"
    world.folder.put("a.yml", module("a", "SELECT 'declared'"))
    monitor.check_and_update()
    assert world.statement("a") == "SELECT 'declared'"


def test_a_shared_variable_changes_rows_of_files_that_did_not_change(world: World) -> None:
    world.folder.put("a.yml", module("a", "SELECT '${var.env}'"))
    world.folder.put("vars.yml", "variables: {env: dev}\n")
    monitor = world.monitor()
    assert monitor.check_and_update()["errors"] == []
    assert world.statement("a") == "SELECT 'dev'"
    world.folder.put("vars.yml", "variables: {env: prod}\n")
    assert updated(monitor.check_and_update()) == {"a": "updated"}
    assert world.statement("a") == "SELECT 'prod'"


def test_a_variable_that_goes_is_seen_in_the_files_that_used_it(world: World) -> None:
    world.folder.put("a.yml", module("a", "SELECT '${var.env:-none}'"))
    world.folder.put("vars.yml", "variables: {env: dev}\n")
    monitor = world.monitor()
    monitor.check_and_update()
    del world.folder.files["vars.yml"]
    assert updated(monitor.check_and_update()) == {"a": "updated"}
    assert world.statement("a") == "SELECT 'none'"


def test_an_unchanged_value_of_a_shared_file_leaves_rows_changed_by_sql_alone(world: World) -> None:
    shared = "variables: {env: dev}\n"
    world.folder.put("a.yml", module("a", "SELECT '${var.env}'"))
    world.folder.put("b.yml", shared + module("b"))
    monitor = world.monitor()
    assert monitor.check_and_update()["errors"] == []
    world.set_statement("a", "SELECT 'by hand'")
    world.folder.put("b.yml", shared + module("b", "SELECT 2"))
    assert updated(monitor.check_and_update()) == {"a": "updated", "b": "updated"}
    assert world.statement("a") == "SELECT 'by hand'"


def test_nobody_gets_the_default_of_a_variable_while_its_file_is_bad(world: World) -> None:
    world.folder.put("a.yml", module("a", "SELECT '${var.env:-none}'"))
    world.folder.put("b.yml", module("b"))
    world.folder.put("vars.yml", "variables: {env: prod}\n")
    monitor = world.monitor()
    monitor.check_and_update()
    world.folder.put("vars.yml", "variables: {env: prod\n")
    world.folder.put("a.yml", module("a", "SELECT '${var.env:-none}'", "SELECT 2"))
    world.folder.put("b.yml", module("b", "SELECT 2"))
    result = monitor.check_and_update()
    assert updated(result) == {"b": "updated"}
    assert any("vars.yml, which cannot be used now" in error for error in result["errors"])
    assert world.statement("a") == "SELECT 'prod'"
    world.folder.put("vars.yml", "variables: {env: new}\n")
    assert updated(monitor.check_and_update()) == {"a": "updated"}
    assert world.statement("a") == "SELECT 'new'"


def test_a_restart_with_another_given_variable_changes_the_rows_that_use_it(world: World) -> None:
    world.folder.put("a.yml", module("a", "SELECT '${var.env}'"))
    world.folder.put("b.yml", module("b"))
    world.monitor(given={"env": "dev"}).check_and_update()
    result = world.monitor(given={"env": "prod"}).check_and_update()
    assert updated(result) == {"a": "updated"}
    assert world.statement("a") == "SELECT 'prod'"


# --- jobs


def test_a_job_that_fails_is_reported_and_tried_at_the_next_look(world: World) -> None:
    world.folder.put("a.yml", module("a"))
    world.folder.put("b.yml", module("b"))
    monitor = world.monitor()
    world.jobs.fail_on("create_job", nth=1)
    result = monitor.check_and_update()
    assert len(result["errors"]) == 1
    assert len(updated(result)) == 1
    again = monitor.check_and_update()
    assert again["errors"] == []
    assert len(updated(again)) == 1
    assert not monitor.check_and_update()["changes_detected"]


def test_a_restarted_monitor_tries_the_failed_job_and_takes_no_file_again(world: World) -> None:
    world.folder.put("a.yml", module("a"))
    world.jobs.fail_on("create_job", nth=1)
    assert world.monitor().check_and_update()["errors"]
    result = world.monitor().check_and_update()
    assert files(result) == {}
    assert updated(result) == {"a": "created"}


def test_a_restart_resumes_and_writes_nothing(world: World) -> None:
    world.folder.put("a.yml", module("a"))
    world.monitor().check_and_update()
    world.set_statement("a", "SELECT 'by hand'")
    world.monitor().check_and_update()
    before = world.versions()
    result = world.monitor().check_and_update()
    assert (files(result), updated(result), result["errors"]) == ({}, {}, [])
    assert world.versions() == before
    assert world.statement("a") == "SELECT 'by hand'"


def test_a_change_committed_while_jobs_are_updated_is_not_lost(world: World) -> None:
    world.folder.put("a.yml", module("a"))
    monitor = world.monitor()
    apply = monitor._apply
    assert apply is not None

    def slow_apply(names: Any) -> Any:
        done = apply(names)
        world.set_statement("late", "SELECT 'late'")
        return done

    monitor._apply = slow_apply
    assert updated(monitor.check_and_update()) == {"a": "created"}
    monitor._apply = apply
    assert updated(monitor.check_and_update()) == {"late": "created"}


def test_without_apply_changes_are_only_reported_once(world: World) -> None:
    world.folder.put("a.yml", module("a"))
    monitor = world.monitor(apply=None)
    result = monitor.check_and_update()
    assert result["changes"]["new_modules"] == ["a"]
    assert (updated(result), list(world.jobs.list_jobs())) == ({}, [])
    assert not monitor.check_and_update()["changes_detected"]


def test_metadata_that_cannot_be_read_is_an_error_and_never_no_changes(world: World) -> None:
    world.folder.put("a.yml", module("a"))
    monitor = world.monitor()
    monitor.check_and_update()
    world.set_statement("a", "SELECT 2")
    world.store.fail_on("read", nth=1)
    assert monitor.check_and_update()["errors"]
    assert updated(monitor.check_and_update()) == {"a": "updated"}


def test_a_bad_row_is_an_error_each_look_and_does_not_stop_the_others(world: World) -> None:
    for name in ("bad", "good"):
        world.folder.put(f"{name}.yml", module(name))
    monitor = world.monitor()
    monitor.check_and_update()
    job = world.jobs.get_job(next(world.jobs.list_jobs()).job_id)
    corrupt(world, "bad", "{oops")
    world.set_statement("good", "SELECT 2")
    result = monitor.check_and_update()
    assert updated(result) == {"good": "updated"}
    assert [error.split(": ")[1] for error in result["errors"]] == ["bad/s0"]
    before = world.versions()
    for again in (monitor, world.monitor(), monitor):
        assert again.check_and_update()["errors"] == result["errors"]
    assert world.versions() == before
    assert world.jobs.get_job(job.job_id) == job
    corrupt(world, "bad", '{"mended":true}')
    mended = monitor.check_and_update()
    assert (updated(mended), mended["errors"]) == ({"bad": "unchanged"}, [])
    assert not monitor.check_and_update()["changes_detected"]


def test_a_bad_row_is_an_error_each_look_also_without_apply_and_after_a_failed_one(
    world: World,
) -> None:
    for name in ("bad", "good"):
        world.folder.put(f"{name}.yml", module(name))
    silent = world.monitor(apply=None)
    silent.check_and_update()
    corrupt(world, "bad", "{oops")
    for _ in range(2):
        assert len(silent.check_and_update()["errors"]) == 1
    monitor = world.monitor()
    world.jobs.fail_on("list_jobs")
    assert len(monitor.check_and_update()["errors"]) == 2
    assert updated(monitor.check_and_update()) == {"good": "created"}


def test_a_failed_pause_is_tried_at_the_next_look(world: World) -> None:
    schedule = {"quartz_cron_expression": "0 0 2 * * ?", "timezone_id": "UTC"}
    text = module("a").replace(
        "    sources:", f"    job_config: {json.dumps({'schedule': schedule})}\n    sources:"
    )
    world.folder.put("a.yml", text)
    monitor = world.monitor()
    monitor.check_and_update()
    world.store.merge(TABLES.sources, [], keys=SOURCES.keys, scope={})
    world.jobs.fail_on("update_job")
    assert monitor.check_and_update()["errors"]
    assert updated(monitor.check_and_update()) == {"a": "paused"}
    (live,) = world.jobs.list_jobs()
    assert live.settings["schedule"]["pause_status"] == "PAUSED"
    assert not monitor.check_and_update()["changes_detected"]


def corrupt(world: World, name: str, text: str) -> None:
    row = {"module_name": name, "source_id": "s0", "target_config": text}
    world.store.merge(TABLES.sources, [row], keys=SOURCES.keys)


def test_two_monitors_at_once_do_the_work_once_and_agree(world: World) -> None:
    world.folder.put("a.yml", module("a"))
    one, two = world.monitor(), world.monitor()
    one.check_and_update()
    assert updated(two.check_and_update()) == {}
    world.folder.put("a.yml", module("a", "SELECT 2"))
    one.check_and_update()
    result = two.check_and_update()
    assert result["errors"] == []
    assert updated(result) == {}
    before = world.versions()
    for monitor in (one, two, one, two):
        assert not monitor.check_and_update()["changes_detected"]
    assert world.versions() == before


def test_a_cursor_that_somebody_overwrote_is_started_again(world: World) -> None:
    world.folder.put("a.yml", module("a"))
    world.monitor().check_and_update()
    keys = [row["key"] for row in world.store.read(TABLES.of(STATE)).to_pylist()]
    broken = [{"key": key, "value": '"?"', "fence": 7} for key in keys]
    world.store.merge(TABLES.of(STATE), broken, keys=STATE.keys)
    monitor = world.monitor()
    result = monitor.check_and_update()
    assert (updated(result), result["errors"]) == ({}, [])
    before = world.versions()
    assert not monitor.check_and_update()["changes_detected"]
    assert world.versions() == before


# --- the loop


def test_it_ends_after_the_iterations_asked_for_without_a_last_sleep(world: World) -> None:
    monitor = world.monitor()
    monitor.check_interval = 3600
    seen: list[Any] = []
    assert monitor.run_continuous(1, on_result=seen.append) == 1
    assert len(seen) == 1
    assert [beat["state"] for beat in world.beats] == ["stopped"]


def test_a_heartbeat_after_each_look_says_how_it_went_and_when_it_ended(world: World) -> None:
    world.folder.put("bad.yml", "[")
    world.monitor().run_continuous(3)
    assert [(b["state"], b["iterations"]) for b in world.beats] == [
        ("running", 1),
        ("running", 2),
        ("stopped", 3),
    ]
    assert "bad.yml" in world.beats[-1]["last"]["errors"][0]


def test_the_heartbeat_file_is_replaced_whole_and_a_damaged_one_is_none(tmp_path: Path) -> None:
    file = HeartbeatFile(tmp_path / "home" / "monitor.json")
    assert file.read() is None
    file.write({"state": "running"})
    file.write({"state": "stopped"})
    assert (file.read() or {})["state"] == "stopped"
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["monitor.json"]
    (tmp_path / "home" / "monitor.json").write_text("{")
    assert file.read() is None


def test_a_heartbeat_that_cannot_be_written_does_not_end_the_monitor(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file, not a folder")
    HeartbeatFile(tmp_path / "home" / "monitor.json").write({"state": "running"})


def test_a_stop_signal_ends_it_between_steps(world: World) -> None:
    world.folder.put("a.yml", module("a"))
    stop = threading.Event()
    monitor = world.monitor(stop=stop)
    world.folder.on_list = [stop.set]
    assert monitor.run_continuous() == 1
    assert list(world.jobs.list_jobs()) == []
    assert updated(world.monitor().check_and_update()) == {"a": "created"}


def test_a_sleeping_monitor_stops_at_once(world: World) -> None:
    monitor = world.monitor()
    monitor.check_interval = 3600
    runner = threading.Thread(target=monitor.run_continuous)
    runner.start()
    monitor.stop.set()
    runner.join(timeout=5)
    assert not runner.is_alive()


def test_a_file_whose_platform_stamps_it_is_not_read_again(world: World) -> None:
    world.folder.etags = True
    world.folder.put("a.yml", module("a"))
    monitor = world.monitor()
    monitor.check_and_update()
    monitor.check_and_update()
    before = world.folder.reads
    monitor.check_and_update()
    assert world.folder.reads == before
    world.folder.put("a.yml", module("a", "SELECT 2"))
    assert updated(monitor.check_and_update()) == {"a": "updated"}


# --- on the file system


@pytest.fixture
def folder(tmp_path: Path) -> LocalFolder:
    (tmp_path / "sub" / ".hidden").mkdir(parents=True)
    (tmp_path / "a.yml").write_text("a")
    (tmp_path / "sub" / "b.yaml").write_text("b")
    (tmp_path / "sub" / ".hidden" / "c.yml").write_text("c")
    return LocalFolder(tmp_path)


def test_a_local_folder_lists_all_below_it_but_hidden_files(folder: LocalFolder) -> None:
    assert [file.name for file in folder.list_files()] == ["a.yml", "sub/b.yaml"]
    assert folder.read_file("sub/b.yaml") == b"b"


def test_a_local_folder_that_is_not_there_is_not_empty(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        LocalFolder(tmp_path / "none").list_files()
    with pytest.raises(NotFoundError):
        LocalFolder(tmp_path).read_file("none.yml")
