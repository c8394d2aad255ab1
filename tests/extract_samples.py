"""Extracts to test with: one by hand, and any that the rules allow."""

from typing import Any

from hypothesis import strategies as st
from pydantic import ValidationError

from lakeflow_meta.extract.config import Extract
from lakeflow_meta.extract.words import LEVELS, OF_PARQUET, OF_TEXT
from lakeflow_meta.findings import path_text, validation_findings


def declared(**changes: Any) -> dict[str, Any]:
    """A sound extract with some of its keys replaced."""
    base = {
        "extract_name": "customers",
        "source": {"table": "main.gold.customers"},
        "target": {"path": "out/customers"},
    }
    return {**base, **changes}


def problems_of(**changes: Any) -> dict[str, tuple[str, str]]:
    """What is wrong with a changed extract: path to message and hint."""
    try:
        Extract.model_validate(declared(**changes))
    except ValidationError as error:
        found = validation_findings(error, Extract)
        return {path_text(f.path): (f.message, f.hint) for f in found}
    return {}


# --------------------------------------------------------------------------- any extract

plain = st.text("abcXYZ0129_", min_size=1, max_size=8).map(lambda text: f"n{text}")
sentences = st.text(
    st.characters(exclude_categories=("Cs", "Cn", "Cc")), min_size=1, max_size=20
).filter(str.strip)
characters = st.sampled_from([";", "|", "^", "§", "\t"])
patterns = st.sampled_from(["yyyyMMdd", "yyyy-MM-dd", "yyyyDDD"])
zones = st.sampled_from(["UTC", "Europe/Berlin"])
numbers = st.integers(1, 2**31 - 1)


def some(**optional: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A mapping that has some of these keys."""
    return st.fixed_dictionaries({}, optional=optional)


@st.composite
def sources(draw: st.DrawFn) -> dict[str, Any]:
    datastore = draw(st.sampled_from(["lakehouse", "warehouse"]))
    kinds = ["table", "view", "query", "template"]
    if datastore == "warehouse":
        kinds.append("procedure")
    kind = draw(st.sampled_from(kinds))
    found: dict[str, Any] = {"datastore": datastore}
    if kind in ("table", "view", "procedure"):
        levels = 3 if datastore == "lakehouse" else 2
        found[kind] = ".".join(draw(plain) for _ in range(levels))
    else:
        found[kind] = "SELECT * FROM t WHERE a = :a" if kind == "query" else "sql/x.sql.jinja"
    values = st.none() | st.booleans() | st.integers() | st.floats(-1e9, 1e9) | sentences
    if kind in ("query", "template", "procedure") and draw(st.booleans()):
        found["parameters"] = {"a": draw(values)}
    if kind != "procedure":
        found |= draw(some(columns=st.lists(plain, unique_by=str.lower), where=sentences))
    return found


def loads(source: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    if "procedure" in source:
        return st.just({})
    incremental = st.fixed_dictionaries(
        {"mode": st.just("incremental"), "watermark_column": plain},
        optional={"initial_watermark": sentences},
    )
    period = st.fixed_dictionaries(
        {"mode": st.just("period"), "period_column": plain, "period_query": sentences}
    )
    return st.just({}) | incremental | period


@st.composite
def layouts(draw: st.DrawFn) -> dict[str, Any]:
    form = draw(st.sampled_from(["csv", "dat", "tsv", "json", "jsonl", "parquet"]))
    found: dict[str, Any] = {"format": form, **draw(some(group=sentences))}
    found |= draw(some(max_rows_per_file=numbers) | some(max_bytes_per_file=numbers))
    if form != "parquet":
        found |= draw(some(date_format=patterns))
        found |= draw(some(timestamp_format=patterns, time_zone=zones))
        if "timestamp_format" not in found:
            found.pop("time_zone", None)
    if form in ("csv", "dat"):
        found |= draw(some(delimiter=characters))
    if form in ("csv", "tsv", "dat"):
        found |= draw(
            some(
                quote=st.sampled_from("\"'"),
                escape=st.sampled_from('\\"'),
                header=st.booleans(),
                footer=st.sampled_from(["T{rows}", "end {extract_name}", "{{}}"]),
                null_value=st.sampled_from(["", "NULL", "\\N"]),
                encoding=st.sampled_from(["utf-8", "UTF-8", "cp1252"]),
                line_ending=st.sampled_from(["lf", "crlf", "cr"]),
                decimal_separator=st.sampled_from(".,"),
                decimal_places=st.integers(0, 38),
            )
        )
    return found


@st.composite
def name_patterns(draw: st.DrawFn) -> dict[str, Any]:
    found = draw(some(name=plain, timestamp_format=patterns))
    if "timestamp_format" in found:
        found |= draw(some(period_end_day=st.integers(1, 31), timestamp_first=st.booleans()))
    return found


@st.composite
def compressions(draw: st.DrawFn, form: str) -> dict[str, Any]:
    kind = draw(st.sampled_from(OF_PARQUET if form == "parquet" else OF_TEXT))
    found: dict[str, Any] = {"type": str(kind)}
    if kind in LEVELS:
        levels = st.integers(LEVELS[kind].lowest, LEVELS[kind].highest)
        found |= draw(some(level=levels | st.sampled_from(["minimum", "normal", "maximum"])))
    if form != "parquet":
        found |= draw(some(extension=st.sampled_from(["z1", ".z2"])))
    if kind == "zip":
        found |= draw(some(archive=name_patterns()))
    return found


@st.composite
def extracts(draw: st.DrawFn) -> Extract:
    source = draw(sources())
    file = draw(layouts())
    naming = {**draw(name_patterns()), **draw(some(extension=st.sampled_from(["e1", ".e2"])))}
    if "timestamp_format" in naming:
        naming |= draw(some(time_zone=zones))
    checks = some(
        query=sentences,
        min_rows=st.integers(1, 10),
        max_rows=st.integers(10, 2**63 - 1),
    ).filter(bool)
    if source["datastore"] == "warehouse":
        checks |= st.fixed_dictionaries({"procedure": st.builds("{}.{}".format, plain, plain)})
    whole = {
        "extract_name": draw(plain),
        "source": source,
        "load": draw(loads(source)),
        "target": {"path": draw(st.sampled_from(["a", "a/b/c", "/x/y", "/Volumes/a/b/c/d"]))},
        "file_name": naming,
        "file": file,
    }
    return Extract.model_validate(
        whole
        | draw(
            some(
                description=st.text(max_size=20),
                group=plain,
                execution_order=st.integers(-(2**31), 2**31 - 1),
                compression=compressions(file["format"]),
                trigger=some(extension=st.sampled_from(["ok", ".done"])),
                manifest=st.booleans(),
                validation=checks,
            )
        )
    )
