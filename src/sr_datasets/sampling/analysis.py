"""What sampling may know of a clip's pictures before any row is made: cuts, borders, duplicates, texture, motion.

An analysis is a function of luma samples alone, made of integer operations only, so that every machine has the same
one; plans depend on it. Frames are looked at as sums of 2x2 samples at 8 bits (quarter levels, 0..1020): that halves
noise and costs little. Lengths are in luma samples of the frame, times in frames.

Per frame: mean luma; change against the frame before; whether it begins a shot (``cuts``); whether it shows what the
last different frame showed; the rectangle inside black borders. Per block of 16x16 samples (32x32 where a frame has
more than ``LARGE`` samples), one byte each:

- **luma**: mean, in levels of 8 bits;
- **texture**: mean of the absolute differences to the right and to the lower neighbour, both added, in quarter levels;
- **motion**: mean absolute difference to the frame before, in quarter levels; where a shot begins, to the frame after.

Both stop at 255.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from sr_datasets.sampling.cuts import CutFinder, Half

ANALYSIS_VERSION: Final = 1
"""Changes whenever an analysis of the same samples would: part of the name of its file, and of what a shard is made of."""

LARGE: Final = 2_500_000
"""Samples of a frame above which blocks are twice as long on each side."""
BLACK_LEVEL: Final = 32
"""Most luma of a black sample, in levels of 8 bits: studio black is 16, and coding rings around it."""
BLACK_MEAN: Final = 24
"""Most mean luma of a black row or column."""
BLACK_SHARE: Final = 32
"""At most one sample in so many of a black row or column is lighter than ``BLACK_LEVEL``."""
LUMA, TEXTURE, MOTION = 0, 1, 2
"""Which block map is which."""

Luma: TypeAlias = npt.NDArray[np.uint8 | np.uint16]
BlockMaps: TypeAlias = npt.NDArray[np.uint8]
"""``(3, rows, columns)`` uint8: luma, texture and motion of a frame's blocks."""


class Blocks(Protocol):
    """The block maps of a clip, frame by frame."""

    def __getitem__(self, frame: int) -> BlockMaps:
        """Return the maps of one frame."""


@dataclass(frozen=True, slots=True, eq=False)
class Analysis:
    """What is known of a clip of N frames; each array has one entry per frame."""

    width: int
    """Luma samples per row."""
    height: int
    """Luma rows."""
    luma: npt.NDArray[np.uint8]
    """Mean, in levels of 8 bits."""
    change: npt.NDArray[np.uint16]
    """Mean absolute difference to the frame before, in quarter levels; 0 for the first frame."""
    score: npt.NDArray[np.uint16]
    """The cut finder's score against the frame before, in thousandths; 0 for the first frame."""
    cut: npt.NDArray[np.bool_]
    """Whether a shot begins here; not marked for the first frame."""
    duplicate: npt.NDArray[np.bool_]
    """Whether it shows what the last frame showed that is no duplicate itself."""
    inside: npt.NDArray[np.uint16]
    """``(N, 4)``: top, left, bottom, right of what lies inside black borders (bottom and right are the first row and
    column outside); zeros for a black frame."""
    blocks: Blocks
    """Block maps of each frame."""

    @property
    def num_frames(self) -> int:
        """Frames shown."""
        return len(self.cut)

    @property
    def block(self) -> int:
        """Side of a block in luma samples."""
        return block_side(self.width, self.height)

    def shots(self) -> list[tuple[int, int]]:
        """Return the first frame of each shot, and the first one behind it."""
        starts = [0, *np.flatnonzero(self.cut).tolist()]
        return list(zip(starts, [*starts[1:], self.num_frames], strict=True))


def block_side(width: int, height: int) -> int:
    """Return the side of a block in luma samples."""
    return 16 if width * height <= LARGE else 32


def halved(luma: Luma, bit_depth: int) -> Half:
    """Return sums of 2x2 samples at 8 bits: ``(height // 2, width // 2)`` int16, 0..1020.

    Args:
        luma: ``(height, width)``, uint8 up to 8 bits, uint16 above; an odd last row or column is left out.
        bit_depth: Bits per sample, at least 8.

    Raises:
        ValueError: A side is shorter than 2, or the depth is below 8.
    """
    height, width = luma.shape[0] // 2 * 2, luma.shape[1] // 2 * 2
    if not height or not width or bit_depth < 8:
        raise ValueError(f"{luma.shape[1]}x{luma.shape[0]} samples of {bit_depth} bits cannot be analysed")
    wide: type[np.unsignedinteger] = np.uint16 if bit_depth == 8 else np.uint32
    pairs = np.add(luma[0:height:2, :width], luma[1:height:2, :width], dtype=wide)
    sums = np.add(pairs[:, 0::2], pairs[:, 1::2], dtype=wide)
    half: Half = (sums >> (bit_depth - 8)).astype(np.int16)
    return half


