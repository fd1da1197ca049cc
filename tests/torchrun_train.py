"""Training by several processes: run by ``test_espcn_ranks`` through torchrun.

``begin`` makes a whole run, and one that is killed; ``resume`` goes on with that one, once with all processes and once
with the first two of them; ``complain`` gives commands that cannot be done.
"""

import atexit
import contextlib
import os
import signal
import sys
from pathlib import Path

import torch

from sr_datasets.cli.main import main as cli_main
from sr_datasets.errors import SrDataError
from sr_datasets.espcn.config import TrainConfig, preset
from sr_datasets.espcn.ranks import ToldByAnotherError, joined_ranks
from sr_datasets.espcn.run import Run
from sr_datasets.espcn.train import train
from sr_datasets.shards.sets import read_set

KILLED_AT = 33


def config_of_test() -> TrainConfig:
    return preset("residual", scale=2, device="cpu", steps=50, batch_size=7, log_every=1, checkpoint_every=20)


def complain(folder: Path) -> None:
    """Give commands that stop in all processes, and work that fails in the second alone."""
    for shards, *options in (
        (folder / "nowhere",),
        (folder / "set", "--set", "stepps=3"),
        (folder / "set", "--batch-size", "1"),
        (folder / "set", "--learning-rate", "1e30"),
        (folder / "set", "--resume"),
    ):
        sys.argv = ["sr-data", "train", str(shards), "--out", str(folder / "out"), "--steps", "20", *options]
        with contextlib.suppress(SystemExit):
            cli_main()
    ranks = joined_ranks("cpu")
    try:
        ranks.each_does(lambda: read_set(folder / ("set" if ranks.is_first else "elsewhere")))
    except ToldByAnotherError:
        return
    except SrDataError as error:
        sys.stderr.write(f"{error}\n")


def complain_of_threads() -> None:
    """Say which threads of Gloo are left when the processes have parted: they may abort the interpreter's end."""
    names = [(thread / "comm").read_text().strip() for thread in Path("/proc/self/task").iterdir()]
    if left := [name for name in names if "gloo" in name]:
        sys.stderr.write(f"threads are left: {left}\n")


def main(action: str, folder: Path, port: str) -> None:
    atexit.register(complain_of_threads)
    if action == "complain":
        complain(folder)
        return
    config = config_of_test()
    if action == "begin":
        train(config, folder / "set", out_dir=folder / "unbroken")
        count = Run.count

        def count_or_die(run: Run, loss: object) -> None:
            count(run, loss)  # type: ignore[arg-type]
            if run.step == KILLED_AT:
                os.kill(os.getpid(), signal.SIGKILL)

        Run.count = count_or_die  # type: ignore[method-assign, assignment]
        train(config, folder / "set", out_dir=folder / "broken")
    else:
        train(config, folder / "set", out_dir=folder / "three", resume=True)
        if os.environ["RANK"] == "2":
            return
        torch.distributed.destroy_process_group()
        os.environ.update(WORLD_SIZE="2", MASTER_PORT=port, TORCHELASTIC_USE_AGENT_STORE="False")
        train(config, folder / "set", out_dir=folder / "broken", resume=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
