"""The rules of the house, held over every module's syntax tree."""

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
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
    "scripts.execution_log",
    "scripts.run_once",
    "scripts.runner",
    "scripts.script_work",
    "scripts.target_lease",
    "extract.extract_run",
    "extract.extractor",
    "extract.publisher",
    "extract.run_log",
    "extract.source_rows",
    "extract.watermarks",
    "ingest.batch_work",
    "ingest.ingest_plan",
    "ingest.ingestor",
    "ingest.intake",
    "ingest.lanes",
    "ingest.ledger",
    "ingest.tally",
    "serve.recollection",
    "serve.run_watch",
    "serve.scheduled",
    "serve.server",
    "serve.telling",
    "warehouse.sql_templates",
    "warehouse.sql_warehouse",
}
SQL_MODULES = {
    "sql",
    "sql_tables",
    "sql_catalog",
    "sql_extracts",
    "sql_ingest",
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
    "extract_operations",
    "ingest_api",
    "ingest_operations",
    "load_settings",
    "monitor_operations",
    "operations",
    "plan_operations",
    "run_once",
    "script_operations",
    "serve_operations",
    "table_operations",
    "status",
    "targets",
    "ui",
    "warehouse_operations",
}
LAYERS = ("noun", "port", "verb", "backend", "app", "cli")
SQL = re.compile(
    r"\s*(SELECT|INSERT INTO|UPDATE|DELETE FROM|MERGE INTO|CREATE|ALTER|DROP|DESCRIBE|TRUNCATE)\s",
    re.IGNORECASE,
)
CLOCKS = re.compile(r"\bdatetime\.(?:now|utcnow|today)\(|\btime\.time\(")
DOORS = {name for name, kind in vars(ports).items() if getattr(kind, "_is_protocol", False)}


def name_of(file: Path) -> str:
    parts = file.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


NAMES = frozenset(name_of(file) for file in FILES)


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


@dataclass(frozen=True)
class Module:
    """A module of the package: its dotted name without the package's, and its text."""

    name: str
    text: str

    @property
    def layer(self) -> str:
        return layer_of(self.name)

    @property
    def rank(self) -> int:
        return LAYERS.index(self.layer)

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def nodes(self) -> Iterator[ast.AST]:
        return ast.walk(self.tree)

    @cached_property
    def imports(self) -> frozenset[str]:
        """What it imports when it runs; imports for type checkers only do not count."""
        return frozenset(_imports(self.tree))

    @cached_property
    def ours(self) -> frozenset[str]:
        """The modules of the package that it imports."""
        found = {i for i in self.imports if i.startswith("lakeflow_meta")}
        return ({i.removeprefix("lakeflow_meta.") for i in found} & NAMES) - {self.name, ""}


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in _running(tree):
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


MODULES = [Module(name_of(file), file.read_text()) for file in FILES]


def platforms(module: Module) -> Iterator[str]:
    if module.layer != "backend":
        yield from sorted(name for name in module.imports if name.split(".")[0] in PLATFORMS)


def against_the_layers(module: Module) -> Iterator[str]:
    for other in sorted(module.ours):
        if (module.name, other) == SAME_PROCESS:
            continue
        if module.layer == "noun" and layer_of(other) == "port":
            continue  # values only, see the next rule
        if LAYERS.index(layer_of(other)) > module.rank:
            yield f"{other}, of layer {layer_of(other)}"


def doors_in_nouns(module: Module) -> Iterator[str]:
    if module.layer == "noun":
        taken = (i for i in module.imports if i.startswith("lakeflow_meta.ports"))
        yield from sorted({i.rpartition(".")[2] for i in taken} & (DOORS | {"utc_now"}))


def parts_of_ports(module: Module) -> Iterator[str]:
    if module.layer != "port":
        yield from sorted(other for other in module.ours if other.startswith("ports."))


