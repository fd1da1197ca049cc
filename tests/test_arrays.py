"""Arrow arrays that are made without pandas are those of pyarrow."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sr_datasets.shards.arrays import arrow_numbers, arrow_values
from sr_datasets.shards.storage import IMAGE

INT32 = st.integers(-(2**31), 2**31 - 1)
INT64 = st.integers(-(2**63), 2**63 - 1)
PICTURE = st.fixed_dictionaries({"bytes": st.binary(), "path": st.none()})
COLUMNS = st.one_of(
    *(
        st.tuples(st.just(kind), st.lists(values))
        for kind, values in [
            (pa.int32(), INT32 | INT32.map(np.int32)),
            (pa.int64(), INT64),
            (pa.string(), st.text(st.characters(exclude_categories=["Cs"]))),
            (pa.binary(), st.binary() | st.binary().map(memoryview)),
            (pa.list_(pa.field("element", pa.int64(), nullable=False)), st.lists(INT64).map(tuple)),
            (IMAGE, PICTURE),
            (pa.list_(IMAGE), st.lists(PICTURE)),
        ]
    )
)


@given(COLUMNS)
def test_values_are_those_of_pyarrow(column: tuple[pa.DataType, list[Any]]):
    kind, values = column
    made = arrow_values(values, kind)
    made.validate(full=True)
    assert made.equals(pa.array(values, kind))


def test_numbers_are_those_of_pyarrow():
    numbers = np.arange(20)[::3]
    assert arrow_numbers(numbers).equals(pa.array(numbers))


@pytest.mark.parametrize(
    ("kind", "values", "error"),
    [
        (pa.int32(), [2**31], OverflowError),
        (pa.int64(), [2**63], OverflowError),
        (pa.int32(), [1.5], TypeError),
        (pa.int32(), [1, None], TypeError),
        (pa.binary(), [b"a", None], TypeError),
        (pa.float64(), [1.0], TypeError),
    ],
)
def test_what_a_column_cannot_hold_is_refused(kind: pa.DataType, values: list[Any], error: type[Exception]):
    with pytest.raises(error):
        arrow_values(values, kind)


def test_making_a_shard_imports_no_pandas(tmp_path: Path):
    code = (
        "import sys; from pathlib import Path; from shard_sets import make_rows, write_shard\n"
        "write_shard(Path(sys.argv[1]), [make_rows('clip', 6)], {})\n"
        "sys.exit('pandas' in sys.modules)"
    )
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.parquet")], check=True, env=env)
