"""Frames of a pair: HR as the recipe asks for it, and whole LR frames where patches are cut out of those."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from sr_datasets import color
from sr_datasets.degrade import Degrader, Drawn, Key, Region
from sr_datasets.manifest import VideoInfo
from sr_datasets.recipe import Bicubic, HrStep, Recipe
from sr_datasets.video import ClipReader

Planes: TypeAlias = NDArray[np.uint8 | np.uint16]
"""``(planes, height, width)``; ``yuv420`` packed."""


def hr_size(recipe: Recipe, info: VideoInfo) -> tuple[int, int]:
    """Return rows and columns of a clip's HR frame: shrunk if the recipe says so, then mod-cropped."""
    # 4:2:0 is cut where chroma samples begin, on both grids.
    unit = recipe.scale * (2 if recipe.color == "yuv420" else 1)
    height, width = info.height // recipe.hr.downscale, info.width // recipe.hr.downscale
    return height - height % unit, width - width % unit


def hr_depth(recipe: Recipe, info: VideoInfo) -> int:
    """Return the bits per sample of a clip's HR and LR."""
    return 16 if _by_swscale(recipe, info) and info.bit_depth > 8 else info.bit_depth


def _by_swscale(recipe: Recipe, info: VideoInfo) -> bool:
    return recipe.color == "rgb" and recipe.rgb_from_yuv == "swscale-default" and info.model == "yuv"


class HrFrame:
    """One decoded frame as HR."""

    def __init__(self, planes: Sequence[Planes], recipe: Recipe, info: VideoInfo) -> None:
        self._planes, self._layout, self._color = planes, info.layout, recipe.color
        if _by_swscale(recipe, info):
            from sr_datasets.video.filters import ffmpeg_rgb  # PyAV takes 0.1 s to import

            self._planes, self._layout = ffmpeg_rgb(planes, info)
        self.all = Region(0, 0, *hr_size(recipe, info))
        """The whole frame."""
        self._shrink = None
        if recipe.hr.downscale > 1:
            self._shrink = Degrader(
                Bicubic(), recipe.hr.downscale, bit_depth=self._layout.bit_depth, color=recipe.color
            )

    def region(self, part: Region) -> Planes:
        """Return a part of the frame."""
        if self._shrink is None:
            return self._decoded(part)
        factor = self._shrink.context.scale
        # The border rule applies at the border of what the smaller frame is made of.
        height, width = self.all.height * factor, self.all.width * factor
        needed = self._shrink.hr_region(part, height, width)
        (hr,), _ = self._shrink.degrade(
            [self._decoded(needed)], at=needed, height=height, width=width, lr=part
        )
        return hr

    def _decoded(self, part: Region) -> Planes:
        place = {"top": part.top, "left": part.left, "height": part.height, "width": part.width}
        if self._color != "yuv420":
            return color.window(self._planes, self._layout, color=self._color, **place)
        luma = color.window(self._planes, self._layout, color="y", **place)
        half = {name: value // 2 for name, value in place.items()}
        return color.pack_yuv420(luma, color.chroma_window(self._planes, self._layout, **half))


class LrFrames(ABC):
    """Whole LR frames of a pair, where there are any."""

    @property
    def drawn(self) -> Drawn:
        """What was drawn for the whole clip."""
        return []

    @abstractmethod
    def of(self, index: int, hr: HrFrame, *, num_patches: int) -> Planes | None:
        """Return LR of a whole frame, or None where each patch is degraded by itself.

        Args:
            index: Which frame.
            hr: Its HR.
            num_patches: How many patches are cut out of it.
        """


class PerFrame(LrFrames):
    """Degrades a whole frame where that is needed, or costs less than its patches: the same bits."""

    def __init__(self, degrader: Degrader, lr_size: int) -> None:
        self._degrader, self._lr_size = degrader, lr_size

    def of(self, index: int, hr: HrFrame, *, num_patches: int) -> Planes | None:
        """Return LR of the frame where patches would cost more, or need all of it."""
        degrader = self._degrader
        if degrader.draws or degrader.scope not in ("window", "frame"):
            return None
        if degrader.scope == "window":
            size = self._lr_size
            window = degrader.hr_region(Region(0, 0, size, size), hr.all.height, hr.all.width)
            if num_patches * window.height * window.width <= hr.all.height * hr.all.width:
                return None
        return degrader.degrade_frame(hr.region(hr.all), number=index)


class Coded(LrFrames):
    """LR of a clip that goes through a video codec: coded whole, of which the planned frames are kept."""

    def __init__(
        self,
        degrader: Degrader,
        recipe: Recipe,
        info: VideoInfo,
        *,
        open_reader: Callable[[], AbstractContextManager[ClipReader]],
        wanted: Collection[int],
        key: Key,
    ) -> None:
        """Code the clip.

        Args:
            degrader: How LR is made.
            recipe: What is built.
            info: The clip.
            open_reader: Opens the clip.
            wanted: Frames whose LR will be asked for.
            key: What draws belong to: (seed, source, clip).
        """
        self._drawn: Drawn = []
        height, width = hr_size(recipe, info)
        with open_reader() as reader:
            frames = reader.frames(range(info.num_frames))
            whole: Iterator[Planes] = (
                (hr := HrFrame(frame.planes, recipe, info)).region(hr.all) for frame in frames
            )
            coded = degrader.degrade_clip(whole, height=height, width=width, key=key, drawn=self._drawn)
            self._frames = {index: lr for index, lr in enumerate(coded) if index in wanted}

    def of(self, index: int, hr: HrFrame, *, num_patches: int) -> Planes | None:
        """Return LR of a frame."""
        return self._frames[index]

    @property
    def drawn(self) -> Drawn:
        """What was drawn for the clip's steps."""
        return self._drawn


class Given(LrFrames):
    """The publisher's own LR frames."""

    def __init__(self, reader: ClipReader, recipe: Recipe, info: VideoInfo) -> None:
        """Hand out frames of an open LR clip.

        Args:
            reader: The LR clip.
            recipe: What is built.
            info: The LR clip.
        """
        # LR is taken as it is: only the colour is the recipe's.
        self._recipe = recipe.model_copy(update={"scale": 1, "hr": HrStep()})
        self._reader, self._info = reader, info

    def of(self, index: int, hr: HrFrame, *, num_patches: int) -> Planes | None:
        """Return LR of a frame."""
        frame = HrFrame(self._reader.frame_at(index).planes, self._recipe, self._info)
        return frame.region(frame.all)


class NoFrames(LrFrames):
    """No LR at all."""

    def of(self, index: int, hr: HrFrame, *, num_patches: int) -> Planes | None:
        """Return nothing."""
        return None
