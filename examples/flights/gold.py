"""Shows the gold layer as a picture in the terminal. Reads Delta tables without Spark."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable
from rich.console import Console
from rich.table import Table

BAR = 30


def rows(home: Path, table: str, columns: list[str] | None = None) -> pa.Table:
    """Rows of a table of the embedded workspace, by its three-level name."""
    path = home / "warehouse" / Path(*table.split("."))
    return DeltaTable(path).to_pyarrow_table(columns=columns)


def show(home: Path) -> None:
    """Three small pictures: by carrier, by hour, by weather."""
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else 100)
    for title, table, label in (
        ("Minutes late at departure, by carrier", "nyc.gold.delay_by_carrier", "carrier_name"),
        ("… by hour of the day", "nyc.gold.delay_by_hour", "hour"),
        ("… by weather", "nyc.gold.delay_by_weather", "weather"),
    ):
        found = rows(home, table).to_pylist()
        by_delay = label != "hour"
        found.sort(key=lambda row: -row["mean_departure_delay"] if by_delay else row["hour"])
        console.print(picture(title, label, found))


def picture(title: str, label: str, found: list[dict[str, Any]]) -> Table:
    """One table with a bar a row."""
    top = max((row["mean_departure_delay"] or 0.0) for row in found)
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column(label.removesuffix("_name"))
    table.add_column("flights", justify="right")
    table.add_column("delay", justify="right")
    table.add_column("")
    for row in found:
        delay = row["mean_departure_delay"] or 0.0
        bar = "█" * max(1, round(BAR * delay / top)) if delay > 0 else ""
        table.add_row(f"{row[label]}", f"{row['flights']:,}", f"{delay:.1f}", bar)
    return table


if __name__ == "__main__":
    show(Path(".lakeflow"))
