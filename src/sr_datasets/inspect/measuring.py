"""What the pixels of a set's rows are like, number by number: the base of statistics, conditions and reports.

Sums are of integers, so that every machine has the same numbers. Luma is in levels of 8 bits of the studio range, whatever
the rows hold: R'G'B' becomes BT.601 luma, full range is squeezed to 16..235, deeper samples are divided. Of several HR
frames the centre one counts; a row that keeps no LR is measured with its halo.
"""

import hashlib
import io
import math
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sr_datasets.color import luma_of_rgb
from sr_datasets.degrade.resample import resize_bicubic_pixels
from sr_datasets.files import write_atomic
from sr_datasets.inspect.rows import read_index
from sr_datasets.progress import Progress, Silent
from sr_datasets.shards.reader import ShardReader
from sr_datasets.shards.schema import Pixels
from sr_datasets.shards.setplace import SetPlace, bringing, folder_of, shard_reader
from sr_datasets.shards.sets import MEASURES_NAME, read_set

MEASURES_VERSION: Final = 1
"""Changes whenever the same pixels would give other numbers."""


BINS: Final = 32
"""Bins of a luma histogram, of 8 levels each."""

FLAT: Final = 2.0
"""Standard deviation of luma below which a patch is called flat, in levels of 8 bits."""

COMPUTED: Final = {
    "si": "spatial information of the HR patch: standard deviation of luma's Sobel gradient (ITU-T P.910)",
    "ti": "temporal information: largest standard deviation of luma between frames (ITU-T P.910)",
    "psnr": "PSNR of bicubic in dB: LR enlarged against HR, luma of BT.601, `scale` pixels left out on each side",
    "motion": "mean absolute difference of luma from frame to frame, in levels of 8 bits",
    "luma": "mean luma of the HR patch, in levels of 8 bits",
    "contrast": "standard deviation of luma of the HR patch, in levels of 8 bits",
    "flat": f"whether contrast is below {FLAT:g}",
    "duplicate": "whether an earlier row has the same HR samples",
}
"""Columns that are not stored but made of the pixels, by name."""

_PIECE_SAMPLES = 1 << 21
_UNIT = 256  # luma is held in 1/256 of a level
_GRADIENT_UNIT = 16

_Ints: TypeAlias = npt.NDArray[np.int64]
_Floats: TypeAlias = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Measures:
    """Numbers of N rows, in the order of the index; not a number where a row cannot have one."""

    si: _Floats
    """``(N,)``: as ``COMPUTED`` says."""
    ti: _Floats
    """``(N,)``: only of rows of several frames: those of HR where all are kept, else those of LR."""
    psnr: _Floats
    """``(N,)``: infinite where both are equal."""
    motion: _Floats
    """``(N,)``: of the same frames as ``ti``."""
    luma: _Floats
    """``(N,)``."""
    contrast: _Floats
    """``(N,)``."""
    twin: npt.NDArray[np.int32]
    """``(N,)``: number of the first row with the same HR samples; its own where it is the first."""
    histogram: npt.NDArray[np.uint32]
    """``(N, BINS)``: samples of each bin of luma."""

    @property
    def flat(self) -> npt.NDArray[np.bool_]:
        """``(N,)``: rows without contrast."""
        return np.less(self.contrast, FLAT)

    @property
    def duplicate(self) -> npt.NDArray[np.bool_]:
        """``(N,)``: rows whose HR samples an earlier row has too."""
        return np.not_equal(self.twin, np.arange(len(self.twin)))

    def table(self) -> pa.Table:
        """Return the columns of ``COMPUTED``; what is not known is null."""
        columns = {}
        for name in COMPUTED:
            values = getattr(self, name)
            unknown = np.isnan(values) if values.dtype.kind == "f" else None
            columns[name] = pa.array(values, mask=unknown)
        return pa.table(columns)


