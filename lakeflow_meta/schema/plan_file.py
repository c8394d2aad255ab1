"""A plan of tables as a file, to be read by people and to be worked off later, exactly. Pure.

It is JSON: for each table the differences and the statements. A sync plans anew, and goes on only
if every table has the very plan that the file has.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from lakeflow_meta.errors import ConfigError
from lakeflow_meta.schema.plan import SchemaPlan, TablePlan

FORMAT = 1


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Table(_Part):
    name: str
    outlook: str
    changes: list[dict[str, Any]]
    statements: list[str]


class _File(_Part):
    lakeflow_meta_tables_plan: Literal[1]
    target: str
    control_table: str
    made_at: str
    made_by: str
    tables: list[_Table]


@dataclass(frozen=True, slots=True)
class PlanOrigin:
    """Where a plan was made: settings, control table, time (ISO 8601), person."""

    target: str
    control_table: str
    made_at: str
    made_by: str


@dataclass(frozen=True, slots=True)
class KeptPlan:
    """A plan that was kept: for each table, in lower case, what it says."""

    tables: Mapping[str, _Table]

    @property
    def names(self) -> list[str]:
        """Every table of the plan, those without changes included."""
        return [table.name for table in self.tables.values()]

    def moved(self, plan: SchemaPlan) -> Iterator[str]:
        """Tables whose plan is another one now."""
        for table in plan.tables:
            kept = self.tables.get(table.name.key)
            if kept != _table(table):
                yield str(table.name)


def plan_text(plan: SchemaPlan, origin: PlanOrigin) -> str:
    """The file. Raises ConfigError for a plan that cannot be worked off."""
    refused = [str(table.name) for table in plan.tables if table.rejections]
    if refused:
        raise ConfigError(f"a plan with refused tables is not kept: {', '.join(refused)}")
    document = {
        "lakeflow_meta_tables_plan": FORMAT,
        "target": origin.target,
        "control_table": origin.control_table,
        "made_at": origin.made_at,
        "made_by": origin.made_by,
        "tables": [_table(table).model_dump() for table in plan.tables],
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def read_plan(text: str, name: str, origin: PlanOrigin) -> KeptPlan:
    """The plan in a file called ``name``. Raises ConfigError, also for one of elsewhere."""
    try:
        document = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"{name} is no plan: it is not JSON ({error})") from error
    if not isinstance(document, dict) or "lakeflow_meta_tables_plan" not in document:
        made = f"`lakeflow-meta tables plan -o {name}`"
        raise ConfigError(f"{name} is no plan of tables; make one with {made}")
    try:
        file = _File.model_validate(document)
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise ConfigError(f"{name} was damaged or changed, at {where}; make a new plan") from error
    if (file.target, file.control_table) != (origin.target, origin.control_table):
        place = f"target {file.target!r}, {file.control_table}"
        raise ConfigError(f"{name} is a plan for {place}, not for this one")
    return KeptPlan({table.name.lower(): table for table in file.tables})


def _table(plan: TablePlan) -> _Table:
    shown = plan.to_dict()
    return _Table(
        name=shown["name"],
        outlook=shown["outlook"],
        changes=shown["changes"],
        statements=shown["statements"],
    )
