"""What the pictures of clips are like, for samplings that ask: made once per clip, kept in the data folder.

``ROOT/.analysis/<sha256>-v<version>.npz`` is a function of the clip's bytes: a zip of ``.npy`` arrays, one entry per
frame, and of block maps, ``FRAMES_AT_ONCE`` frames each, so that neither making nor using one needs them all in memory.
A file that is damaged, or of other bytes than its name says, is made again.
"""

import errno
import io
import json
import logging
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sr_datasets import color
from sr_datasets.build.planning import plan_many, plan_rows
from sr_datasets.build.scenes import analysis_name, cuts_by_pyscenedetect
from sr_datasets.engine import Workers, run_tasks
from sr_datasets.errors import BuildError, DecodeError, SrDataError, StoreError
from sr_datasets.files import atomic_path, disk_errors
from sr_datasets.guarded import Began, StuckError, run_guarded
from sr_datasets.manifest import Clip, VideoInfo
from sr_datasets.progress import Progress
from sr_datasets.recipe import Recipe
from sr_datasets.sampling import Analyser, Analysis, RowPlan
from sr_datasets.sampling.analysis import BlockMaps, Luma, ShotBlocks
from sr_datasets.store import ClipRecord, Store
from sr_datasets.video import ClipReader, Frame, open_clip

FOLDER_NAME = ".analysis"
"""Where analyses lie in the data folder."""
FRAMES_AT_ONCE = 16
"""Frames whose block maps are one member of the file."""
_ARRAYS = ("luma", "change", "score", "cut", "duplicate", "inside")
# What a file that is cut, overwritten or of another kind can end in.
_DAMAGED = (zipfile.BadZipFile, zlib.error, ValueError, KeyError, EOFError, OSError, NotImplementedError)
_READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)

_logger = logging.getLogger(__name__)


def analysis_paths(store: Store, sha256: str) -> list[Path]:
    """Return the files of a clip's analyses, finished or not, of every version and detector."""
    folder = store.root / FOLDER_NAME
    return sorted(path for path in folder.glob(f"*{sha256}-*")) if folder.is_dir() else []


def planned_rows(recipe: Recipe, clip: Clip, record: ClipRecord, store: Store) -> tuple[RowPlan, ...]:
    """Return which patches of a clip become rows; its analysis is read, or made, where the recipe needs one.

    Raises:
        BuildError: The clip is too small, too short, or has too few fitting patches for the recipe.
        DecodeError: The clip must be analysed and cannot be read.
    """
    if not recipe.sampling.needs_analysis:
        return plan_rows(recipe, record)
    return plan_rows(recipe, record, analysis_of(recipe, clip, record, store))


def planned_pairs(
    recipe: Recipe, clips: Sequence[tuple[Clip, ClipRecord]], store: Store
) -> Iterator[tuple[RowPlan, ...]]:
    """Yield what ``planned_rows`` returns for each clip; without analyses many are drawn at once.

    Raises:
        BuildError: As ``planned_rows``, when it is that clip's turn.
        DecodeError: As ``planned_rows``, when it is that clip's turn.
    """
    if recipe.sampling.needs_analysis:
        yield from (planned_rows(recipe, clip, record, store) for clip, record in clips)
    else:
        yield from plan_many(recipe, (record for _, record in clips))


def analysis_of(recipe: Recipe, clip: Clip, record: ClipRecord, store: Store) -> Analysis:
    """Return the analysis of a clip: the one that is kept, or a new one.

    Raises:
        StoreError: The clip's file is missing or was changed.
        DecodeError: The clip cannot be read.
        MissingExtraError: PySceneDetect is asked for and not installed.
    """
    work = AnalysisTask(
        store.root, clip, record, analysis_name(recipe.sampling), recipe.sampling.cut_detector
    )
    return work.kept() or work.make()