class Analyser:
    """Takes the luma of a clip frame by frame; ``end`` says what cannot be known before the last one.

    Block maps are handed out as soon as they are final, so that whoever keeps them decides how.

    Args:
        width: Luma samples per row.
        height: Luma rows.
        bit_depth: Bits per sample.
    """

    def __init__(self, width: int, height: int, bit_depth: int) -> None:
        self._size, self._bit_depth = (height, width), bit_depth
        self._block = block_side(width, height) // 2
        self._cuts = CutFinder()
        self._last: Half | None = None
        self._distinct: Half | None = None
        self._luma: list[int] = []
        self._change: list[int] = []
        self._duplicate: list[bool] = []
        self._inside: list[tuple[int, int, int, int]] = []

    def add(self, luma: Luma) -> BlockMaps:
        """Take the next frame and return its block maps, motion against the frame before.

        Args:
            luma: ``(height, width)``.

        Raises:
            ValueError: It has another size than the clip.
        """
        if luma.shape != self._size:
            raise ValueError(
                f"a frame has {luma.shape[1]}x{luma.shape[0]} luma samples, the clip has {self._size[1]}x{self._size[0]}"
            )
        half = halved(luma, self._bit_depth)
        texture = np.zeros(half.shape, np.int16)
        texture[:, :-1] += np.abs(half[:, 1:] - half[:, :-1])
        texture[:-1] += np.abs(half[1:] - half[:-1])
        change = np.zeros_like(half) if self._last is None else np.abs(half - self._last)
        light, rough, moved = (self._block_means(values) for values in (half, texture, change))
        self._luma.append(int(half.sum(dtype=np.int64)) // (4 * half.size))
        self._change.append(int(change.sum(dtype=np.int64)) // half.size)
        self._inside.append(inside_borders(half))
        self._cuts.add(half)
        if self._distinct is None:
            same = False
        elif self._distinct is self._last:
            same = not moved.any()
        else:
            same = not self._block_means(np.abs(half - self._distinct)).any()
        self._duplicate.append(same)
        if not same:
            self._distinct = half
        self._last = half
        return np.stack([light // 4, np.minimum(rough, 255), np.minimum(moved, 255)]).astype(np.uint8)

    def _block_means(self, values: Half) -> npt.NDArray[np.int64]:
        """Return the mean of each block, rounded down; blocks at the right and bottom may be smaller."""
        side, (height, width) = self._block, values.shape
        rows, columns = np.arange(0, height, side), np.arange(0, width, side)
        sums = np.add.reduceat(values, columns, axis=1, dtype=np.int64)
        sums = np.add.reduceat(sums, rows, axis=0, dtype=np.int64)
        sizes = np.minimum(side, height - rows)[:, np.newaxis] * np.minimum(side, width - columns)
        means: npt.NDArray[np.int64] = sums // sizes
        return means

    def end(self, blocks: Blocks) -> Analysis:
        """Return the analysis.

        Args:
            blocks: The maps that ``add`` returned, by frame; motion of shots' first frames is put right here.
        """
        cut = self._cuts.cuts()
        return Analysis(
            width=self._size[1],
            height=self._size[0],
            luma=np.array(self._luma, np.uint8),
            change=np.array(self._change, np.uint16),
            score=np.minimum(np.array(self._cuts.scores, np.int64), 65535).astype(np.uint16),
            cut=cut,
            duplicate=np.array(self._duplicate, np.bool_),
            inside=np.array(self._inside, np.uint16).reshape(-1, 4),
            blocks=ShotBlocks(blocks, cut),
        )


class ShotBlocks:
    """Block maps in which the first frame of a shot has the motion of the next one: its own is that of the cut."""

    def __init__(self, blocks: Blocks, cut: npt.NDArray[np.bool_]) -> None:
        self._blocks, self._cut = blocks, cut

    def __getitem__(self, frame: int) -> BlockMaps:
        """Return the maps of one frame."""
        maps = self._blocks[frame]
        if frame and not self._cut[frame]:
            return maps
        follows = frame + 1 < len(self._cut) and not self._cut[frame + 1]
        motion = self._blocks[frame + 1][MOTION] if follows else np.zeros_like(maps[MOTION])
        return np.stack([maps[LUMA], maps[TEXTURE], motion])


def inside_borders(half: Half) -> tuple[int, int, int, int]:
    """Return top, left, bottom and right, in luma samples, of what is not black border; zeros for a black frame.

    Args:
        half: As ``halved`` returns it. Borders are found to 2 samples; an odd last row or column counts as border only
            beside one.
    """
    light = half > 4 * BLACK_LEVEL
    rows = _not_black(light.sum(axis=1), half.sum(axis=1, dtype=np.int64), half.shape[1])
    if not rows.size:
        return 0, 0, 0, 0
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    # Columns are judged between the borders above and below, which would make them darker.
    columns = _not_black(
        light[top:bottom].sum(axis=0), half[top:bottom].sum(axis=0, dtype=np.int64), bottom - top
    )
    if not columns.size:
        return 0, 0, 0, 0
    return 2 * top, 2 * int(columns[0]), 2 * bottom, 2 * (int(columns[-1]) + 1)


def _not_black(
    light: npt.NDArray[np.int64], sums: npt.NDArray[np.int64], length: int
) -> npt.NDArray[np.int64]:
    """Return the numbers of lines that are not black, by their light samples and the sums of all ``length``."""
    found: npt.NDArray[np.int64] = np.flatnonzero(
        (light * BLACK_SHARE > length) | (sums > 4 * BLACK_MEAN * length)
    )
    return found


def analyse(frames: Sequence[Luma], bit_depth: int) -> Analysis:
    """Return the analysis of a few frames in memory.

    Args:
        frames: ``(height, width)`` each.
        bit_depth: Bits per sample.

    Raises:
        ValueError: There is no frame, or frames differ in size.
    """
    if not frames:
        raise ValueError("there is no frame to analyse")
    analyser = Analyser(frames[0].shape[1], frames[0].shape[0], bit_depth)
    return analyser.end([analyser.add(frame) for frame in frames])
