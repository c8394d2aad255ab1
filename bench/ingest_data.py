"""Files for `ingest.py`: many small ones of JSON, one large one of CSV."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

ROWS_IN_A_FILE = 40
SCHEMA = "id BIGINT, name STRING, amount DOUBLE, at TIMESTAMP, flag BOOLEAN"
CSV_SCHEMA = f"{SCHEMA}, day DATE, price DECIMAL(12,2)"

_BLOCK_ROWS = 100_000


def row(number: int) -> dict[str, object]:
    """One row of `SCHEMA`; no two numbers give the same."""
    second, minute = number % 60, number // 60 % 60
    return {
        "id": number,
        "name": f"customer {number * 7919 % 100_003:06d}",
        "amount": number * 37 % 100_000 / 100,
        "at": f"2024-01-{1 + number % 28:02d}T12:{minute:02d}:{second:02d}",
        "flag": number % 3 == 0,
    }


def write_small_files(folder: Path, first: int, count: int) -> list[Path]:
    """JSON lines, about 4 KB a file."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for number in range(first, first + count):
        rows = range(number * ROWS_IN_A_FILE, (number + 1) * ROWS_IN_A_FILE)
        path = folder / f"f{number:06d}.json"
        path.write_text("".join(json.dumps(row(each)) + "\n" for each in rows))
        made.append(path)
    return made


def write_large_file(path: Path, megabytes: int) -> int:
    """CSV with a header, of `CSV_SCHEMA`; how many rows. The same block of rows is repeated."""
    path.parent.mkdir(parents=True, exist_ok=True)
    block = "".join(_csv_lines()).encode()
    rows = 0
    with path.open("wb") as file:
        file.write(b"id,name,amount,at,flag,day,price\n")
        while file.tell() < megabytes * 2**20:
            file.write(block)
            rows += _BLOCK_ROWS
    return rows


def _csv_lines() -> Iterator[str]:
    for number in range(_BLOCK_ROWS):
        values = [*row(number).values(), f"2024-02-{1 + number % 29:02d}", f"{number / 100:.2f}"]
        yield ",".join(str(value) for value in values) + "\n"


def write_tiny_files(folder: Path, count: int) -> None:
    """Files that are only listed."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / f"event-{number:07d}.json").write_bytes(b"{}\n")