def analyse_clips(
    recipe: Recipe,
    clips: Sequence[tuple[Clip, ClipRecord]],
    store: Store,
    *,
    workers: Workers,
    clip_seconds: float | None = None,
    progress: Progress,
) -> dict[str, str]:
    """Make the analyses that are missing, each once, and keep them.

    Args:
        recipe: What is built; nothing is done for samplings that need none.
        clips: The clips.
        store: Where they lie.
        workers: Who makes them.
        clip_seconds: Longest time that one may take, in a process of its own; None for any.
        progress: Told the frames.

    Returns:
        Clips (``source/clip``) that cannot be read, each with the reason.
    """
    if not recipe.sampling.needs_analysis:
        return {}
    name, detector = analysis_name(recipe.sampling), recipe.sampling.cut_detector
    by_bytes = {record.sha256: (clip, record) for clip, record in reversed(clips)}
    every = [
        AnalysisTask(store.root, clip, record, name, detector, clip_seconds)
        for clip, record in reversed(by_bytes.values())
    ]
    todo = [task for task in every if task.kept() is None]
    failed: dict[str, str] = {}
    if not todo:
        return failed
    total = sum(task.record.info.num_frames for task in todo)
    with progress.bar(f"analysing {recipe.id}", total=total, unit="frames") as bar:
        for task, reason in run_tasks(_make, todo, workers=workers):
            bar.advance(task.record.info.num_frames)
            if reason:
                failed |= {
                    f"{record.source}/{record.clip}": reason
                    for _, record in clips
                    if record.sha256 == task.record.sha256
                }
    return failed


@dataclass(frozen=True, slots=True)
class AnalysisTask:
    """One clip to be analysed; small, so that it can be sent to a worker."""

    store_root: Path
    """The data folder."""
    clip: Clip
    """What the manifest says of the clip."""
    record: ClipRecord
    """What the store knows of it."""
    name: str
    """Which analysis, as ``analysis_name`` says."""
    detector: str
    """Who finds the cuts: ``own`` or ``pyscenedetect``."""
    clip_seconds: float | None = None
    """Longest time that it may take; None for any."""

    @property
    def path(self) -> Path:
        """Where the analysis lies when it is whole."""
        return self.store_root / FOLDER_NAME / f"{self.record.sha256}-{self.name}.npz"

    def kept(self) -> Analysis | None:
        """Return the analysis that is kept, or None if there is none that is whole."""
        try:
            return _load(self.path, self.record)
        except FileNotFoundError:
            return None
        except _DAMAGED as error:
            _logger.warning("%s is damaged (%s); it is made again", self.path, error)
            return None

    def make(self) -> Analysis:
        """Analyse the clip and keep what was found; in memory only, where the store cannot be written.

        Raises:
            StoreError: The clip's file is missing or was changed.
            DecodeError: The clip cannot be read.
            BuildError: Its frames are smaller than 2x2.
        """
        info = self.record.info
        if min(info.width, info.height) < 2:
            raise BuildError(
                f"{self.record.source}/{self.record.clip} has frames of {info.width}x{info.height}: too small for a "
                "sampling that looks at them. Leave the clip out of the recipe."
            )
        Store(self.store_root).check(self.record)
        try:
            with disk_errors(f"the store {self.store_root}", self.store_root):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                with atomic_path(self.path) as partial:
                    self._write(partial)
        except SrDataError as error:
            if not isinstance(error.__cause__, OSError) or error.__cause__.errno not in _READ_ONLY:
                raise
            _logger.warning("%s: the analysis of %s is not kept", error, self.record.clip)
            memory = io.BytesIO()
            self._write(memory)
            return _load(memory, self.record)
        return _load(self.path, self.record)

    def _write(self, target: Path | io.BytesIO) -> None:
        info = self.record.info
        analyser = Analyser(info.width, info.height, info.bit_depth)
        with zipfile.ZipFile(target, "w") as archive:
            waiting: list[BlockMaps] = []
            number = 0
            for luma in self._luma():
                waiting.append(analyser.add(luma))
                if len(waiting) == FRAMES_AT_ONCE:
                    _put(archive, _blocks_name(number), np.stack(waiting))
                    number, waiting = number + 1, []
            if waiting:
                _put(archive, _blocks_name(number), np.stack(waiting))
            # The maps are in the file already: what is asked of them is asked when it is read.
            found = analyser.end(_StoredBlocks(target))
            arrays = {name: getattr(found, name) for name in _ARRAYS}
            if self.detector == "pyscenedetect":
                with self._reader() as reader:
                    arrays["cut"] = cuts_by_pyscenedetect(reader.frames(range(info.num_frames)), info)
            for name, values in arrays.items():
                _put(archive, f"{name}.npy", values)
            archive.writestr(zipfile.ZipInfo("clip.json"), json.dumps(_facts_of(self.record)))

    def _reader(self) -> ClipReader:
        return open_clip(Store(self.store_root).path_of(self.record), self.record.info, clip=self.clip)

    def _luma(self) -> Iterator[Luma]:
        info = self.record.info
        with self._reader() as reader:
            for frame in reader.frames(range(info.num_frames)):
                yield luma_of(frame, info)


