"""What fetching and building cost, by codec and size: constants, and the arithmetic from them to a plan of months.

Pure arithmetic: the constants are measured by ``benchmarks/costs.py``. Seconds are those of one core, megapixels (Mpx) are
10^6 luma samples of decoded frames, bytes are bytes.
"""

import heapq
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class ClipKind:
    """What the model has to be told of a clip."""

    codec: str
    """``h264`` and the like."""
    width: int
    """Pixels."""
    height: int
    """Pixels."""
    num_frames: int
    """Frames."""
    gop: int = 1
    """Frames from one keyframe to the next; 1 where each frame stands for itself."""

    @property
    def mpx(self) -> float:
        """Megapixels of one frame."""
        return self.width * self.height / 1e6

    def stepped(self, rows: int) -> float:
        """Return how many frames a decoder goes over for rows of drawn frames (``frames_stepped``)."""
        return frames_stepped(self.num_frames, self.gop, rows)

    def taken(self, rows: int) -> float:
        """Return how many different frames the rows are of, on average."""
        return self.num_frames * (1 - (1 - 1 / self.num_frames) ** rows)


def frames_stepped(num_frames: int, gop: int, rows: int) -> float:
    """Return how many frames a decoder goes over, on average, for rows whose frames are drawn evenly.

    A reader decodes each group of pictures from its keyframe to the last frame that is asked for. With ``rows`` draws
    out of ``num_frames``, frame j of a group of g is gone over when one of the g - j frames from it on was drawn.

    Example:
        >>> frames_stepped(100, 1, 1)
        1.0
        >>> round(frames_stepped(100, 100, 1), 2)
        50.5
        >>> round(frames_stepped(100, 100, 1000), 1)
        99.9
    """
    whole, rest = divmod(num_frames, gop)

    def of_group(size: int) -> float:
        behind = np.arange(1, size + 1)
        return float(np.sum(1 - (1 - behind / num_frames) ** rows))

    return whole * of_group(gop) + (of_group(rest) if rest else 0.0)


@dataclass(frozen=True, slots=True)
class CodecCosts:
    """What clips of one codec cost."""

    opened: float
    """Seconds to open a clip for a build, its packets listed."""
    frame: float
    """Seconds a frame that a decoder goes over, however small,"""
    stepped: float
    """and a megapixel of it."""
    taken: float
    """Further seconds a megapixel of the frames that rows are of."""
    probe_opened: float
    """Seconds to open a clip for the look at it that a fetch takes."""
    probe_frame: float
    """Seconds a frame of that look, which decodes every one (of y4m it counts them),"""
    probed: float
    """and a megapixel of it."""
    coded_bytes: float
    """Bytes a megapixel of the clips that this was measured on."""


