"""``ResumableSampler``: stop anywhere, resume with any number of processes, and the sequence goes on exactly."""

import itertools
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from servers import free_port
from shard_sets import SMALL, make_rows, write_set

torch = pytest.importorskip("torch")
from torch.utils.data import DataLoader, Dataset  # noqa: E402

from sr_datasets import PairDataset, ResumableSampler  # noqa: E402
from sr_datasets.dataset import BlockOrder, SampleOrder, SampleRow, SampleRows  # noqa: E402

pytestmark = pytest.mark.torch


class Groups:
    """Rows in row groups, as a data set tells a sampler of them."""

    def __init__(self, sizes: list[int]) -> None:
        self.rows_of_group = np.array(sizes, np.int64)

    def __len__(self) -> int:
        return int(self.rows_of_group.sum())


class Numbers(Dataset[int]):
    """Row i is i."""

    def __len__(self) -> int:
        return 1 << 40

    def __getitem__(self, index: int) -> int:
        return int(index)


sizes = st.lists(st.integers(0, 9), min_size=1, max_size=9).filter(any)
blocks = st.one_of(st.none(), st.integers(1, 10))
legs = st.lists(
    st.tuples(st.integers(1, 7), st.integers(1, 9), st.integers(0, 6)),  # world size, batch size, batches
    min_size=1,
    max_size=5,
)


def run_leg(
    groups: Groups, state: dict[str, Any], *, world: int, batch: int, count: int, ahead: int, **options: Any
) -> tuple[dict[int, int], dict[str, Any]]:
    """Let every rank consume some batches and fetch more; return sample -> row, and the state they agree on."""
    consumed: dict[int, int] = {}
    states = []
    for rank in range(world):
        sampler = ResumableSampler(groups, rank=rank, world_size=world, **options)
        sampler.load_state_dict(state)
        fetched = list(itertools.islice(sampler.batches(batch), count + ahead))
        for rows in fetched[:count]:
            assert isinstance(rows, SampleRows)
            for number, row in zip(rows.numbers.tolist(), rows, strict=True):
                assert number not in consumed
                consumed[number] = row
            sampler.advance(len(rows))
        states.append(sampler.state_dict())
    return consumed, states[0]


@settings(deadline=None, max_examples=60)
@given(groups=sizes.map(Groups), seed=st.integers(0, 99), block=blocks, legs=legs, ahead=st.integers(0, 4))
def test_the_sequence_goes_on_wherever_it_was_stopped_and_with_whatever_resumed(
    groups: Groups, seed: int, block: int | None, legs: list[tuple[int, int, int]], ahead: int
) -> None:
    unbroken = ResumableSampler(groups, seed=seed, block=block)
    state = json.loads(json.dumps(unbroken.state_dict()))
    found: dict[int, int] = {}
    for world, batch, count in legs:
        part, state = run_leg(
            groups, state, world=world, batch=batch, count=count, ahead=ahead, seed=seed, block=block
        )
        assert not found.keys() & part.keys()
        found |= part
        state = json.loads(json.dumps(state))
        assert state["consumed"] == len(found)

    rows = [int(row) for row in itertools.islice(unbroken, len(found))]
    assert [found[number] for number in range(len(found))] == rows
    for first in range(0, len(rows) - len(groups) + 1, len(groups)):
        assert sorted(rows[first : first + len(groups)]) == list(range(len(groups)))


@settings(deadline=None)
@given(
    groups=sizes.map(Groups),
    world=st.integers(1, 7),
    batch=st.integers(1, 9),
    total=st.integers(0, 60),
    block=blocks,
)
def test_a_finite_sequence_is_handed_out_whole_without_padding(
    groups: Groups, world: int, batch: int, total: int, block: int | None
) -> None:
    found: list[int] = []
    for rank in range(world):
        sampler = ResumableSampler(groups, rank=rank, world_size=world, num_samples=total, block=block)
        batches = list(sampler.batches(batch))
        assert len(sampler) == sum(map(len, batches))
        assert len(sampler.batches(batch)) == len(batches)
        assert all(len(rows) == batch for rows in batches[:-1])
        for rows in batches:
            found += rows.numbers.tolist()  # type: ignore[attr-defined]
            sampler.advance(len(rows))
        assert sampler.consumed == total
        assert len(sampler) == 0
    assert sorted(found) == list(range(total))


