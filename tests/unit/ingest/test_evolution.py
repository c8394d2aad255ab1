"""The columns that a table has once files were in it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from pyspark.sql import types as T  # noqa: N812 - Spark's own usage

from lakeflow_meta.backends.spark_ingest.columns import RESCUED, TableShape
from lakeflow_meta.backends.spark_ingest.evolution import (
    evolved,
    needs_mapping,
    wide_enough,
    with_new_fields,
)
from lakeflow_meta.ingest.source import SchemaEvolution


def named(kinds: st.SearchStrategy[T.DataType]) -> st.SearchStrategy[list[T.StructField]]:
    """Fields whose names differ, to Spark."""
    pairs = st.tuples(st.sampled_from("abcdABCD"), kinds)
    found = st.lists(pairs, max_size=4, unique_by=lambda pair: pair[0].lower())
    return found.map(lambda pairs: [T.StructField(*pair) for pair in pairs])


SCALARS = st.sampled_from(
    [
        *(T.ByteType(), T.ShortType(), T.IntegerType(), T.LongType(), T.FloatType()),
        *(T.DoubleType(), T.DecimalType(5, 2), T.DecimalType(12, 0), T.StringType(), T.DateType()),
    ]
)
TYPES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.builds(T.ArrayType, inner),
        st.builds(lambda value: T.MapType(T.StringType(), value), inner),
        named(inner).map(T.StructType),
    ),
    max_leaves=6,
)
FIELDS = named(TYPES)


def names(fields: list[T.StructField]) -> list[str]:
    return [field.name.lower() for field in fields]


def holds(wide: T.DataType, narrow: T.DataType) -> bool:
    """Whether every field of ``narrow`` is in ``wide``, with its own type."""
    match wide, narrow:
        case T.StructType(), T.StructType():
            inside = {field.name.lower(): field.dataType for field in wide.fields}
            return all(
                field.name.lower() in inside and holds(inside[field.name.lower()], field.dataType)
                for field in narrow.fields
            )
        case T.ArrayType(), T.ArrayType():
            return holds(wide.elementType, narrow.elementType)
        case T.MapType(), T.MapType():
            return holds(wide.valueType, narrow.valueType)
    return wide == narrow


@given(FIELDS, st.lists(FIELDS, max_size=3))
def test_nothing_that_a_table_has_is_lost_moved_or_changed(
    known: list[T.StructField], told: list[list[T.StructField]]
) -> None:
    made = list(with_new_fields(known, told))
    assert names(made)[: len(known)] == names(known)
    for before, after in zip(known, made, strict=False):
        assert after.name == before.name
        assert holds(after.dataType, before.dataType)
    assert set(names(made)) == set(names(known)).union(*map(names, told))
    assert len(names(made)) == len(set(names(made)))


@given(FIELDS, st.lists(FIELDS, max_size=3))
def test_the_same_files_again_change_nothing(
    known: list[T.StructField], told: list[list[T.StructField]]
) -> None:
    once = with_new_fields(known, told)
    assert with_new_fields(once, told) == once


@given(SCALARS, SCALARS)
def test_a_wider_type_holds_both_or_is_the_first(one: T.DataType, other: T.DataType) -> None:
    made = wide_enough(one, other)
    assert made == one or wide_enough(other, one) == made
    assert wide_enough(made, other) == made


def test_numbers_are_widened_and_nothing_else_is() -> None:
    long, double, text = T.LongType(), T.DoubleType(), T.StringType()
    assert wide_enough(T.IntegerType(), long) == long
    assert wide_enough(T.IntegerType(), double) == double
    assert wide_enough(long, double) == long
    assert wide_enough(T.IntegerType(), text) == T.IntegerType()
    assert wide_enough(T.DecimalType(5, 2), T.DecimalType(6, 4)) == T.DecimalType(7, 4)


def test_each_evolution_does_what_it_says() -> None:
    shape = TableShape((T.StructField("a", T.LongType()),), frozenset())
    told = [[T.StructField("b", T.StringType()), T.StructField("void", T.NullType())]]
    fields = {
        kind: [field.name for field in evolved(shape, told, kind).fields]
        for kind in SchemaEvolution
    }
    assert fields == {
        SchemaEvolution.FAIL: ["a"],
        SchemaEvolution.ADD_NEW_COLUMNS: ["a", "b"],
        SchemaEvolution.RESCUE: ["a", RESCUED],
    }


def test_names_that_delta_takes_only_with_column_mapping_are_found_at_any_depth() -> None:
    inside = T.ArrayType(T.StructType([T.StructField("x,y", T.LongType())]))
    fields = [T.StructField("a b", T.LongType()), T.StructField("c.d", inside)]
    assert needs_mapping(fields) == ["a b", "x,y"]