def verbs_of_other_rooms(module: Module) -> Iterator[str]:
    room = module.name.split(".")[0]
    if module.layer == "verb":
        verbs = (other for other in sorted(module.ours) if layer_of(other) == "verb")
        yield from (verb for verb in verbs if verb.split(".")[0] != room)


def clocks(module: Module) -> Iterator[str]:
    calls = CLOCKS.findall(module.text)
    allowed = 1 if module.name == "ports.functions" else 0
    if len(calls) != allowed:
        yield f"{len(calls)} instead of {allowed}: {calls}"


def sql_texts(module: Module) -> Iterator[str]:
    """Text that is put together at run time."""
    for node in module.nodes if module.name not in SQL_MODULES else ():
        match node:
            case ast.JoinedStr(values=[ast.Constant(value=str(start)), *_]) if SQL.match(start):
                yield f"line {node.lineno}: {start!r}"


def broad_excepts(module: Module) -> Iterator[str]:
    for node in module.nodes if module.layer != "backend" else ():
        if isinstance(node, ast.ExceptHandler):
            caught = ast.dump(node.type) if node.type else "everything"
            if caught == "everything" or "'Exception'" in caught or "'BaseException'" in caught:
                yield f"line {node.lineno}: {caught}"


Rule = Callable[[Module], Iterator[str]]
RULES: dict[str, tuple[Rule, list[Module]]] = {
    "only backends know a platform": (
        platforms,
        [
            Module("names", "import pyspark.sql"),
            Module("control.manager", "def late():\n    from deltalake import DeltaTable"),
            Module("app", "from databricks.sdk import WorkspaceClient"),
        ],
    ),
    "imports go one way": (
        against_the_layers,
        [
            Module("names", "from lakeflow_meta.control.manager import MetadataManager"),
            Module("ports.store", "import lakeflow_meta.backends.deltars"),
            Module("control.manager", "from lakeflow_meta import app"),
            Module("backends.deltars", "def late():\n    from lakeflow_meta import cli"),
        ],
    ),
    "nouns take values from the ports, never doors": (
        doors_in_nouns,
        [
            Module("names", "from lakeflow_meta.ports import ControlStore"),
            Module("names", "from lakeflow_meta.ports import Commit, utc_now"),
        ],
    ),
    "ports are imported from one place": (
        parts_of_ports,
        [Module("app", "from lakeflow_meta.ports.functions import utc_now")],
    ),
    "a verb uses verbs of its own room only": (
        verbs_of_other_rooms,
        [Module("jobs.planner", "from lakeflow_meta.control.manager import MetadataManager")],
    ),
    "one function reads the clock": (
        clocks,
        [
            Module("names", "at = datetime.now(UTC)"),
            Module("backends.deltars", "at = time.time()"),
            Module("ports.functions", "def utc_now(): ..."),
        ],
    ),
    "one module builds SQL text": (
        sql_texts,
        [Module("backends.deltars", "def text(table):\n    return f'  select * from {table}'")],
    ),
    "broad excepts stand at the doors only": (
        broad_excepts,
        [
            Module("names", f"try:\n    pass\n{caught}:\n    pass")
            for caught in ("except", "except Exception", "except (OSError, BaseException) as e")
        ],
    ),
}
"""Each rule gives the breaches of a module; the modules beside it break it."""


def test_there_is_something_to_check() -> None:
    assert len(FILES) > 30
    assert NAMES >= VERBS
    assert len(DOORS) > 5


@pytest.mark.parametrize("rule", RULES)
def test_every_module_keeps_the_rule(rule: str) -> None:
    breaches, _ = RULES[rule]
    found = [f"{module.name}: {breach}" for module in MODULES for breach in breaches(module)]
    assert not found, "\n".join([rule, *found])


@pytest.mark.parametrize("rule", RULES)
def test_a_module_that_breaks_a_rule_is_found(rule: str) -> None:
    breaches, broken = RULES[rule]
    for module in broken:
        assert list(breaches(module)), module
