"""Sums the orders of each day over all files that have landed, and writes one small table."""

import csv
import sys
from collections import defaultdict
from decimal import Decimal
from pathlib import Path

VOLUMES = Path(".lakeflow/volumes")
"""Where volumes lie on the embedded workspace; on Databricks ``/Volumes`` is a real folder."""


def folder_of(path: str) -> Path:
    """The folder of a volume, here or on Databricks."""
    return Path(path) if Path("/Volumes").is_dir() else VOLUMES / path.removeprefix("/Volumes/")


landing, currency = folder_of(sys.argv[1]), sys.argv[2]
days: dict[str, list[Decimal]] = defaultdict(list)
for file in sorted(landing.glob("*.csv")):
    with file.open(newline="") as lines:
        for order in csv.DictReader(lines):
            days[order["ordered_at"][:10]].append(Decimal(order["amount"]))

result = landing.parent / "daily_orders.csv"
partial = result.with_suffix(".partial")
with partial.open("w", newline="") as out:
    table = csv.writer(out, lineterminator="\n")
    table.writerow(["day", "orders", f"amount_{currency.lower()}"])
    for day, amounts in sorted(days.items()):
        table.writerow([day, len(amounts), sum(amounts)])
partial.replace(result)  # whole or not at all, whoever reads it meanwhile
print(f"{len(days)} day(s) in {result}")
