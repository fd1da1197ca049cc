"""Runs a degradation: which HR pixels a patch of LR needs, and that LR.

Crop first, degrade second: LR of a window equals, bit for bit, the crop of the degraded frame. Where a
step must see more (a whole frame for JPEG, a whole clip for a video codec), the window grows to it; a
chain ``of: crop`` degrades the drawn crop by itself. LR is a pure function of HR, the degradation and the
key of the draws.
"""

from collections.abc import Iterator, Sequence
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt

from sr_datasets.color import Pixels, pack_yuv420, split_yuv420
from sr_datasets.degrade.resample import to_whole
from sr_datasets.degrade.step import Context, Region, Samples, Scope, Step, StepDraws
from sr_datasets.degrade.steps import steps_of
from sr_datasets.recipe.chains import Chain, Degradation

_Sample = TypeVar("_Sample", bound=np.generic)

Key = tuple[str | int, ...]
"""What draws belong to: (seed, source, clip, row)."""
Drawn = list[dict[str, object]]
"""What each step drew, as JSON values; steps that drew nothing are left out."""


class Degrader:
    """A degradation, ready for one scale, depth and colour."""

    def __init__(
        self,
        degradation: Degradation,
        scale: int,
        *,
        bit_depth: int = 8,
        color: Literal["y", "rgb", "yuv420"] = "rgb",
    ) -> None:
        """Prepare the steps.

        Raises:
            ValueError: The scale is not 2, 3, 4 or 8, or a step cannot work at this scale, depth or colour.
        """
        self.context = Context(scale, bit_depth, color)
        self.steps = steps_of(degradation, self.context)
        chain = degradation if isinstance(degradation, Chain) else Chain(steps=(degradation,))
        self._kinds = [part.kind for part in chain.steps]
        self.of_crop = chain.of == "crop"
        self._floats = chain.between == "floats"
        # 4:2:0 is cut where chroma samples begin.
        self._even = 2 if color == "yuv420" else 1
        if self.of_crop and color == "yuv420":
            raise ValueError("a chain of crops takes color y or rgb, not yuv420")

    @property
    def scope(self) -> Scope | Literal["crop"]:
        """What must be seen to make a patch: its window, its whole frame, its whole clip, or the crop alone."""
        if self.of_crop:
            return "crop"
        scopes = {step.scope for step in self.steps}
        return "clip" if "clip" in scopes else "frame" if "frame" in scopes else "window"

    @property
    def wide_steps(self) -> tuple[str, ...]:
        """Kinds of the steps that must see a whole frame or clip; none of a chain of crops."""
        if self.of_crop:
            return ()
        steps = zip(self._kinds, self.steps, strict=True)
        return tuple(dict.fromkeys(kind for kind, step in steps if step.scope != "window"))

    @property
    def draws(self) -> bool:
        """Whether LR depends on the key."""
        return any(step.draws for step in self.steps)

    def hr_region(self, lr: Region, height: int, width: int) -> Region:
        """Return the part of the HR frame that a part of LR is made of; its own HR patch lies inside.

        Args:
            lr: Part of the LR frame.
            height: Rows of the HR frame, a multiple of the scale.
            width: Columns of the HR frame, a multiple of the scale.

        Raises:
            ValueError: The frame is no multiple of the scale, or the LR window leaves it.
        """
        self._check(lr, height, width)
        hr = lr.times(self.context.scale)
        return self._way(lr, height, width)[0][0].union(hr)

    def degrade(
        self,
        frames: Sequence[Pixels],
        *,
        at: Region,
        height: int,
        width: int,
        lr: Region,
        key: Key = (),
        numbers: Sequence[int] = (0,),
    ) -> tuple[list[Pixels], Drawn]:
        """Return a part of LR of one row's frames.

        Args:
            frames: The rectangle ``at`` of each HR frame: ``(planes, height, width)`` uint8, or uint16 above
                8 bits; ``yuv420`` packed.
            at: At least what ``hr_region`` names.
            height: Rows of the HR frame.
            width: Columns of the HR frame.
            lr: Which part of the LR frame to return.
            key: What the draws belong to: (seed, source, clip, row).
            numbers: Index of each frame in its clip.

        Returns:
            LR of each frame, in the frames' dtype, and what was drawn.

        Raises:
            ValueError: The frame is no multiple of the scale, the LR window leaves it, ``frames`` lack pixels
                that are needed, or the degradation needs the whole clip (``degrade_clip``).
        """
        self._check(lr, height, width)
        if self.scope == "clip":
            raise ValueError("a video codec needs the whole clip: use degrade_clip")
        for pixels in frames:
            _check_pixels(pixels, self.context.bit_depth)
        drawn: Drawn = []
        regions, sizes = self._way(lr, height, width)
        if at.union(regions[0]) != at:
            raise ValueError(f"the frames are {at}, {regions[0]} is needed: take what hr_region names")
        samples: list[Samples] = [self._enter(self.cut(frame, at, regions[0])) for frame in frames]
        for number, step in enumerate(self.steps):
            draws = self._draws(key, number)
            if self.of_crop:
                samples = step.whole(samples, target=(lr.height, lr.width), numbers=numbers, draws=draws)
            else:
                samples = self._apply(
                    step, samples, regions[number], sizes[number], regions[number + 1], numbers, draws
                )
            self._note(drawn, number, draws)
        for frame in samples:
            if self._luma_size(frame) != (lr.height, lr.width):
                raise ValueError(f"the steps end at {frame.shape}, LR is to be {lr.height}x{lr.width}")
        return [self._leave(frame) for frame in samples], drawn

    def degrade_frame(self, frame: Pixels, *, key: Key = (), number: int = 0) -> Pixels:
        """Return LR of a whole frame.

        Raises:
            ValueError: As ``degrade``.
        """
        height, width = self._luma_size(frame)
        scale = self.context.scale
        lr, _ = self.degrade(
            [frame],
            at=Region(0, 0, height, width),
            height=height,
            width=width,
            lr=Region(0, 0, height // scale, width // scale),
            key=key,
            numbers=[number],
        )
        return lr[0]

    def degrade_clip(
        self, frames: Iterator[Pixels], *, height: int, width: int, key: Key = (), drawn: Drawn
    ) -> Iterator[Pixels]:
        """Yield LR of every frame of a clip, given every frame from the first.

        Args:
            frames: Whole HR frames.
            height: Rows of the HR frame, a multiple of the scale.
            width: Columns of the HR frame, a multiple of the scale.
            key: What the draws belong to: (seed, source, clip).
            drawn: What was drawn is added here when the last frame has been yielded.

        Raises:
            ValueError: The frame is no multiple of the scale.
        """
        scale = self.context.scale
        self._check(Region(0, 0, height // scale, width // scale), height, width)
        samples: Iterator[Samples] = (self._enter(frame) for frame in frames)
        noted = []
        for number, step in enumerate(self.steps):
            draws = self._draws(key, number)
            noted.append(draws)
            if step.planewise and self.context.color == "yuv420":
                samples = self._stream_packed(step, samples, height, width, draws)
            else:
                samples = step.stream(samples, height=height, width=width, draws=draws)
            height, width = step.out_size(height, width)
        for frame in samples:
            yield self._leave(frame)
        for number, draws in enumerate(noted):
            self._note(drawn, number, draws)

    def _stream_packed(
        self, step: Step, frames: Iterator[Samples], height: int, width: int, draws: StepDraws
    ) -> Iterator[Samples]:
        whole, out = Region(0, 0, height, width), Region(0, 0, *step.out_size(height, width))
        for number, frame in enumerate(frames):
            yield from self._apply(step, [frame], whole, (height, width), out, [number], draws)

    def _way(self, lr: Region, height: int, width: int) -> tuple[list[Region], list[tuple[int, int]]]:
        """Return the region before each step and after the last, and the frame's size before each."""
        if self.of_crop:
            return [lr.times(self.context.scale)], []
        sizes = [(height, width)]
        for step in self.steps[:-1]:
            sizes.append(step.out_size(*sizes[-1]))
        regions = [lr]
        for step, size in zip(reversed(self.steps), reversed(sizes), strict=True):
            needed = step.needs(regions[0], *size)
            if self._even == 2:
                chroma = step.needs(regions[0].halved(), size[0] // 2, size[1] // 2)
                needed = _even_region(needed.union(chroma.times(2)))
            regions.insert(0, needed)
        return regions, sizes

    def cut(self, frame: npt.NDArray[_Sample], at: Region, part: Region) -> npt.NDArray[_Sample]:
        """Return a part of a frame of which the rectangle ``at`` is given; ``yuv420`` packed."""
        return cut(frame, at, part, color=self.context.color)

    def _apply(
        self,
        step: Step,
        frames: Sequence[Samples],
        at: Region,
        size: tuple[int, int],
        out: Region,
        numbers: Sequence[int],
        draws: StepDraws,
    ) -> list[Samples]:
        height, width = size
        if self.context.color != "yuv420" or not step.planewise:
            return step.apply(
                frames, at=at, height=height, width=width, out=out, numbers=numbers, draws=draws
            )
        planes = [split_yuv420(frame) for frame in frames]
        luma = step.apply(
            [y for y, _, _ in planes],
            at=at,
            height=height,
            width=width,
            out=out,
            numbers=numbers,
            draws=draws,
        )
        # Chroma shares the draws that all frames share, but has noise of its own.
        chroma_draws = StepDraws(draws.key, draws.record, part="chroma")
        chroma = step.apply(
            [np.concatenate([u, v]) for _, u, v in planes],
            at=at.halved(),
            height=height // 2,
            width=width // 2,
            out=out.halved(),
            numbers=numbers,
            draws=chroma_draws,
        )
        return [pack_yuv420(y, uv) for y, uv in zip(luma, chroma, strict=True)]

    def _draws(self, key: Key, number: int) -> StepDraws:
        return StepDraws((*key, number, self._kinds[number]))

    def _note(self, drawn: Drawn, number: int, draws: StepDraws) -> None:
        if draws.record:
            drawn.append({"step": number, "kind": self._kinds[number], **draws.record})

    def _enter(self, frame: Samples) -> Samples:
        return frame.astype(np.float64) if self._floats else frame

    def _leave(self, frame: Samples) -> Pixels:
        dtype = np.uint8 if self.context.bit_depth == 8 else np.uint16
        if self._floats:
            frame = to_whole(frame.astype(np.float64, copy=False), self.context.peak)
        pixels: Pixels = frame.astype(dtype, copy=False)
        return pixels

    def _luma_size(self, frame: Samples) -> tuple[int, int]:
        height, width = frame.shape[-2:]
        return (height * 2 // 3 if self.context.color == "yuv420" else height), width

    def _check(self, lr: Region, height: int, width: int) -> None:
        scale = self.context.scale
        for what, size, start, count in (
            ("rows", height, lr.top, lr.height),
            ("columns", width, lr.left, lr.width),
        ):
            unit = scale * self._even
            if size < unit or size % unit:
                whose = f"the scale {scale}" if unit == scale else f"twice the scale {scale} (yuv420)"
                raise ValueError(f"the frame has {size} {what}, no multiple of {whose}: mod-crop it first")
            if start < 0 or count < 1 or start + count > size // scale:
                raise ValueError(
                    f"{count} LR {what} from {start} leave the frame: it has {size // scale} LR {what}"
                )
            if start % self._even or count % self._even:
                raise ValueError(f"{count} LR {what} from {start}: yuv420 needs even numbers")


def cut(
    frame: npt.NDArray[_Sample], at: Region, part: Region, *, color: Literal["y", "rgb", "yuv420"]
) -> npt.NDArray[_Sample]:
    """Return a part of a frame of which the rectangle ``at`` is given; ``yuv420`` packed."""
    if color != "yuv420":
        return part.cut(frame, at)
    y, u, v = split_yuv420(frame)
    chroma = part.halved().cut(np.concatenate([u, v]), at.halved())
    return pack_yuv420(part.cut(y, at), chroma)


def halo(degradation: Degradation, scale: int) -> int:
    """Return how many HR pixels around its own an LR window can need, on any side.

    Raises:
        ValueError: The scale is not 2, 3, 4 or 8, or LR is not made of a window.

    Example:
        >>> from sr_datasets.recipe import Bicubic
        >>> halo(Bicubic(), 4)
        6
    """
    degrader = Degrader(degradation, scale)
    if degrader.scope != "window":
        raise ValueError(f"LR is made of a whole {degrader.scope}, which no halo can hold")
    size = 1 << 20  # far from every border
    middle = Region(size // 2, size // 2, 16, 16)
    needed, hr = degrader.hr_region(middle, size * scale, size * scale), middle.times(scale)
    return max(hr.top - needed.top, hr.left - needed.left, needed.bottom - hr.bottom, needed.right - hr.right)


def degrade_frame(frame: Pixels, degradation: Degradation, scale: int, *, bit_depth: int = 8) -> Pixels:
    """Return LR of a whole frame, nothing drawn.

    Args:
        frame: ``(planes, height, width)`` uint8, or uint16 above 8 bits; both sides multiples of the scale.
        degradation: How LR is made.
        scale: HR-to-LR ratio.
        bit_depth: Bits per sample, 8..16.

    Returns:
        ``(planes, height / scale, width / scale)`` in the frame's dtype.

    Raises:
        ValueError: A side is no multiple of the scale, the scale is not 2, 3, 4 or 8, or the degradation
            draws or needs the whole clip.
    """
    _check_pixels(frame, bit_depth)
    degrader = Degrader(degradation, scale, bit_depth=bit_depth, color="y" if len(frame) == 1 else "rgb")
    if degrader.draws:
        raise ValueError("the degradation draws: give a Degrader the key of the draws")
    return degrader.degrade_frame(frame)


def _even_region(region: Region) -> Region:
    """Return the smallest rectangle around a region whose sides lie between chroma samples."""
    top, left = region.top // 2 * 2, region.left // 2 * 2
    return Region(top, left, -(-(region.bottom - top) // 2) * 2, -(-(region.right - left) // 2) * 2)


def _check_pixels(pixels: Pixels, bit_depth: int) -> None:
    if pixels.ndim != 3 or pixels.dtype not in (np.uint8, np.uint16):
        raise ValueError(
            f"pixels are (planes, height, width) uint8 or uint16, not {pixels.shape} {pixels.dtype}"
        )
    if not 8 <= bit_depth <= 8 * pixels.dtype.itemsize:
        raise ValueError(
            f"bit_depth is {bit_depth}, must be 8..{8 * pixels.dtype.itemsize} for {pixels.dtype}"
        )
