"""The rules of the house, held over every module's syntax tree."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from lakeflow_meta import ports

PACKAGE = Path(__file__).parents[2] / "lakeflow_meta"
FILES = sorted(PACKAGE.rglob("*.py"))
PLATFORMS = {"pyspark", "delta", "deltalake", "databricks", "psycopg", "py4j"}
VERBS = {
    "control.change_detector",
    "control.change_memory",
    "control.file_intake",
    "control.history",
    "control.manager",
    "control.migrate",
    "control.monitor",
    "control.read_files",
    "control.restore",
    "control.sql.runner",
    "control.volume_watch",
    "jobs.apply_run",
    "jobs.creation_lock",
    "jobs.deploy_memory",
    "jobs.deployer",
    "jobs.interruption",
    "jobs.journal",
    "jobs.live_jobs",
    "jobs.orchestrator",
    "jobs.plan_check",
    "jobs.planner",
    "jobs.recorded_jobs",
    "jobs.saved_queries",
    "schema.engine",
    "schema.survey",
    "schema.sync_memory",
    "scripts.runner",
    "scripts.target_lease",
    "ingest.discovery",
    "ingest.ingestor",
    "ingest.lanes",
    "ingest.ledger",
    "ingest.tally",
}
SQL_MODULES = {
    "sql",
    "sql_tables",
    "sql_catalog",
    "sql_rows",
    "sql_queries",
    "sql_sqlite",
    "backends.local.spark.registration_sql",
}
SAME_PROCESS = ("app", "cli.main")
"""Tasks of our own jobs are our own commands: the embedded workspace calls them in process."""
APP = {
    "app",
    "api",
    "load_settings",
    "monitor_operations",
    "operations",
    "plan_operations",
    "table_operations",
    "status",
    "targets",
}
LAYERS = ("noun", "port", "verb", "backend", "app", "cli")
SQL = re.compile(
    r"\s*(SELECT|INSERT INTO|UPDATE|DELETE FROM|MERGE INTO|CREATE|ALTER|DROP|DESCRIBE|TRUNCATE)\s",
    re.IGNORECASE,
)


def name_of(file: Path) -> str:
    parts = file.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def layer_of(name: str) -> str:
    top = name.split(".")[0]
    if top in ("cli", "__main__"):
        return "cli"
    if top in APP:
        return "app"
    if top in ("backends", "testing"):
        return "backend"
    if top == "ports":
        return "port"
    return "verb" if name in VERBS else "noun"


@cache
def tree_of(file: Path) -> ast.Module:
    return ast.parse(file.read_text())


@cache
def imports(file: Path) -> frozenset[str]:
    """What a module imports when it runs; imports for type checkers only do not count."""
    return frozenset(_imports(file))


def _imports(file: Path) -> Iterator[str]:
    for node in _running(tree_of(file)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _running(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        return
    yield node
    for child in ast.iter_child_nodes(node):
        yield from _running(child)


def ours(file: Path) -> set[str]:
    known = {name_of(other) for other in FILES}
    found = {
        i.removeprefix("lakeflow_meta.") for i in imports(file) if i.startswith("lakeflow_meta")
    }
    return (found & known) - {name_of(file), ""}


def strings(file: Path) -> Iterator[str]:
    """Text that is put together at run time."""
    for node in ast.walk(tree_of(file)):
        if isinstance(node, ast.JoinedStr) and isinstance(node.values[0], ast.Constant):
            yield str(node.values[0].value)


def test_there_is_something_to_check() -> None:
    assert len(FILES) > 30
    assert {name_of(f) for f in FILES} >= VERBS


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_only_backends_know_a_platform(file: Path) -> None:
    roots = {name.split(".")[0] for name in imports(file)}
    assert layer_of(name_of(file)) == "backend" or not roots & PLATFORMS


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_imports_go_one_way(file: Path) -> None:
    name = name_of(file)
    rank = LAYERS.index(layer_of(name))
    for other in ours(file):
        if (name, other) == SAME_PROCESS:
            continue
        if layer_of(name) == "noun" and layer_of(other) == "port":
            continue  # values only, see the next test
        assert LAYERS.index(layer_of(other)) <= rank, f"{name} imports {other}"


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_nouns_take_values_from_the_ports_never_doors(file: Path) -> None:
    doors = {name for name, kind in vars(ports).items() if getattr(kind, "_is_protocol", False)}
    assert len(doors) > 5
    if layer_of(name_of(file)) == "noun":
        taken = {i.rpartition(".")[2] for i in imports(file) if i.startswith("lakeflow_meta.ports")}
        assert not taken & (doors | {"utc_now"})


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_ports_are_imported_from_one_place(file: Path) -> None:
    if layer_of(name_of(file)) != "port":
        assert not {other for other in ours(file) if other.startswith("ports.")}


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_a_verb_uses_verbs_of_its_own_room_only(file: Path) -> None:
    name = name_of(file)
    if layer_of(name) == "verb":
        rooms = {other.split(".")[0] for other in ours(file) if layer_of(other) == "verb"}
        assert rooms <= {name.split(".")[0]}


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_one_function_reads_the_clock(file: Path) -> None:
    calls = re.findall(r"\bdatetime\.(?:now|utcnow|today)\(|\btime\.time\(", file.read_text())
    assert len(calls) == (1 if name_of(file) == "ports.functions" else 0)


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_one_module_builds_sql_text(file: Path) -> None:
    if name_of(file) not in SQL_MODULES:
        assert [text for text in strings(file) if SQL.match(text)] == []


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_broad_excepts_stand_at_the_doors_only(file: Path) -> None:
    if layer_of(name_of(file)) == "backend":
        return
    for node in ast.walk(tree_of(file)):
        if isinstance(node, ast.ExceptHandler):
            caught = ast.dump(node.type) if node.type else "everything"
            assert "'Exception'" not in caught
            assert "'BaseException'" not in caught
            assert caught != "everything"
