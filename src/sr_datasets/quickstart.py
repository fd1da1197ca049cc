"""The main job on the generated source, offline: fetch, build, inspect, train, evaluate, and a picture."""

import textwrap
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sr_datasets import catalog
from sr_datasets.build import build_pairs
from sr_datasets.degrade import evaluation_pair
from sr_datasets.errors import MissingExtraError
from sr_datasets.files import human_bytes
from sr_datasets.ingest import fetch_clips
from sr_datasets.inspect import inspect_set
from sr_datasets.metrics import PROTOCOLS
from sr_datasets.progress import Progress
from sr_datasets.report import enlarged, side_by_side, studio_to_full
from sr_datasets.store import Store
from sr_datasets.video import open_clip

if TYPE_CHECKING:
    from sr_datasets.espcn.evaluate import EvaluationReport
    from sr_datasets.espcn.model import Espcn

RECIPE = "demo"
STEPS = 3000
"""Enough for more than 1 dB over bicubic, in about a minute."""
PROTOCOL = PROTOCOLS["y-double"]
_PICTURE_CLIP = "print_3"
_PICTURE_LR_SIZE = 64


@dataclass(frozen=True, slots=True)
class QuickstartReport:
    """What the quick start found, and where everything lies."""

    out_dir: Path
    """Folder of everything that was made."""
    bicubic: "EvaluationReport"
    """Scores of bicubic on the test clips."""
    espcn: "EvaluationReport"
    """Scores of the trained network on the test clips."""
    picture: Path
    """LR, bicubic, ESPCN and HR side by side."""
    seconds: float
    """Time of the whole."""

    @property
    def gain(self) -> float:
        """Mean PSNR of ESPCN over that of bicubic, dB."""
        return self.espcn.mean.psnr - self.bicubic.mean.psnr

    def to_text(self) -> str:
        """Return the table of scores and where to look, in 80 columns."""
        lines = [
            "",
            f"x{self.espcn.scale} on clips that training never saw, PSNR in dB and SSIM",
            *textwrap.wrap(str(PROTOCOL), 80),
            "",
            f"{'clip':14}{'bicubic':>18}{'ESPCN':>18}{'gain':>10}",
        ]
        pairs = zip(self.bicubic.items, self.espcn.items, strict=True)
        scores = [(item.name.removeprefix("demo/"), item.score, other.score) for item, other in pairs]
        for name, before, after in [*scores, ("mean", self.bicubic.mean, self.espcn.mean)]:
            lines.append(
                f"{name:14}{before.psnr:>10.2f}  {before.ssim:.4f}{after.psnr:>10.2f}  {after.ssim:.4f}"
                f"{after.psnr - before.psnr:>+10.2f}"
            )
        lines += [
            "",
            f"picture   {self.picture}",
            f"shards    {self.out_dir / 'shards'}    sr-data inspect {self.out_dir / 'shards'}",
            f"model     {self.out_dir / 'model'}    sr-data evaluate {self.out_dir / 'model'} PICTURE...",
            f"{self.seconds:.0f} s in all",
        ]
        return "\n".join(lines)


def run_quickstart(
    out_dir: Path, *, workers: int, progress: Progress, steps: int = STEPS
) -> QuickstartReport:
    """Run the main job into a folder; what an earlier run finished is kept.

    Args:
        out_dir: Gets ``store/``, ``shards/``, ``model/`` and ``comparison.png``.
        workers: Processes that build pairs.
        progress: Where the work shows itself.
        steps: Training steps.

    Raises:
        MissingExtraError: torch is not installed.
        SrDataError: A step failed.
    """
    try:
        from sr_datasets.espcn.checkpoint import STATE_NAME, load_model
        from sr_datasets.espcn.config import preset
        from sr_datasets.espcn.evaluate import evaluate
        from sr_datasets.espcn.train import train
    except ModuleNotFoundError as error:
        raise MissingExtraError("the quick start trains a network, which", extra="torch") from error

    start = time.perf_counter()
    recipe = catalog.find_recipe(RECIPE)
    store = Store(out_dir / "store")
    progress.log("1/5 fetch: the generated source `demo`")
    progress.log(f"    {fetch_clips(catalog.select(recipe.clips), store, progress=progress)}")

    progress.log(f"2/5 build pairs: recipe {recipe.id}, x{recipe.scale}, {recipe.degradation.kind}")
    built = build_pairs(recipe, out_dir=out_dir / "shards", store=store, workers=workers, progress=progress)
    progress.log(f"    {built.num_rows} rows in {built.num_shards} shards, {human_bytes(built.size_bytes)}")

    progress.log("3/5 inspect: every shard hashed")
    inspected = inspect_set(out_dir / "shards", verify=True)
    splits = ", ".join(f"{rows} {split}" for split, rows in inspected.info.splits.items())
    progress.log(f"    rows {splits}; content digest {inspected.info.content_digest[:16]}…")

    progress.log(f"4/5 train: ESPCN, preset residual, {steps} steps")
    model_dir = out_dir / "model"
    config = preset("residual", scale=recipe.scale, steps=steps)
    trained = train(
        config,
        out_dir / "shards",
        out_dir=model_dir,
        resume=(model_dir / STATE_NAME).exists(),
        progress=progress,
    )
    progress.log(f"    {trained.num_parameters} parameters, {trained.seconds:.0f} s")

    test = [f"demo/{entry.clip}" for entry in inspected.info.inputs if entry.split == "test"]
    progress.log(f"5/5 evaluate: {', '.join(test)}")
    scored = [
        evaluate(method, test, protocol=PROTOCOL, scale=recipe.scale, store=store, progress=progress)
        for method in ("bicubic", model_dir)
    ]
    picture = out_dir / "comparison.png"
    model, _ = load_model(model_dir)
    _write_picture(model, store, picture)
    return QuickstartReport(out_dir, scored[0], scored[1], picture, seconds=time.perf_counter() - start)


def _write_picture(model: "Espcn", store: Store, path: Path) -> None:
    """Write a part of a test frame as LR, bicubic, ESPCN and HR."""
    from sr_datasets.espcn.upscale import upscale_luma

    record = store.get("demo", _PICTURE_CLIP)
    with open_clip(store.path_of(record), record.info) as clip:
        luma = clip.frame_at(record.info.num_frames // 2).planes[0][None]
    scale, size = model.config.scale, _PICTURE_LR_SIZE
    pair = evaluation_pair(luma, scale, PROTOCOL)
    top, left = (pair.lr.shape[1] - size) // 2, (pair.lr.shape[2] - size) // 2
    part = np.s_[:, top * scale : (top + size) * scale, left * scale : (left + size) * scale]

    def shown(
        luma: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    ) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        return studio_to_full(np.clip(np.rint(luma), 0, 255).astype(np.uint8))

    lr = shown(pair.lr[:, top : top + size, left : left + size])
    side_by_side(
        [
            (f"LR x{scale}", enlarged(lr, 2 * scale)),
            ("bicubic", enlarged(shown(pair.upscale_bicubic()[part]), 2)),
            ("ESPCN", enlarged(shown(upscale_luma(model, pair.lr)[part]), 2)),
            ("HR", enlarged(shown(pair.hr[part]), 2)),
        ],
        path,
    )