@settings(deadline=None)
@given(
    groups=sizes.map(Groups), seed=st.integers(0, 99), block=st.integers(1, 10), epoch=st.integers(0, 10**9)
)
def test_a_block_is_a_few_row_groups_whose_rows_come_together(
    groups: Groups, seed: int, block: int, epoch: int
) -> None:
    order = BlockOrder(groups.rows_of_group, seed=seed, block=block)
    rows = order.rows(epoch * len(groups), len(groups))

    assert sorted(rows.tolist()) == list(range(len(groups)))
    group_of = np.repeat(np.arange(len(groups.rows_of_group)), groups.rows_of_group)[rows]
    ends = np.cumsum(groups.rows_of_group)[group_of]
    assert (rows < ends).all()
    for group in np.unique(group_of):
        first, last = np.flatnonzero(group_of == group)[[0, -1]]
        assert len(np.unique(group_of[first : last + 1])) <= block
    some = np.array([5, 0, 3, 5], np.uint64) % np.uint64(len(groups))
    assert order.rows_at(some).tolist() == [int(order.rows(int(number), 1)[0]) for number in some]


def test_blocks_mix_rows_and_groups_anew_in_each_epoch() -> None:
    order = BlockOrder([30] * 100, seed=0, block=4)
    first, second = order.rows(0, 3000), order.rows(3000, 3000)

    assert np.sum(first == second) < 15
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.1
    inside = first[:120]
    assert len(np.unique(inside // 30)) == 4
    assert np.sum(np.diff(inside // 30) == 0) < 60  # the four groups' rows alternate
    assert order.rows(0, 6).tolist() == [747, 1811, 1829, 748, 1814, 1477]


def test_one_block_of_all_groups_is_a_full_shuffle() -> None:
    rows = BlockOrder([10] * 20, seed=1, block=20).rows(0, 200)

    assert abs(np.corrcoef(rows, np.arange(200))[0, 1]) < 0.2


@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("how", ["sampler", "batch_sampler", "whole"])
def test_the_stock_loader_takes_rows_and_batches_and_its_prefetch_does_not_count(
    how: str, workers: int
) -> None:
    def loader_of(sampler: ResumableSampler) -> "DataLoader[Any]":
        options: dict[str, Any] = {
            "num_workers": workers,
            "multiprocessing_context": "fork" if workers else None,
        }
        if how == "sampler":
            return DataLoader(Numbers(), sampler=sampler, batch_size=4, **options)
        if how == "batch_sampler":
            return DataLoader(Numbers(), batch_sampler=sampler.batches(4), **options)
        return DataLoader(_Lists(), sampler=sampler.batches(4), batch_size=None, **options)

    sampler = ResumableSampler(10, seed=3)
    found: list[int] = []
    for batch in itertools.islice(loader_of(sampler), 3):
        found += batch.tolist()
        sampler.advance(len(batch))
    assert sampler.consumed == 12
    assert sampler.epoch == 1
    for batch in itertools.islice(loader_of(sampler), 2):  # the same sampler goes on
        found += batch.tolist()
        sampler.advance(len(batch))
    assert found == SampleOrder(10, seed=3).rows(0, 20).tolist()


class _Lists(Dataset[Any]):
    def __getitem__(self, index: list[int]) -> Any:
        assert isinstance(index, SampleRows)
        return torch.tensor(index)


def test_what_was_not_handed_out_cannot_be_consumed() -> None:
    sampler = ResumableSampler(10)
    with pytest.raises(ValueError, match="4 samples are reported as consumed, 0 were handed out"):
        sampler.advance(4)
    rows = iter(sampler)
    next(rows)
    sampler.advance(1)
    with pytest.raises(ValueError, match="report the rows of this process's own batch, once"):
        sampler.advance(1)
    with pytest.raises(ValueError, match="-1 samples"):
        sampler.advance(-1)


def test_a_state_of_another_sequence_is_refused() -> None:
    state = ResumableSampler(10, seed=1).state_dict()
    assert state == {"consumed": 0, "num_rows": 10, "seed": 1, "block": None, "rows": None}
    with pytest.raises(ValueError, match="its seed is 1, here it is 2"):
        ResumableSampler(10, seed=2).load_state_dict(state)
    with pytest.raises(ValueError, match="its num_rows is 10, here it is 11"):
        ResumableSampler(11, seed=1).load_state_dict(state)
    with pytest.raises(ValueError, match="its block is None, here it is 2"):
        ResumableSampler(Groups([5, 5]), seed=1, block=2).load_state_dict(state)
    with pytest.raises(ValueError, match=r"consumed is 9, must be 0\.\.8"):
        ResumableSampler(10, num_samples=8).start_at(9)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rank": 0}, "rank and world_size go together"),
        ({"rank": 3, "world_size": 3}, r"rank is 3, must be 0\.\.2"),
        ({"block": 2}, "block= needs a PairDataset"),
        ({"num_samples": -1}, "num_samples is -1"),
    ],
)
def test_arguments_out_of_range_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ResumableSampler(10, **options)


def test_sizes_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="batch_size is 0"):
        ResumableSampler(10).batches(0)
    with pytest.raises(ValueError, match="at least one row"):
        ResumableSampler(0)
    with pytest.raises(ValueError, match="block is 0"):
        ResumableSampler(Groups([3]), block=0)
    with pytest.raises(TypeError, match="endless"):
        len(ResumableSampler(10))


def test_rows_that_know_their_sample_pickle_as_such() -> None:
    row = pickle.loads(pickle.dumps(SampleRow(7, 123)))
    assert (row, row.number, type(row)) == (7, 123, SampleRow)
    rows = pickle.loads(pickle.dumps(SampleRows([4, 2], first=10, step=3)))
    assert (rows, rows.numbers.tolist(), type(rows)) == ([4, 2], [10, 13], SampleRows)


@settings(deadline=None, max_examples=20)
@given(block=blocks, seed=st.integers(0, 5))
def test_the_order_of_a_set_takes_each_of_its_rows_once(
    tmp_path_factory: pytest.TempPathFactory, block: int | None, seed: int
) -> None:
    folder = tmp_path_factory.getbasetemp() / "order-of-a-set"
    if not folder.exists():
        write_set(folder, SMALL)
    ds = PairDataset(folder)
    sampler = ResumableSampler(ds, seed=seed, block=block, num_samples=len(ds))

    found = [batch["lr"] for batch in DataLoader(ds, sampler=sampler.batches(2), batch_size=None)]
    pixels = sorted(bytes(row.numpy().tobytes()) for batch in found for row in batch)
    assert pixels == sorted(bytes(row["lr"].numpy().tobytes()) for row in ds)


def test_three_processes_of_torchrun_share_the_epochs_and_two_go_on(tmp_path: Path) -> None:
    clips = {
        f"train-{k:05d}-of-00003.parquet": [make_rows(f"c{k}{g}", 5) for g in range(2)] for k in range(3)
    }
    write_set(tmp_path / "set", clips)
    run_torchrun(tmp_path, processes=3, steps=5, batch=2)
    run_torchrun(tmp_path, processes=2, steps=8, batch=3)

    lines = [
        json.loads(line) for path in tmp_path.glob("rank-*.jsonl") for line in path.read_text().splitlines()
    ]
    samples = {
        number: row for line in lines for number, row in zip(line["numbers"], line["rows"], strict=True)
    }
    total = 3 * 5 * 2 + 2 * 8 * 3
    assert sum(len(line["numbers"]) for line in lines) == len(samples) == total
    order = SampleOrder(30, seed=7).rows(0, total).tolist()
    ids = [row.sample_id for groups in clips.values() for rows in groups for row in rows]
    assert [samples[number] for number in range(total)] == [ids[row] for row in order]


def run_torchrun(folder: Path, *, processes: int, steps: int, batch: int) -> None:
    command = [
        *(sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={processes}"),
        *("--nnodes=1", "--master-addr=127.0.0.1", f"--master-port={free_port()}"),
        *(str(Path(__file__).with_name("torchrun_loop.py")), str(folder), str(steps), str(batch)),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