def measure_set(path: SetPlace, *, progress: Progress | None = None) -> Measures:
    """Measure every row of a set, or take what an earlier call left beside it.

    The numbers are written to ``MEASURES_NAME`` in the set's folder where that can be written to (of a set behind an
    address in its folder of the local cache), with the content digest of the set: they are measured again when it changes.

    Raises:
        ShardError: The folder is not a set, or a shard is damaged.
    """
    progress = progress or Silent()
    folder = folder_of(path)
    info = read_set(folder)
    kept = known_measures(folder)
    if kept is not None:
        return kept
    measures = _measure(path, read_index(path), progress)
    if os.access(folder, os.W_OK):
        with suppress(OSError):  # a full or read-only disk: the numbers are known all the same
            _write(folder / MEASURES_NAME, info.content_digest, measures)
    return measures


def known_measures(path: SetPlace) -> Measures | None:
    """Return what an earlier ``measure_set`` left beside a set; None where nothing is, or it is of another content.

    Raises:
        ShardError: There is no set.
    """
    folder = folder_of(path)
    info = read_set(folder)
    return _read(folder / MEASURES_NAME, info.content_digest, info.rows)


def _read(file: Path, digest: str, rows: int) -> Measures | None:
    try:
        with np.load(file, allow_pickle=False) as stored:
            if str(stored["of"]) != f"{MEASURES_VERSION} {digest}":
                return None
            measures = Measures(**{field.name: stored[field.name] for field in fields(Measures)})
    except (
        OSError, ValueError, KeyError, TypeError, EOFError, RuntimeError, struct.error, zipfile.BadZipFile, zlib.error
    ):  # fmt: skip
        return None  # damaged, or of another kind
    return measures if len(measures.si) == rows else None