@dataclass(frozen=True, slots=True)
class Costs:
    """The constants of the model, in seconds and bytes.

    Those of rows hold for rows of ``row_samples`` samples; degrading and writing of other rows is taken to be in proportion.
    """

    codecs: dict[str, CodecCosts]
    """By codec."""
    row_samples: int
    """Samples of LR and HR in a row."""
    degrade_clip: float
    degrade_row: float
    write_clip: float
    write_row: float
    rest_shard: float
    """What a shard costs beside the stages: opening, the footer, hashing, syncing."""
    rest_clip: float
    """What a clip costs a worker beside the stages: planning and checking it."""
    rest_row: float
    driver: float
    """What a build costs beside its shards: once,"""
    driver_clip: float
    """a clip,"""
    driver_row: float
    """and a row (its plan, its line of the index)."""
    start: float
    """Start of a process: Python and imports."""
    workers_start: float
    """Start of a pool of workers."""
    slowdown: float
    """Seconds of a task beside another worker, over seconds alone."""
    row_bytes: float
    """Bytes of a row in a shard beside its samples."""
    clip_bytes: float
    """Bytes of a row group beside its rows."""
    shard_bytes: float
    """Bytes of a shard beside its row groups."""
    fetch_start: float
    """Processor seconds to start a fetch."""
    fetch_file: float
    """Processor seconds a file that is fetched, without the look at it."""
    fetch_byte: float
    """Processor seconds a byte that is fetched: received, hashed, written."""

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Return what ``to_json`` returned."""
        codecs = {name: CodecCosts(**one) for name, one in values["codecs"].items()}
        return cls(**{**values, "codecs": codecs})

    def to_json(self) -> dict[str, Any]:
        """Return the constants as plain values, to five digits."""

        def rounded(value: Any) -> Any:
            if isinstance(value, dict):
                return {key: rounded(one) for key, one in value.items()}
            return float(f"{value:.5g}") if isinstance(value, float) else value

        found: dict[str, Any] = rounded(asdict(self))
        return found


@dataclass(frozen=True, slots=True)
class Task:
    """One shard of a build that was measured."""

    clips: tuple[ClipKind, ...]
    """Its clips."""
    rows: int
    """Rows of each."""
    seconds: dict[str, float]
    """``decode``, ``degrade``, ``write``, and ``rest``: what the shard took beyond them."""
    size_bytes: int
    """Of the shard."""


@dataclass(frozen=True, slots=True)
class Build:
    """One build that was measured, or is to be predicted."""

    tasks: tuple[Task, ...]
    wall: float
    """Seconds of ``build_pairs``."""


def fit_tasks(tasks: Sequence[Task]) -> dict[str, Any]:
    """Return the constants that shards tell: those of codecs (decoding), stages and bytes.

    Args:
        tasks: Shards; of each codec several with one clip, in several sizes and numbers of rows.
    """
    codecs: dict[str, dict[str, float]] = {}
    for codec in sorted({clip.codec for task in tasks for clip in task.clips}):
        alone = [task for task in tasks if len(task.clips) == 1 and task.clips[0].codec == codec]
        factors = [
            (1.0, stepped := clip.stepped(task.rows), stepped * clip.mpx, clip.taken(task.rows) * clip.mpx)
            for task in alone
            for clip in task.clips
        ]
        found = not_negative(factors, [task.seconds["decode"] for task in alone])
        codecs[codec] = dict(zip(("opened", "frame", "stepped", "taken"), found, strict=True))
    by_clip = [(len(task.clips), len(task.clips) * task.rows) for task in tasks]
    by_shard = [(1, *numbers) for numbers in by_clip]
    degrade = not_negative(by_clip, [task.seconds["degrade"] for task in tasks])
    write = not_negative(by_clip, [task.seconds["write"] for task in tasks])
    rest = not_negative(by_shard, [task.seconds["rest"] for task in tasks])
    sizes = not_negative(by_shard, [task.size_bytes for task in tasks])
    return {
        "codecs": codecs,
        "degrade_clip": degrade[0],
        "degrade_row": degrade[1],
        "write_clip": write[0],
        "write_row": write[1],
        "rest_shard": rest[0],
        "rest_clip": rest[1],
        "rest_row": rest[2],
        "shard_bytes": sizes[0],
        "clip_bytes": sizes[1],
        "row_bytes_all": sizes[2],
    }


def not_negative(factors: Sequence[Sequence[float]], values: Sequence[float]) -> list[float]:
    """Return constants, none below zero, whose sums with the factors come closest to the values.

    Errors count relative to the root of a value, so that neither large nor small values rule. Few constants only: every
    subset of them is tried.

    Example:
        >>> [round(one, 6) for one in not_negative([(1, 2), (1, 4), (1, 9)], [7, 11, 21])]
        [3.0, 2.0]
        >>> not_negative([(1, 1), (1, 2)], [2, 1])[1]
        0.0
    """
    wanted = np.asarray(values, float)
    weights = 1 / np.sqrt(np.maximum(wanted, 1e-9))
    matrix = np.asarray(factors, float) * weights[:, None]
    wanted = wanted * weights
    count = matrix.shape[1]
    best: tuple[float, NDArray[np.float64]] = (math.inf, np.zeros(count))
    for chosen in range(1, 1 << count):
        columns = [number for number in range(count) if chosen >> number & 1]
        found = np.linalg.lstsq(matrix[:, columns], wanted, rcond=None)[0]
        if (found < 0).any():
            continue
        error = float(np.sum((matrix[:, columns] @ found - wanted) ** 2))
        if error < best[0] * (1 - 1e-12):
            best = error, np.bincount(columns, found, count)
    return [float(one) for one in best[1]]


def predict_task(costs: Costs, clips: Sequence[ClipKind], rows: int, *, row_samples: int = 0) -> Task:
    """Return what a shard will take and be."""
    num_clips, num_rows = len(clips), len(clips) * rows
    samples = row_samples or costs.row_samples
    share = samples / costs.row_samples
    decode = 0.0
    for clip in clips:
        codec = costs.codecs[clip.codec]
        stepped = clip.stepped(rows)
        decode += codec.opened + codec.frame * stepped
        decode += clip.mpx * (codec.stepped * stepped + codec.taken * clip.taken(rows))
    return Task(
        tuple(clips),
        rows,
        {
            "decode": decode,
            "degrade": costs.degrade_clip * num_clips + costs.degrade_row * share * num_rows,
            "write": costs.write_clip * num_clips + costs.write_row * share * num_rows,
            "rest": costs.rest_shard + costs.rest_clip * num_clips + costs.rest_row * num_rows,
        },
        round(costs.shard_bytes + costs.clip_bytes * num_clips + (costs.row_bytes + samples) * num_rows),
    )


def predict_build(
    costs: Costs, clips: Sequence[ClipKind], *, rows: int, clips_per_shard: int, workers: int = 1
) -> Build:
    """Return what a build of these clips will take, from the start of the process on."""
    groups = [clips[at : at + clips_per_shard] for at in range(0, len(clips), clips_per_shard)]
    tasks = [predict_task(costs, group, rows) for group in groups]
    if workers > 1:
        tasks = [
            replace(task, seconds={name: one * costs.slowdown for name, one in task.seconds.items()})
            for task in tasks
        ]
    wall = costs.start + costs.driver + costs.driver_clip * len(clips) + costs.driver_row * len(clips) * rows
    if workers > 1:
        wall += costs.workers_start
    return Build(tuple(tasks), wall + makespan([sum(task.seconds.values()) for task in tasks], workers))


def makespan(seconds: Iterable[float], workers: int) -> float:
    """Return when the last of these tasks ends, each begun in its turn by the worker that is free first.

    Example:
        >>> makespan([3, 1, 1, 2], workers=2)
        4
    """
    free: list[float] = [0] * workers
    for one in seconds:
        heapq.heapreplace(free, free[0] + one)
    return max(free)


def predict_fetch(costs: Costs, clips: Sequence[ClipKind], sizes: Sequence[int]) -> dict[str, float]:
    """Return processor seconds of fetching clips whose files have these sizes: ``bytes`` and ``probe``."""
    probe = sum(look_seconds(costs, clip) for clip in clips)
    fetch = costs.fetch_start + costs.fetch_file * len(clips) + costs.fetch_byte * sum(sizes)
    return {"bytes": fetch, "probe": probe}


def look_seconds(costs: Costs, clip: ClipKind) -> float:
    """Return processor seconds of the look at a clip that a fetch takes."""
    codec = costs.codecs[clip.codec]
    return codec.probe_opened + clip.num_frames * (codec.probe_frame + codec.probed * clip.mpx)


def stages(tasks: Iterable[Task]) -> dict[str, float]:
    """Return the seconds of all tasks by stage."""
    total: dict[str, float] = {}
    for task in tasks:
        for name, seconds in task.seconds.items():
            total[name] = total.get(name, 0.0) + seconds
    return total
