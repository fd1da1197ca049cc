"""A training loop of several processes, without the training: run by ``test_sampler`` through torchrun."""

import itertools
import json
import sys
from pathlib import Path

import torch
import torch.distributed
from torch.utils.data import DataLoader

from sr_datasets import PairDataset, ResumableSampler


def main(folder: Path, steps: int, batch_size: int) -> None:
    torch.distributed.init_process_group("gloo")
    rank, world_size = torch.distributed.get_rank(), torch.distributed.get_world_size()
    ds = PairDataset(folder / "set", columns=("sample_id", "sample_number"))
    sampler = ResumableSampler(ds, seed=7)
    state_path = folder / "state.json"
    if state_path.exists():
        sampler.load_state_dict(json.loads(state_path.read_text()))
    torch.distributed.barrier()
    # A worker reads ahead of what is consumed.
    loader = DataLoader(
        ds,
        sampler=sampler.batches(batch_size),
        batch_size=None,
        num_workers=1,
        multiprocessing_context="forkserver",
    )
    with (folder / f"rank-{rank}-of-{world_size}.jsonl").open("a") as log:
        for batch in itertools.islice(loader, steps):
            # As gradients are: every process takes part in every step.
            total = batch["lr"].float().mean()
            torch.distributed.all_reduce(total)
            sampler.advance(len(batch["lr"]))
            line = {"numbers": batch["sample_number"].tolist(), "rows": batch["sample_id"]}
            log.write(json.dumps(line) + "\n")
    states = [None] * world_size
    torch.distributed.all_gather_object(states, sampler.state_dict())
    assert all(state == states[0] for state in states)
    if rank == 0:
        state_path.write_text(json.dumps(sampler.state_dict()))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
