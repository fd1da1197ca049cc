"""Where patches of a clip may lie: frames, positions, what to keep away from, and what the pictures there are like.

Positions are on the LR grid; texture, motion and luma are those of the blocks of an analysis, weighed by the area that
a patch has in common with each, in integers.
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from sr_datasets.sampling.analysis import LUMA, MOTION, TEXTURE, Analysis, BlockMaps
from sr_datasets.sampling.plan import ClipSize

Nuisance: TypeAlias = Literal["cuts", "borders", "duplicates"]
"""What windows and patches can keep away from."""

Mask: TypeAlias = npt.NDArray[np.bool_]
"""``(tops, lefts)`` of a frame's places: which may be taken."""


@dataclass(frozen=True, slots=True)
class Patch:
    """What is cut out for a row."""

    lr_size: int
    """Side in LR pixels."""
    scale: int
    """HR-to-LR ratio per axis."""
    window: int = 1
    """LR frames (T), odd."""
    step: int = 1
    """Frames from one of them to the next."""
    margin: int = 0
    """LR pixels that are kept from the frame's edge."""
    shrunk: int = 1
    """Decoded samples per HR pixel and axis, when frames are made smaller before they are HR."""

    @property
    def reach(self) -> int:
        """Frames from the centre of a window to its ends."""
        return self.window // 2 * self.step

    def frames_around(self, centre: int) -> tuple[int, ...]:
        """Return the frames of a window: centre + step * k."""
        return tuple(range(centre - self.reach, centre + self.reach + 1, self.step))


@dataclass(frozen=True, slots=True)
class Places:
    """The positions of one frame: ``top + step * i`` for ``i < tops``, and so on for columns."""

    top: int
    """First row, LR."""
    left: int
    """First column, LR."""
    tops: int
    """How many rows."""
    lefts: int
    """How many columns."""
    step: int
    """LR pixels from one to the next."""

    @property
    def count(self) -> int:
        """How many positions there are."""
        return self.tops * self.lefts

    def rows(self, stride: int = 1) -> npt.NDArray[np.int64]:
        """Return every ``stride``-th row, LR."""
        return self.top + self.step * np.arange(0, self.tops, stride, dtype=np.int64)

    def columns(self, stride: int = 1) -> npt.NDArray[np.int64]:
        """Return every ``stride``-th column, LR."""
        return self.left + self.step * np.arange(0, self.lefts, stride, dtype=np.int64)


