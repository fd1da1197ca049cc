"""Footers that would end the process: Arrow's C++ is never asked about them."""

import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from shard_sets import SMALL, make_rows, write_set, write_shard

from sr_datasets.errors import ShardError
from sr_datasets.shards.footer import FooterError, check_footer, check_footer_of
from sr_datasets.shards.reader import ShardReader
from sr_datasets.shards.verify import verify_shard

CASES = Path(__file__).parent / "data" / "fuzz"
OURS = ("shard", "shard-zstd", "shard-png")


def footer_of(path: Path) -> bytes:
    data = path.read_bytes()
    return data[-8 - int.from_bytes(data[-8:-4], "little") : -8]


def test_footers_of_ours_and_of_others_are_taken(tmp_path: Path):
    write_set(tmp_path, SMALL)
    for path in [
        *tmp_path.rglob("*.parquet"),
        *(Path(__file__).parent / "data").glob("shards-*/**/*.parquet"),
    ]:
        check_footer_of(path)
    for storage in ("zstd", "png"):
        rows = [make_rows("c0", 2, frames=3, color="y")]
        write_shard(tmp_path / f"{storage}.parquet", rows, storage=storage)  # type: ignore[arg-type]
        check_footer_of(tmp_path / f"{storage}.parquet")
    with pq.ParquetFile(tmp_path / "data/test-00000-of-00001.parquet") as file:
        pq.write_table(
            file.read(), tmp_path / "foreign.parquet", compression="snappy", data_page_version="2.0"
        )
    check_footer_of(tmp_path / "foreign.parquet")


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.99])
def test_a_footer_that_is_cut_is_refused(tmp_path: Path, kept: float):
    write_shard(tmp_path / "a.parquet", [make_rows("c0", 2)])
    footer = footer_of(tmp_path / "a.parquet")

    with pytest.raises(FooterError, match="cannot be read as a description of columns"):
        check_footer(footer[: int(len(footer) * kept)])


@pytest.mark.parametrize(
    "path",
    [path for reader in OURS for path in sorted((CASES / reader).glob("*"))],
    ids=lambda path: path.name,
)
def test_what_did_harm_in_arrow_or_behind_it_is_a_sentence_here(path: Path):
    program = (
        "import sys, pyarrow.parquet as pq\n"
        "file = pq.read_metadata(sys.argv[1])\n"
        "for group in range(file.num_row_groups):\n"
        "    found = [file.row_group(group).column(place) for place in range(file.num_columns)]\n"
        "    [(one.statistics, one.compression, one.path_in_schema) for one in found]\n"
        "pq.ParquetFile(sys.argv[1])\n"
    )
    alone = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, check=False)
    # What Arrow takes has a right footer, of columns or rows that are none of a shard.
    expected = (
        "has a footer that cannot be right"
        if alone.returncode
        else "but not a shard: column|its row groups have"
    )
    with pytest.raises(ShardError, match=expected) as refused:
        _ = ShardReader(path).num_rows
    assert verify_shard(path) == [str(refused.value)]


def test_each_name_and_codec_of_a_column_chunk_is_looked_at(tmp_path: Path):
    write_shard(tmp_path / "a.parquet", [make_rows("c0", 2)])
    footer = footer_of(tmp_path / "a.parquet")
    name = b"\x19\x18\x02hr"  # field 3 after field 2: a list of one text
    assert footer.count(name) == 1
    codec = footer.index(name) + len(name)
    assert footer[codec : codec + 2] == b"\x15\x00"  # field 4: uncompressed

    with pytest.raises(FooterError, match="column hr is compressed by codec 8, which is none"):
        check_footer(footer[: codec + 1] + b"\x10" + footer[codec + 2 :])
    with pytest.raises(FooterError, match="the chunk of column hr has another name"):
        check_footer(footer.replace(name, name[:-1] + b"s"))
    with pytest.raises(FooterError, match=r"the name of column .*r is no text"):
        check_footer(footer.replace(b"\x02hr", b"\x02\xffr"))