def _write(file: Path, digest: str, measures: Measures) -> None:
    arrays = {field.name: getattr(measures, field.name) for field in fields(Measures)}
    data = io.BytesIO()
    np.savez_compressed(data, of=np.array(f"{MEASURES_VERSION} {digest}"), **arrays)
    write_atomic(file, data.getvalue())


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Rows next to each other that are alike, with their pixels."""

    first: int
    """Number of the first in the set."""
    lr: Pixels
    """``(n, C, h, w)`` or ``(n, T, C, h, w)``; no samples where the set keeps no LR."""
    hr: Pixels
    """``(n, C, H, W)`` or ``(n, T, C, H, W)``."""
    color: str
    """``y``, ``rgb`` or ``yuv420``."""
    range: str
    """Quantisation of the clip."""
    scale: int
    """HR-to-LR ratio."""
    bit_depth: int
    """Bits per sample."""


def iter_pieces(path: SetPlace, index: pa.Table) -> Iterator[Piece]:
    """Yield the rows of a set with their pixels, a few at a time, in the order of the index.

    Raises:
        ShardError: A shard is missing or damaged.
    """
    kinds = [index.column(name).to_pylist() for name in ("shard", "row_group", "color", "range", "scale")]
    alike = list(zip(*kinds, strict=True))
    starts: dict[str, int] = {}
    for number, (shard, *_) in enumerate(alike):
        starts.setdefault(shard, number)
    groups = list(dict.fromkeys((shard, group) for shard, group, *_ in alike))
    brought: tuple[str, int] | None = None
    reader: ShardReader | None = None
    with closing(bringing(path, groups)) as coming:
        first = 0
        while first < len(alike):
            shard, group, color, range_, scale = alike[first]
            if brought != (shard, group):
                next(coming)
                brought = (shard, group)
            if reader is None or reader.path.name != shard:
                if reader is not None:
                    reader.close()
                reader = shard_reader(path, shard)
            shape = reader.shape(group)
            most = max(1, _PIECE_SAMPLES // max(1, math.prod(shape.hr) + math.prod(shape.lr)))
            stop = first + 1
            while stop < len(alike) and stop - first < most and alike[stop] == alike[first]:
                stop += 1
            pairs = [reader.pixels(number - starts[shard]) for number in range(first, stop)]
            yield Piece(
                first,
                np.stack([lr for lr, _ in pairs]),
                np.stack([hr for _, hr in pairs]),
                color,
                range_,
                scale,
                shape.bit_depth,
            )
            first = stop
        if reader is not None:
            reader.close()


def _measure(path: SetPlace, index: pa.Table, progress: Progress) -> Measures:
    rows = len(index)
    found = {
        name: np.full(rows, np.nan, np.float32) for name in ("si", "ti", "psnr", "motion", "luma", "contrast")
    }
    twin = np.arange(rows, dtype=np.int32)
    histogram = np.zeros((rows, BINS), np.uint32)
    seen: dict[bytes, int] = {}
    with progress.bar("measuring rows", total=rows, unit="rows") as bar:
        for piece in iter_pieces(path, index):
            part = slice(piece.first, piece.first + len(piece.hr))
            hr = piece.hr[:, piece.hr.shape[1] // 2] if piece.hr.ndim == 5 else piece.hr
            luma = luma_of_rows(hr, color=piece.color, range_=piece.range, bit_depth=piece.bit_depth)
            found["luma"][part], found["contrast"][part] = _mean_and_spread(luma, _UNIT)
            found["si"][part] = _spatial_information(luma)
            histogram[part] = _histogram(luma)
            if piece.lr.size:
                lr = piece.lr[:, piece.lr.shape[1] // 2] if piece.lr.ndim == 5 else piece.lr
                found["psnr"][part] = _bicubic_psnr(lr, hr, piece)
            frames = piece.hr if piece.hr.ndim == 5 else piece.lr
            if frames.ndim == 5 and frames.size:
                found["ti"][part], found["motion"][part] = _temporal(frames, piece)
            for number, patch in enumerate(hr, piece.first):
                digest = hashlib.sha256(
                    str((patch.shape, piece.bit_depth)).encode() + patch.tobytes()
                ).digest()
                twin[number] = seen.setdefault(digest, number)
            bar.advance(len(piece.hr))
    return Measures(**found, twin=twin, histogram=histogram)


def luma_of_rows(planes: Pixels, *, color: str, range_: str, bit_depth: int) -> npt.NDArray[np.int32]:
    """Return luma of the studio range in 1/256 of a level of 8 bits.

    Args:
        planes: ``(n, C, height, width)``; yuv420 as a shard packs it.
        color: ``y``, ``rgb`` or ``yuv420``.
        range_: ``limited`` or ``full``: of ``y`` and ``yuv420`` only.
        bit_depth: Bits per sample, 8..16.

    Returns:
        ``(n, height, width)``, 0..65280.
    """
    values = _luma_samples(planes, color, bit_depth).astype(np.int32) << (16 - bit_depth)
    if color != "rgb" and range_ == "full":
        top = ((1 << bit_depth) - 1) << (16 - bit_depth)
        values = 16 * _UNIT + ((219 * _UNIT) * values.astype(np.int64) // top).astype(np.int32)
    return values


def _luma_samples(planes: Pixels, color: str, bit_depth: int) -> Pixels:
    """Return ``(n, height, width)`` luma at the planes' own depth and range; R'G'B' as BT.601 studio luma."""
    count, channels, height, width = planes.shape
    if color == "yuv420":
        return planes[:, 0, : height * 2 // 3]
    if channels == 1:
        return planes[:, 0]
    stacked = planes.transpose(1, 0, 2, 3).reshape(3, count * height, width)
    return luma_of_rgb(stacked, bit_depth).reshape(count, height, width)


def _mean_and_spread(values: npt.NDArray[Any], unit: int) -> tuple[_Floats, _Floats]:
    """Return mean and standard deviation of each row, out of exact sums."""
    flat = values.reshape(len(values), -1).astype(np.int64)
    size = flat.shape[1]
    sums, squares = flat.sum(axis=1).tolist(), (flat * flat).sum(axis=1).tolist()
    means = [total / (size * unit) for total in sums]
    spreads = [
        math.sqrt(size * square - total * total) / (size * unit)
        for total, square in zip(sums, squares, strict=True)
    ]
    return np.array(means, np.float32), np.array(spreads, np.float32)


def _spatial_information(luma: npt.NDArray[np.int32]) -> _Floats | float:
    """Return P.910's SI of patches: the frame's outermost pixels have no gradient and do not count."""
    if min(luma.shape[1:]) < 3:
        return math.nan
    rows = luma[:, :-2] + 2 * luma[:, 1:-1] + luma[:, 2:]
    columns = luma[:, :, :-2] + 2 * luma[:, :, 1:-1] + luma[:, :, 2:]
    across = (rows[:, :, 2:] - rows[:, :, :-2]).astype(np.float64)
    down = (columns[:, 2:] - columns[:, :-2]).astype(np.float64)
    # Whole numbers under a root that IEEE 754 rounds, then whole numbers again: sums are exact.
    across *= across
    down *= down
    across += down
    gradient = np.rint(np.sqrt(across) * (_GRADIENT_UNIT / _UNIT)).astype(np.int64)
    return _mean_and_spread(gradient, _GRADIENT_UNIT)[1]


def _temporal(frames: Pixels, piece: Piece) -> tuple[_Floats, _Floats]:
    """Return P.910's TI, and the mean absolute difference, of ``(n, T, C, h, w)`` frames."""
    count, times = frames.shape[:2]
    luma = luma_of_rows(
        frames.reshape(count * times, *frames.shape[2:]),
        color=piece.color,
        range_=piece.range,
        bit_depth=piece.bit_depth,
    ).reshape(count, times, -1)
    steps = luma[:, 1:] - luma[:, :-1]
    spreads = _mean_and_spread(steps.reshape(count * (times - 1), -1), _UNIT)[1].reshape(count, -1)
    moved = np.abs(steps).reshape(count, -1).sum(axis=1, dtype=np.int64)
    return spreads.max(axis=1), (moved / (steps[0].size * _UNIT)).astype(np.float32)