class Space:
    """The frames and positions of a clip that a patch may have.

    A window keeps away from ``cuts`` when none lies between its frames; from ``duplicates`` when its centre is none and
    two successive frames of it never show the same; a patch keeps away from ``borders`` when it lies inside what is not
    black in some frame of the shot.

    Args:
        clip: The clip.
        patch: What is cut out.
        analysis: What is known of the pictures; needed for what is avoided.
        avoid: What to keep away from.

    Raises:
        ValueError: The clip is too small or too short, or nothing is left; the message says what was found.
    """

    def __init__(
        self,
        clip: ClipSize,
        patch: Patch,
        *,
        analysis: Analysis | None = None,
        avoid: Collection[Nuisance] = (),
    ) -> None:
        self.clip, self.patch, self.analysis = clip, patch, analysis
        self._avoid = frozenset(avoid)
        if analysis is not None and analysis.num_frames != clip.num_frames:
            raise ValueError(f"has {clip.num_frames} frames, but its analysis has {analysis.num_frames}")
        if self._avoid and analysis is None:
            raise ValueError(f"cannot avoid {', '.join(sorted(self._avoid))} without an analysis")
        self._whole = self._inside_margin(0, 0, *clip.lr_size(patch.scale))
        if self._whole.count == 0:
            height, width = clip.lr_size(patch.scale)
            kept = f", {patch.margin} kept from each edge," if patch.margin else ":"
            raise ValueError(
                f"is {clip.width}x{clip.height}, which gives LR of {width}x{height} at x{patch.scale}{kept} "
                f"too small for patches of {patch.lr_size}x{patch.lr_size} LR pixels "
                f"({patch.lr_size * patch.scale}x{patch.lr_size * patch.scale} HR)"
            )
        span = 2 * patch.reach + 1
        if clip.num_frames < span:
            spaced = f" ({patch.window} frames, every {patch.step}th)" if patch.step > 1 else ""
            raise ValueError(f"has {clip.num_frames} frames, fewer than the window of {span}{spaced}")
        self._shot_places: tuple[list[Places], npt.NDArray[np.int64]] | None = None
        if analysis is not None and "borders" in self._avoid:
            self._shot_places = self._places_by_shot(analysis)
        self.centres = self._find_centres()
        """Frames that may be the centre of a window, ascending."""

    def places(self, centre: int) -> Places:
        """Return the positions of patches around a centre frame."""
        if self._shot_places is None:
            return self._whole
        by_shot, shot_of = self._shot_places
        return by_shot[int(shot_of[centre])]

    def bounds(self, centres: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the positions around each of some centre frames: ``(5, n)`` of top, left, tops, lefts and step."""
        if self._shot_places is None:
            return np.broadcast_to(_as_column(self._whole), (5, len(centres)))
        by_shot, shot_of = self._shot_places
        return np.concatenate([_as_column(here) for here in by_shot], axis=1)[:, shot_of[centres]]

    def _inside_margin(self, top: int, left: int, bottom: int, right: int) -> Places:
        """Return the positions inside a part of the LR frame, on the clip's grid, off the frame's margin."""
        height, width = self.clip.lr_size(self.patch.scale)
        step, margin, size = self.clip.multiple, self.patch.margin, self.patch.lr_size
        top, left = (-(-max(first, margin) // step) * step for first in (top, left))
        bottom, right = min(bottom, height - margin), min(right, width - margin)
        tops, lefts = (
            max(0, (last - size - first) // step + 1) for first, last in ((top, bottom), (left, right))
        )
        return Places(top, left, tops, lefts, step)

    def _places_by_shot(self, analysis: Analysis) -> tuple[list[Places], npt.NDArray[np.int64]]:
        """Return the positions of each shot, and the shot of each frame."""
        per_lr = self.patch.scale * self.patch.shrunk
        found = []
        shot_of = np.zeros(analysis.num_frames, np.int64)
        for number, (start, end) in enumerate(analysis.shots()):
            shot_of[start:end] = number
            inside = analysis.inside[start:end].astype(np.int64)
            inside = inside[inside[:, 2] > 0]
            if not len(inside):
                found.append(Places(0, 0, 0, 0, 1))
                continue
            top, left = (int(value) for value in inside[:, :2].min(axis=0))
            bottom, right = (int(value) for value in inside[:, 2:].max(axis=0))
            # The analysis looks at pairs of samples and leaves an odd last one out.
            bottom = analysis.height if bottom == analysis.height // 2 * 2 else bottom
            right = analysis.width if right == analysis.width // 2 * 2 else right
            found.append(
                self._inside_margin(-(-top // per_lr), -(-left // per_lr), bottom // per_lr, right // per_lr)
            )
        return found, shot_of

    def _find_centres(self) -> npt.NDArray[np.int64]:
        reach, step = self.patch.reach, self.patch.step
        centres = _numbers(self.clip.num_frames.bit_length())[reach : self.clip.num_frames - reach]
        analysis = self.analysis
        if analysis is None or not self._avoid:
            return centres
        if "cuts" in self._avoid:
            shot = np.cumsum(analysis.cut, dtype=np.int64)
            centres = centres[shot[centres - reach] == shot[centres + reach]]
        if "duplicates" in self._avoid:
            centres = centres[~analysis.duplicate[centres]]
            picture = np.cumsum(~analysis.duplicate, dtype=np.int64)
            for first in range(-reach, reach, step):
                centres = centres[picture[centres + first] < picture[centres + first + step]]
        if self._shot_places is not None:
            by_shot, shot_of = self._shot_places
            roomy = np.array([places.count > 0 for places in by_shot])
            centres = centres[roomy[shot_of[centres]]]
        if not len(centres):
            raise ValueError(
                f"has no frame left for patches of {self.patch.lr_size}x{self.patch.lr_size} LR pixels and windows of "
                f"{2 * reach + 1} frames when {', '.join(sorted(self._avoid))} are avoided (found: {self._found()})"
            )
        return centres

    def _found(self) -> str:
        analysis = self.analysis
        assert analysis is not None
        black = int((analysis.inside[:, 2] == 0).sum())
        return (
            f"{self.clip.num_frames} frames, {int(analysis.cut.sum())} cuts, {int(analysis.duplicate.sum())} duplicates, "
            f"{black} black frames"
        )


@lru_cache
def _numbers(bits: int) -> npt.NDArray[np.int64]:
    """Return the numbers of so many bits; the clips of a set share them, and nobody writes to them."""
    numbers = np.arange(1 << bits, dtype=np.int64)
    numbers.setflags(write=False)
    return numbers


def _as_column(places: Places) -> npt.NDArray[np.int64]:
    return np.array([[places.top], [places.left], [places.tops], [places.lefts], [places.step]], np.int64)


class Looks:
    """Texture, motion and luma of patches, by the blocks under them.

    Args:
        analysis: The clip's analysis.
        patch: What is cut out.
    """

    def __init__(self, analysis: Analysis, patch: Patch) -> None:
        self._analysis = analysis
        self._per_lr = patch.scale * patch.shrunk
        self._size = patch.lr_size * self._per_lr

    def texture(
        self, frame: int, rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64]:
        """Return the mean texture of the patches at each row and column of a frame, rounded down."""
        return self._means(self._analysis.blocks[frame], TEXTURE, rows, columns) // self._size**2

    def of(
        self, frame: int, rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return texture, speed and luma of the patches at each row and column of a frame, rounded down.

        Speed is about that of what moves, in quarter pixels a frame: the change between frames over the texture, as in
        normal flow (Horn and Schunck, "Determining Optical Flow", Artificial Intelligence 17, 1981). It stops growing where things move
        farther than their detail is wide; flat patches have the speed of a texture of ``LEAST_TEXTURE``, and what
        changes less than ``LEAST_CHANGE`` is at rest.
        """
        maps, area = self._analysis.blocks[frame], self._size**2
        texture, motion, luma = (self._means(maps, which, rows, columns) for which in (TEXTURE, MOTION, LUMA))
        moved = np.maximum(motion - LEAST_CHANGE * area, 0)
        # Texture adds both directions, of samples two pixels apart: along one of them it is half as much.
        speed = 16 * moved // np.maximum(texture, LEAST_TEXTURE * area)
        return texture // area, speed, luma // area

    def _means(
        self, maps: BlockMaps, which: int, rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64]:
        """Return the sums over the patches' samples of what each sample's block has."""
        sums = self._sums_along(maps[which].astype(np.int64), rows)
        return self._sums_along(sums.T, columns).T

    def _sums_along(
        self, values: npt.NDArray[np.int64], starts: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64]:
        """Return the sums over ``size`` samples from each start (in LR pixels), along the first axis of blocks."""
        side = self._analysis.block
        until = np.concatenate([np.zeros_like(values[:1]), np.cumsum(values, axis=0, dtype=np.int64)]) * side
        first = starts * self._per_lr

        def up_to(sample: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
            block, rest = np.divmod(sample, side)
            last = np.minimum(block, len(values) - 1)
            sums: npt.NDArray[np.int64] = until[block] + rest[:, np.newaxis] * values[last]
            return sums

        return up_to(first + self._size) - up_to(first)


LEAST_TEXTURE = 8
"""Texture that speed is measured against at least, in quarter levels."""
LEAST_CHANGE = 2
"""Change between frames that counts as none, in quarter levels: noise has about as much."""
