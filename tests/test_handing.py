"""Batches that workers hand over: the same bits as in one process, written into shared memory at once."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from shard_sets import make_rows, write_set

torch = pytest.importorskip("torch")
from torch.utils.data import DataLoader  # noqa: E402

from sr_datasets.dataset import PairDataset, ResumableSampler  # noqa: E402
from sr_datasets.dataset.handing import hands_over, shared_tensor  # noqa: E402

pytestmark = pytest.mark.torch


@pytest.mark.parametrize(("dtype", "rows"), [(np.uint8, 3), (np.uint16, 3), (np.uint8, 2500)])
def test_shared_tensor_holds_all_rows_however_many(dtype: type, rows: int) -> None:
    pixels = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (rows, 3, 4, 5), dtype, endpoint=True)
    whole = shared_tensor(
        [row.reshape(-1).view(np.uint8) for row in pixels], pixels.shape, torch.from_numpy(pixels).dtype
    )

    assert whole.is_shared()
    np.testing.assert_array_equal(whole.numpy(), pixels)
    whole.zero_()  # it is ours to write


def test_rows_that_are_written_in_parts_come_out_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [np.full(100, number, np.uint8) for number in range(7)]
    whole_write = os.pwritev

    def some(file: int, pieces: Sequence[memoryview], at: int) -> int:
        return whole_write(file, [memoryview(pieces[0])[:37]], at)

    monkeypatch.setattr(os, "pwritev", some)
    np.testing.assert_array_equal(shared_tensor(rows, (7, 100), torch.uint8).numpy(), np.stack(rows))


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("columns", [(), ("sample_id",)])
def test_a_worker_writes_its_batches_there_and_leaves_no_descriptor(
    tmp_path: Path, columns: tuple[str, ...]
) -> None:
    write_set(tmp_path, {"train-00000-of-00001.parquet": [make_rows("c0", 8)]})
    ds = PairDataset(tmp_path, columns=columns)
    sampler = ResumableSampler(ds, num_samples=8 * 40)
    order = ResumableSampler(ds).order.rows(0, 8 * 40)
    at_most = len(list(Path("/proc/self/fd").iterdir())) + 60

    assert not hands_over()
    batches = DataLoader(ds, sampler=sampler.batches(4), batch_size=None, num_workers=2)
    for number, batch in enumerate(batches):
        want = ds[order[number * 4 : number * 4 + 4]]
        assert batch["lr"].is_shared()
        assert torch.equal(batch["lr"], want["lr"])
        assert torch.equal(batch["hr"], want["hr"])
        assert len(list(Path("/proc/self/fd").iterdir())) < at_most


def test_block_order_reads_row_groups_ahead_and_the_same_pixels(tmp_path: Path) -> None:
    groups = [make_rows(f"c{number}", 5) for number in range(6)]
    write_set(
        tmp_path, {"train-00000-of-00002.parquet": groups[:3], "train-00001-of-00002.parquet": groups[3:]}
    )
    rows = [row for group in groups for row in group]
    ds = PairDataset(tmp_path)

    for numbers in ResumableSampler(ds, block=2, num_samples=60).batches(4):
        batch = ds[numbers]
        np.testing.assert_array_equal(batch["lr"].numpy(), np.stack([rows[at].lr for at in numbers]))
        np.testing.assert_array_equal(batch["hr"].numpy(), np.stack([rows[at].hr for at in numbers]))
