"""What the pages of a home say, and that they lead to each other."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from html_checker import Document
from shop_home import LEDGER, SOURCE, open_shop, sync

from lakeflow_meta.app import App
from lakeflow_meta.control.tables import EVENTS, FILES, SOURCES, TABLES
from lakeflow_meta.ui.blocks import Kind, place
from lakeflow_meta.ui.server import Website
from lakeflow_meta.ui.site import MENU, address_of


def read(website: Website, path: str, /, **query: Any) -> Document:
    """A page, followed where it leads elsewhere; it is there, and sound."""
    answer = website.answer(path, urlencode(query))
    while answer.status == 303:
        parts = urlsplit(dict(answer.headers)["Location"])
        answer = website.answer(parts.path, parts.query)
    assert answer.status == 200, (path, query)
    document = Document(b"".join(answer.pieces).decode())
    assert document.faults == []
    return document


def run_of(app: App, name: str) -> int:
    return next(run.run_id for run in app.jobs.list_runs() if run.job_name == name)


def test_every_link_of_every_page_leads_to_a_page(website: Website) -> None:
    seen: set[str] = set()
    waiting = ["/"]
    while waiting:
        address = waiting.pop()
        if address in seen or address.startswith("#"):
            continue
        seen.add(address)
        parts = urlsplit(address)
        answer = website.answer(parts.path, parts.query)
        assert answer.status in (200, 303), address
        if answer.status == 200 and answer.kind.startswith("text/html"):
            document = Document(b"".join(answer.pieces).decode())
            assert document.faults == [], address
            inside = {link[1:] for link in document.links if link.startswith("#")}
            assert inside <= set(document.ids), address
            waiting += document.links
    kinds = {urlsplit(address).path for address in seen}
    assert kinds >= {f"/{kind}" for kind in Kind if kind is not Kind.OVERVIEW}


def test_the_overview_answers_the_four_questions(website: Website, shop: App) -> None:
    text = read(website, "/plan", again=1).text
    assert "There are changes to apply" in text
    text = read(website, "/").text
    assert "There are changes to apply" in text
    assert f"{LEDGER - 7}" in text  # of 250 files 7 failed
    assert "Failed last time" in text
    assert "stock_levels" in text
    assert "0 30 5 * * ?" in text
    assert "No monitor has run with this home" in text


def test_before_anybody_asks_for_a_plan_the_overview_says_what_it_knows(shop: App) -> None:
    text = read(Website(shop), "/").text
    assert "changed since the last apply" in text
    assert "stock_levels, tills" in text


def test_the_plan_is_a_diff_with_its_age(website: Website) -> None:
    assert "Nobody has asked for the plan yet" in read(Website(website._app), "/plan").text
    document = read(website, "/plan", again=1)
    assert "~ update stock_levels" in document.text
    assert "+ table shop.silver.orders" in document.text
    assert "nothing was recorded since" in document.text
    assert "/plan?again=1" in document.links


def test_a_module_has_a_graph_whose_tasks_lead_to_what_they_did(
    website: Website, shop: App
) -> None:
    document = read(website, "/module", name="daily_orders")
    run = run_of(shop, "daily_orders")
    for task in ("orders", "joined", "morning_report"):
        assert f"/task?key={task}&run={run}" in document.links
        assert f"{task}: success" in document.text
    assert "0 30 5 * * ? Europe/Berlin" in document.text
    assert "/feed?object=daily_orders%2Forders" in document.links
    tills = read(website, "/module", name="tills")  # it never ran
    assert tills.links.count("/feed?object=tills%2Freceipts") == 2


def test_a_run_shows_its_attempts_and_waits(website: Website, shop: App) -> None:
    run = run_of(shop, "stock_levels")
    document = read(website, "/run", id=run)
    assert "waited before attempt 2" in document.text
    assert "upstream failed" in document.text
    assert f"/task?attempt=0&key=check_stock&run={run}" in document.links
    assert "parameter day" in read(website, "/run", id=run_of(shop, "daily_orders")).text


def test_a_failed_run_names_the_cause_and_the_remedy(website: Website, shop: App) -> None:
    run = run_of(shop, "stock_levels")
    text = read(website, "/run", id=run).text
    assert "check_stock: the program ended with exit code 1" in text
    assert f"lakeflow-meta run --repair {run}" in text


def test_iterations_have_lanes_inputs_and_logs_of_their_own(website: Website, shop: App) -> None:
    run = run_of(shop, "stock_levels")
    document = read(website, "/run", id=run)
    assert "count_stock[2]" in document.text
    assert '"harbour"' in document.text
    whole = read(website, "/task", run=run, key="count_stock")
    assert "Iterations" in whole.text
    assert f"/task?attempt=0&iteration=1&key=count_stock&run={run}" in whole.links
    one = read(website, "/task", run=run, key="count_stock", iteration=1)
    assert "rows written: 1234" in one.text
    assert '"south"' in one.text


def test_a_task_shows_the_end_of_its_log_and_leads_to_the_whole(
    website: Website, shop: App
) -> None:
    run = run_of(shop, "stock_levels")
    document = read(website, "/task", run=run, key="check_stock")
    assert "warehouse 2: 12 pieces are missing\n" in document.text
    log = f"/log?attempt=1&key=check_stock&run={run}"
    assert log in document.links
    answer = website.answer("/log", urlsplit(log).query)
    content = b"".join(answer.pieces)
    assert answer.kind == "text/plain; charset=utf-8"
    assert len(content) == answer.size
    assert b"\x1b[31mwarehouse 2" in content


def test_of_a_long_log_only_the_end_is_shown(website: Website, shop: App) -> None:
    run = run_of(shop, "daily_orders")
    task = next(t for t in shop.local.workspace.attempts(run) if t.task_key == "prices")
    assert task.log_path is not None
    before = task.log_path.read_bytes()
    lines = "".join(f"line {number:06}\n" for number in range(50_000))
    task.log_path.write_text(lines)
    try:
        document = read(website, "/task", run=run, key="prices")
        assert "line 049999" in document.text
        assert "line 000000" not in document.text
        assert "the end of 600,000 bytes" in document.text
        assert len(document.html) < 120_000
        query = urlencode({"run": run, "key": "prices"})
        assert b"".join(website.answer("/log", query).pieces).decode() == lines
    finally:
        task.log_path.write_bytes(before)


def test_runs_are_narrowed_by_job_and_state(website: Website) -> None:
    table = read(website, "/runs", state="failed", job="stock_levels").text
    assert "runs 1 to 1 of 1" in table
    assert "no run is like that" in read(website, "/runs", state="timed_out").text


def test_files_come_in_pages_narrowed_by_source_status_and_path(website: Website) -> None:
    first = read(website, "/files")
    assert "files 1 to 100 of 250" in first.text
    assert "/files?page=2" in first.links
    assert "files 201 to 250 of 250" in read(website, "/files", page=3).text
    assert "files 1 to 7 of 7" in read(website, "/files", status="failed").text
    narrowed = read(website, "/files", source="tills/receipts", path="TILL_3")
    assert "files 1 to 28 of 28" in narrowed.text
    assert "no file is like that" in read(website, "/files", source="none/such").text


def test_a_table_shows_its_columns_and_who_changed_its_definition(website: Website) -> None:
    text = read(website, "/table", name="shop.silver.orders").text
    assert "decimal(10,2)" in text
    assert "not null" in text
    assert "+ columns.shipped_at.type: timestamp" in text
    assert "added" in text


def test_the_feed_is_narrowed_to_an_object(website: Website) -> None:
    assert "What was done, the newest first" in read(website, "/feed").text
    text = read(website, "/feed", object="stock_levels").text
    assert "What was done to stock_levels" in text
    assert "daily_orders" not in text


def test_settings_show_where_they_are_from_and_no_secret(website: Website) -> None:
    text = read(website, "/settings").text
    assert "default.yml" in text
    assert '"country": "DE"' in text
    assert "till_password" in text
    assert "hunter2" not in text


@pytest.mark.parametrize(
    "address",
    ["/nothing", "/overview", "/module?name=none", "/run?id=1", "/run?id=x", "/run", "/task?run=1",
     "/run?id=9999999999999999999", "/table?name=a.b.c", "/log?run=1&key=x",
     "/static/../server.py", "/static/", "/static"],
)  # fmt: skip
def test_what_is_not_there_is_not_found(website: Website, address: str) -> None:
    parts = urlsplit(address)
    answer = website.answer(parts.path, parts.query)
    assert answer.status == 404
    assert Document(b"".join(answer.pieces).decode()).faults == []


@pytest.mark.parametrize("key", ["../../secret", "/etc/passwd", "orders/../orders", "orders\x00"])
def test_no_part_of_a_request_names_a_file(website: Website, shop: App, key: str) -> None:
    query = urlencode({"run": run_of(shop, "daily_orders"), "key": key})
    assert website.answer("/log", query).status == 404
    assert website.answer("/task", query).status == 404


@pytest.mark.parametrize("page", ["0", "-1", "x", "9999999", "99999999999999999999", "\u0661"])
def test_any_page_number_gives_a_page(website: Website, page: str) -> None:
    read(website, "/files", page=page)


# --------------------------------------------------------------------------- other homes


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[App]:
    (tmp_path / "conf").mkdir()
    app = open_shop(tmp_path)
    yield app
    app.local.workspace.close()


def test_an_empty_home_has_all_its_pages(empty: App) -> None:
    website = Website(empty)
    for _, kind in MENU:
        read(website, address_of(place(kind)))
    assert "nothing is recorded" in read(website, "/plan", again=1).text
    assert "Nothing is recorded yet" in read(website, "/").text


def test_hostile_names_are_shown_and_break_nothing(empty: App) -> None:
    sync(empty, f"modules: [{{module_name: m, sources: [{SOURCE}]}}]")
    name = "<b onclick='x'>&amp;\"../%2f?#"
    row = {"source_id": "s", "module_name": name, "source_type": "sql", "is_active": True}
    bad = {**row, "transformation_config": "no json </pre>"}
    empty.store.append(empty.tables.of(SOURCES), [bad])
    website = Website(empty)
    assert name in read(website, "/modules").text
    text = read(website, "/module", name=name).text
    assert "has bad rows" in text
    assert "transformation_config is not JSON" in text
    assert "Rows that cannot be read" in read(website, "/").text


def test_definitions_that_nobody_should_write_are_shown_all_the_same(empty: App) -> None:
    definitions = [
        None,
        "no json",
        "[1]",
        "null",
        '{"columns": 5}',
        '{"columns": [5, {}]}',
        '{"columns": {"a": 7}}',
        '{"comment": NaN}',
        '{"comment": "\\ud800"}',
        '{"a": "' + "x" * 9000 + '"}',
        '{"columns": ' + "[" * 900 + "]" * 900 + "}",
    ]
    sync(empty, f"modules: [{{module_name: m, sources: [{SOURCE}]}}]")
    rows = [
        {"table_name": f"a.b.c{n}", "module_name": "m", "definition": text, "is_active": True}
        for n, text in enumerate(definitions)
    ]
    empty.store.append(empty.tables.of(TABLES), rows)
    website = Website(empty)
    for row in rows:
        document = read(website, "/table", name=row["table_name"])
        assert "History of the definition" in document.text
    assert f"a.b.c{len(rows) - 1}" in read(website, "/tables").text
    read(website, "/")
    read(website, "/plan", again=1)


def test_the_overview_compares_the_metadata_folder_with_what_is_recorded(empty: App) -> None:
    website = Website(empty)
    text = f"modules: [{{module_name: m, sources: [{SOURCE}]}}]"
    (empty.project_root / "tasks").mkdir()
    (empty.project_root / "tasks" / "work.py").touch()
    (empty.project_root / "metadata").mkdir()
    file = empty.project_root / "metadata" / "m.yml"
    file.write_text(text)
    said = read(website, "/").text
    assert "To be recorded: lakeflow-meta sync metadata" in said
    assert "+m/s" in said
    sync(empty, text)
    assert "everything is recorded as declared" in read(website, "/").text
    file.write_text("modules: [{module_nam: m}]")
    said = read(website, "/").text
    assert "Problems in metadata" in said
    assert "did you mean module_name?" in said


def test_a_change_is_seen_at_the_next_look(empty: App) -> None:
    website = Website(empty)
    assert "no module is recorded" in read(website, "/modules").text
    sync(empty, f"modules: [{{module_name: fresh, sources: [{SOURCE}]}}]")
    assert "fresh" in read(website, "/modules").text


def test_a_hundred_thousand_files_are_not_sent_and_answers_are_quick(empty: App) -> None:
    modules = "".join(f"- {{module_name: m{n}, sources: [{SOURCE}]}}\n" for n in range(1000))
    declared = empty.declared_in({"m.yml": f"modules:\n{modules}"}, {}, {}, check_files=False)
    empty.manager.load(declared)
    now = empty.clock()
    rows = [
        {
            "file_path": f"/f/{n}",
            "file_hash": str(n),
            "status": "success",
            "processed_at": now - timedelta(seconds=n),
            "target_table": "a.b.c",
        }
        for n in range(100_000)
    ]
    empty.store.append(empty.tables.of(FILES), rows)
    website = Website(empty)
    website.warm_up()
    assert empty.store.version(empty.tables.of(EVENTS)) is not None
    began = time.process_time()
    overview = read(website, "/")
    seconds = time.process_time() - began
    assert "100,000" in overview.text
    assert seconds < 0.5
    assert len(read(website, "/files", page=1000).html) < 100_000
    assert len(read(website, "/modules").html) < 120_000
