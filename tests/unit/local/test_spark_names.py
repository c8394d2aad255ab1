import re

from hypothesis import assume, given
from hypothesis import strategies as st

from lakeflow_meta.backends.local.spark.spark_names import SparkNames
from lakeflow_meta.backends.local.spark.warehouse import SchemaName
from lakeflow_meta.names import TableName

PARTS = st.one_of(
    st.sampled_from(["a", "a_", "_a", "a__b", "b", "default", "main", "a-b", "a__x000000000000"]),
    st.text(alphabet="ab_-ü'`$ ", min_size=1, max_size=8),
)


@given(PARTS, PARTS, PARTS, PARTS)
def test_two_schemas_never_share_a_database(a: str, b: str, c: str, d: str) -> None:
    names = SparkNames("main")
    assume((a, b) != (c, d))
    assert names.database(SchemaName(a, b)) != names.database(SchemaName(c, d))


@given(PARTS, PARTS)
def test_every_database_is_a_name_that_spark_takes_and_leads_back(a: str, b: str) -> None:
    names = SparkNames("main")
    database = names.database(SchemaName(a, b))
    assert re.fullmatch(r"\w+", database, re.ASCII)
    assert names.schema(database.upper()) == SchemaName(a, b)


def test_the_readable_form_and_the_default() -> None:
    names = SparkNames("main")
    assert names.database(SchemaName("main", "silver_1")) == "main__silver_1"
    assert names.database(SchemaName("main", "default")) == "default"
    assert names.database(SchemaName("dev", "default")) == "dev__default"
    assert names.quoted(TableName("dev", "s", "o`k")) == "`dev__s`.`o``k`"


def test_messages_show_the_names_that_people_know() -> None:
    names = SparkNames("main")
    names.database(SchemaName("main", "silver"))
    assert names.restore("`main__silver`.`t` and main__silver.t") == (
        "`main`.`silver`.`t` and main.silver.t"
    )
    assert names.restore("`spark_catalog`.`main__silver`") == "`main`.`silver`"
    assert names.restore("spark_catalog.default.t") == "main.default.t"
    assert names.restore("`default`.`t`") == "`main`.`default`.`t`"


def test_other_words_of_a_message_stay() -> None:
    names = SparkNames("main")
    names.database(SchemaName("main", "silver"))
    text = "DEFAULT default `default` other__silver xmain__silver spark_catalog"
    assert names.restore(text) == text