def luma_of(frame: Frame, info: VideoInfo) -> Luma:
    """Return the luma of a frame, ``(height, width)``: the decoder's own, or BT.601 studio luma of R'G'B'."""
    if info.model != "rgb":
        return frame.planes[0]
    luma: Luma = color.luma_of_rgb(np.stack(frame.planes), info.bit_depth)[0]
    return luma


def _make(task: AnalysisTask) -> str:
    try:
        if task.clip_seconds is None:
            task.make()
        else:
            run_guarded(_make_guarded, task, seconds=task.clip_seconds)
    except (DecodeError, StoreError, StuckError) as error:
        return str(error)
    return ""


def _make_guarded(task: AnalysisTask, began: Began) -> None:
    began(f"{task.record.source}/{task.record.clip}")
    task.make()


class _StoredBlocks:
    """Block maps in an analysis file, read a few frames at a time."""

    def __init__(self, source: Path | io.BytesIO) -> None:
        self._source = source
        self._number = -1
        self._maps: npt.NDArray[np.uint8] = np.empty((0, 3, 0, 0), np.uint8)

    def __getitem__(self, frame: int) -> BlockMaps:
        number = frame // FRAMES_AT_ONCE
        if number != self._number:
            with zipfile.ZipFile(self._source) as archive:
                self._maps = _get(archive, _blocks_name(number))
            self._number = number
        maps: BlockMaps = self._maps[frame % FRAMES_AT_ONCE]
        return maps


def _blocks_name(number: int) -> str:
    return f"blocks-{number:05d}.npy"


def _put(archive: zipfile.ZipFile, name: str, values: npt.NDArray[np.generic]) -> None:
    entry = zipfile.ZipInfo(name)
    entry.compress_type = zipfile.ZIP_DEFLATED
    with archive.open(entry, "w") as member:
        np.lib.format.write_array(member, np.ascontiguousarray(values), allow_pickle=False)


def _get(archive: zipfile.ZipFile, name: str) -> npt.NDArray[Any]:
    with archive.open(name) as member:
        values: npt.NDArray[Any] = np.lib.format.read_array(member, allow_pickle=False)
        return values


def _facts_of(record: ClipRecord) -> dict[str, object]:
    """Return which bytes were looked at, and what their frames were taken for: raw planes are what their manifest says."""
    facts = {"width", "height", "num_frames", "bit_depth", "pixel_format"}
    return {"sha256": record.sha256, **record.info.model_dump(mode="json", include=facts)}


def _load(source: Path | io.BytesIO, record: ClipRecord) -> Analysis:
    """Read an analysis; every byte is checked (CRC-32 of each member).

    Raises:
        FileNotFoundError: There is none.
        ValueError: It is of another clip or other frames, or lacks something; and what ``_DAMAGED`` names.
    """
    info = record.info
    with zipfile.ZipFile(source) as archive:
        if broken := archive.testzip():
            raise ValueError(f"{broken} is not what was written")
        if json.loads(archive.read("clip.json")) != _facts_of(record):
            raise ValueError("it is of another clip, or of frames of another kind")
        arrays = {name: _get(archive, f"{name}.npy") for name in _ARRAYS}
        last = _get(archive, _blocks_name((info.num_frames - 1) // FRAMES_AT_ONCE))
    if {len(values) for values in arrays.values()} != {info.num_frames} or last.ndim != 4:
        raise ValueError("it has another number of frames")
    cut = arrays.pop("cut").astype(np.bool_)
    return Analysis(
        width=info.width,
        height=info.height,
        cut=cut,
        blocks=ShotBlocks(_StoredBlocks(source), cut),
        **arrays,
    )
