"""Conditions on rows, against Python's own truth and SQLite's."""

import math
import pickle
import sqlite3

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sr_datasets.errors import SelectionError
from sr_datasets.shards.where import parse_where

ROWS = [
    {"source": "xiph", "clip": "akiyo_cif", "top": 3, "motion": 0.5, "left": 1, "flat": True},
    {"source": "xiph", "clip": "bus_cif", "top": 40, "motion": 2.5, "left": 2, "flat": False},
    {"source": "vid4", "clip": "foliage", "top": -1, "motion": None, "left": 3, "flat": False},
    {"source": "it's", "clip": "50%", "top": 8, "motion": 2.0, "left": 4, "flat": None},
]
TABLE = pa.Table.from_pylist(ROWS)


def fits(text: str) -> list[int]:
    return [number for number, fit in enumerate(parse_where(text).mask(TABLE)) if fit]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("source = 'xiph' and motion > 2", [1]),
        ("source='xiph'AND top<=3", [0]),
        ("source == 'it''s'", [3]),
        ("top >= -1 and top < 8", [0, 2]),
        ("top <> 3", [1, 2, 3]),
        ("motion = 2", [3]),
        ("top = 3.0", [0]),
        ("top > 2.5e0", [0, 1, 3]),
        ("motion != 2", [0, 1]),
        ("not motion = 2", [0, 1]),
        ("motion = 2 or top = -1", [2, 3]),
        ("source in ('vid4', 'it''s')", [2, 3]),
        ("source not in ('vid4') and top not in (3, 8)", [1]),
        ("clip like '%_cif'", [0, 1]),
        ("clip not like '%cif'", [2, 3]),
        ("clip like 'b__\\_cif'", [1]),
        ("clip like '50\\%'", [3]),
        ("top = 3 or top = 40 and source = 'vid4'", [0]),
        ("(top = 3 or top = 40) and source = 'vid4'", []),
        ("not not (top = 3)", [0]),
        ('"left" > 2 and "flat" = false', [2]),
        ("flat != true", [1, 2]),
        ("top < 99999999999999999999", [0, 1, 2, 3]),
        ("top = 4294967299", []),
    ],
)
def test_rows_that_fit(text: str, rows: list[int]) -> None:
    assert fits(text) == rows


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected a column, found the end, at character 1"),
        ("source", "expected =, !=, <, <=, >, >=, in, like or not, found the end"),
        (
            "source = xiph",
            "expected a value (a text stands in single quotes: 'xiph'), found 'xiph', at character 10",
        ),
        ('source = "xiph"', "a text stands in single quotes: 'xiph'"),
        ("source = 'xiph", "a quote ' is not closed, at character 10"),
        ("top = 3 top = 4", "expected and, or, or the end, found 'top', at character 9"),
        ("(top = 3", "expected ), found the end"),
        ("top in 3", "expected (, found '3'"),
        ("top = 3x", "'3x' is no number"),
        ("top = 1; drop", "';' means nothing here, at character 8"),
        ("clip like 3", "expected a text in single quotes, found '3'"),
        ("top not = 3", "expected in or like, found '='"),
        ("(" * 200 + "top = 3" + ")" * 200, "more than 100 parentheses"),
    ],
)
def test_what_is_no_condition_is_an_error_that_shows_where(text: str, said: str) -> None:
    with pytest.raises(SelectionError) as caught:
        parse_where(text)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sourc = 'xiph'", "there is no column 'sourc'. Did you mean source? Columns: source, clip,"),
        (
            "source = 3",
            "column 'source' holds text and cannot be compared with 3: put the value in single quotes.",
        ),
        ("top = '3'", "column 'top' holds numbers and cannot be compared with '3': compare it with a number"),
        ("top = true", "column 'top' holds numbers and cannot be compared with true"),
        ("top like '3%'", "column 'top' holds numbers"),
        ("flat = 1", "column 'flat' holds true or false and cannot be compared with 1"),
        ("list = 1", "column 'list' holds list<item: int64>, which cannot be compared"),
    ],
)
def test_columns_that_are_missing_or_of_another_kind_are_named(text: str, said: str) -> None:
    table = TABLE.append_column("list", pa.array([[1]] * 4))
    with pytest.raises(SelectionError) as caught:
        parse_where(text).mask(table)
    assert said in str(caught.value)


def test_a_condition_names_its_columns_once_and_pickles() -> None:
    where = parse_where("top = 1 or (not source in ('a') and top > 2)")

    assert where.columns == ("top", "source")
    again = pickle.loads(pickle.dumps(where))
    assert again == where
    assert again.text == where.text


def test_columns_in_dictionaries_and_chunks_are_compared_as_their_values() -> None:
    table = pa.table({"source": pa.chunked_array([["a", "b"], ["b"], []]).dictionary_encode()})

    assert parse_where("source = 'b'").mask(table).tolist() == [False, True, True]
    assert parse_where("source = 'b'").mask(table.slice(0, 0)).tolist() == []


values = st.one_of(st.integers(-2, 3), st.sampled_from([0.5, -1.0, 2.0]))
leaves = st.one_of(
    st.tuples(st.sampled_from("ab"), st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), values).map(
        lambda part: f"{part[0]} {part[1]} {part[2]}"
    ),
    st.tuples(st.sampled_from("ab"), st.booleans(), st.lists(values, min_size=1, max_size=3)).map(
        lambda part: f"{part[0]} {'not ' * part[1]}in ({', '.join(map(str, part[2]))})"
    ),
    st.tuples(st.booleans(), st.text("xy%_", max_size=3)).map(
        lambda part: f"c {'not ' * part[0]}like '{part[1]}'"
    ),
)
conditions = st.recursive(
    leaves,
    lambda inner: st.one_of(
        inner.map(lambda part: f"not ({part})"),
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(" ".join),
        inner.map(lambda part: f"({part})"),
    ),
    max_leaves=8,
)
cells = st.fixed_dictionaries(
    {
        "a": st.one_of(st.none(), st.integers(-2, 3)),
        "b": st.one_of(st.none(), st.sampled_from([0.5, -1.0, 2.0, 3.0])),
        "c": st.one_of(st.none(), st.text("xy", max_size=3)),
    }
)


@given(text=conditions, rows=st.lists(cells, max_size=6))
def test_rows_are_those_that_sqlite_finds(text: str, rows: list[dict[str, object]]) -> None:
    schema = pa.schema([("a", pa.int32()), ("b", pa.float64()), ("c", pa.string())])
    table = pa.Table.from_pylist(rows, schema)
    with sqlite3.connect(":memory:") as base:
        base.execute("create table t (a integer, b real, c text)")
        base.executemany("insert into t values (:a, :b, :c)", rows)
        found = [number - 1 for (number,) in base.execute(f"select rowid from t where {text}")]
    base.close()

    assert parse_where(text).mask(table).nonzero()[0].tolist() == sorted(found)


def test_not_a_number_is_a_number_that_nothing_equals() -> None:
    table = pa.table({"motion": [math.nan, 1.0]})

    assert parse_where("motion = 1 or motion > 0").mask(table).tolist() == [False, True]


@pytest.mark.parametrize(("text", "place"), [("not flat and row = 1", 10), ("split and row = 1", 7)])
def test_a_word_in_the_wrong_place_is_found_there(text: str, place: int) -> None:
    with pytest.raises(SelectionError, match=f"found 'and', at character {place}\\."):
        parse_where(text)