def _histogram(luma: npt.NDArray[np.int32]) -> npt.NDArray[np.uint32]:
    bins = (luma.reshape(len(luma), -1) >> 8) * BINS // 256
    bins += np.arange(len(luma), dtype=bins.dtype)[:, np.newaxis] * BINS
    return np.bincount(bins.ravel(), minlength=len(luma) * BINS).reshape(-1, BINS).astype(np.uint32)


def bicubic_psnr_of_row(lr: Pixels, hr: Pixels, *, color: str, scale: int, bit_depth: int) -> float:
    """Return the column ``psnr`` of one row, as ``measure_set`` has it; not a number where the row keeps no LR.

    Args:
        lr: As a shard has it.
        hr: As a shard has it.
        color: ``y``, ``rgb`` or ``yuv420``.
        scale: HR-to-LR ratio.
        bit_depth: Bits per sample.
    """
    if not lr.size:
        return math.nan
    lr, hr = (pixels[pixels.shape[0] // 2] if pixels.ndim == 4 else pixels for pixels in (lr, hr))
    piece = Piece(0, lr[np.newaxis], hr[np.newaxis], color, "", scale, bit_depth)
    return float(_bicubic_psnr(piece.lr, piece.hr, piece)[0])


def _bicubic_psnr(lr: Pixels, hr: Pixels, piece: Piece) -> _Floats:
    small, large = lr, hr
    if piece.color == "yuv420":
        small = _luma_samples(lr, "yuv420", piece.bit_depth)[:, np.newaxis]
        large = _luma_samples(hr, "yuv420", piece.bit_depth)[:, np.newaxis]
    count, channels, height, width = large.shape
    planes = small.reshape(count * channels, *small.shape[2:])
    cubic = resize_bicubic_pixels(planes, height, width, rounding="once", bit_depth=piece.bit_depth)
    sr = _luma_samples(cubic.reshape(large.shape), piece.color if channels == 3 else "y", piece.bit_depth)
    target = _luma_samples(large, piece.color if channels == 3 else "y", piece.bit_depth)
    border = piece.scale if min(height, width) > 2 * piece.scale else 0
    inside = np.s_[:, border : height - border, border : width - border]
    error: _Ints = sr[inside].astype(np.int64) - target[inside]
    squares = (error * error).reshape(count, -1).sum(axis=1).tolist()
    size, peak = error[0].size, (1 << piece.bit_depth) - 1
    # Three decimals: what libm's logarithm does to the last bit of a double is not seen.
    levels = [
        round(10 * math.log10(peak * peak * size / square), 3) if square else math.inf for square in squares
    ]
    return np.array(levels, np.float32)
