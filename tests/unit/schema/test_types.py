"""Types: text and Delta's JSON read back as the same value; what is unknown is an error."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeflow_meta.schema.type_text import parse_type
from lakeflow_meta.schema.types import (
    PLAIN_TYPES,
    Array,
    Char,
    DataType,
    Decimal,
    Integer,
    Map,
    String,
    Struct,
    StructField,
    UnknownTypeError,
    Varchar,
    Variant,
    read_delta_type,
    same_type,
)

names = st.text(min_size=1, max_size=12).filter(lambda text: text.strip() == text)


def _decimal(precision: int) -> st.SearchStrategy[DataType]:
    return st.integers(0, precision).map(lambda scale: Decimal(precision, scale))


def _struct(inner: st.SearchStrategy[DataType]) -> st.SearchStrategy[DataType]:
    field = st.builds(StructField, names, inner, st.booleans(), st.text(max_size=8))
    unique = st.lists(field, min_size=1, max_size=4, unique_by=lambda f: f.name.lower())
    return unique.map(lambda fields: Struct(tuple(fields)))


keys = st.sampled_from([t for t in PLAIN_TYPES if not isinstance(t, Variant)])
types: st.SearchStrategy[DataType] = st.recursive(
    st.sampled_from(PLAIN_TYPES) | st.integers(1, 38).flatmap(_decimal),
    lambda inner: inner.map(Array) | st.builds(Map, keys, inner) | _struct(inner),
    max_leaves=6,
)

lengths = st.integers(1, 99).flatmap(lambda n: st.sampled_from([Char(n), Varchar(n)]))


@given(types | lengths | lengths.map(Array))
def test_every_type_reads_back_from_its_text(data_type: DataType) -> None:
    assert parse_type(str(data_type)) == data_type


@given(types)
def test_every_type_reads_back_from_the_json_that_delta_would_keep(data_type: DataType) -> None:
    assert read_delta_type(_delta(data_type)) == data_type


def _delta(data_type: DataType) -> Any:
    match data_type:
        case Array(element):
            return {"type": "array", "elementType": _delta(element), "containsNull": True}
        case Map(key, value):
            return {"type": "map", "keyType": _delta(key), "valueType": _delta(value)}
        case Struct(fields):
            parts = [
                {
                    "name": f.name,
                    "type": _delta(f.data_type),
                    "nullable": f.nullable,
                    "metadata": {"comment": f.comment} if f.comment else {},
                }
                for f in fields
            ]
            return {"type": "struct", "fields": parts}
        case Decimal(precision, scale):
            return f"decimal({precision},{scale})"
        case _:
            return data_type.delta


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("BIGINT", "bigint"),
        ("Long", "bigint"),
        ("integer", "int"),
        ("byte", "tinyint"),
        ("real", "float"),
        ("numeric( 10 )", "decimal(10,0)"),
        ("decimal", "decimal(10,0)"),
        (
            " array < struct<a INT NOT NULL, b : string> > ",
            "array<struct<a:int not null,b:string>>",
        ),
        ("map<string,array<map<int,date>>>", "map<string,array<map<int,date>>>"),
        ("timestamp_ltz", "timestamp"),
        ("struct<`a``b`:int,`select me`:int>", "struct<`a``b`:int,`select me`:int>"),
    ],
)
def test_spellings_of_sql_are_understood(text: str, canonical: str) -> None:
    assert str(parse_type(text)) == canonical


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("strng", "type 'strng' is not known", "string"),
        ("array<datetime>", "'datetime' in 'array<datetime>'", "timestamp"),
        ("interval day to second", "does not store intervals", "bigint"),
    ],
)
def test_an_unknown_type_is_named_with_what_may_be_meant(
    text: str, message: str, hint: str
) -> None:
    with pytest.raises(UnknownTypeError, match=message) as caught:
        parse_type(text)
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "", "array<>", "array<int", "int int", "decimal(x)", "decimal(39,2)", "decimal(5,6)",
        "struct<>", "struct<a:int,A:int>", "map<map<int,int>,int>", "map<variant,int>", "int;",
        "struct<a:int comment x>", "struct<a:int", "array<int>>", "char", "varchar(0)", "char(x)",
    ],
)  # fmt: skip
def test_text_that_is_no_type_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"type|decimal|struct|map"):
        parse_type(text)


@pytest.mark.parametrize("value", ["interval day", "geometry(4326)", {"type": "udt"}, 7])
def test_a_live_type_that_is_not_known_is_an_error_not_a_missing_column(value: Any) -> None:
    with pytest.raises(UnknownTypeError):
        read_delta_type(value)


def test_names_of_struct_fields_are_compared_without_case() -> None:
    assert same_type(parse_type("struct<A:int>"), parse_type("struct<a:int>"))


def test_what_fields_are_called_and_whether_they_may_be_null_does_not_make_another_type() -> None:
    plain = parse_type("array<struct<a:int>>")
    told = parse_type("array<struct<a:int not null comment 'it\\'s'>>")
    assert told != plain
    assert same_type(told, plain)
    assert not same_type(plain, parse_type("array<struct<a:int,b:int>>"))


@pytest.mark.parametrize(
    ("text", "comment"),
    [
        (r"'it\'s'", "it's"),
        ("'it''s'", "it's"),
        (r'"two \'"', "two '"),
        (r"'\u0024{x} \U0001F388 \101\n'", "${x} 🎈 A\n"),
        (r"'50\% \q'", r"50\% q"),
    ],
)
def test_comments_of_fields_are_read_as_spark_reads_literals(text: str, comment: str) -> None:
    data_type = parse_type(f"struct<a:int comment {text}>")
    assert isinstance(data_type, Struct)
    assert data_type.fields[0].comment == comment


def test_a_class_or_a_text_in_place_of_a_type_is_refused_with_an_example() -> None:
    with pytest.raises(TypeError, match=r"Integer is no type; give a value such as Integer\(\)"):
        Array(Integer)  # type: ignore[arg-type]  # the mistake that is tested
    assert Array(String()) == parse_type("array<string>")
