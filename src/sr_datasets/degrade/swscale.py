"""FFmpeg's own bicubic: libswscale, through PyAV, on whole planes."""

from collections.abc import Sequence
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import Interpolation, VideoReformatter

from sr_datasets.degrade.step import Context, Region, Samples, Scope, Step, StepDraws
from sr_datasets.degrade.taps import check_scale

_FORMATS = {8: "gray", 9: "gray9le", 10: "gray10le", 12: "gray12le", 14: "gray14le", 16: "gray16le"}


class SwscaleBicubicStep(Step):
    """Shrinks each plane as a grey picture, as ``ffmpeg -vf scale`` does."""

    scope: Scope = "frame"

    def __init__(self, context: Context, *, accurate: bool) -> None:
        check_scale(context.scale)
        if context.bit_depth not in _FORMATS:
            raise ValueError(f"swscale-bicubic: FFmpeg has no grey pixels of {context.bit_depth} bits")
        self.ratio = context.scale
        self._format = _FORMATS[context.bit_depth]
        flags = int(Interpolation.BICUBIC)
        if accurate:
            flags |= Interpolation.ACCURATE_RND | Interpolation.BITEXACT
        self._flags = flags

    def apply(
        self,
        frames: Sequence[Samples],
        *,
        at: Region,
        height: int,
        width: int,
        out: Region,
        numbers: Sequence[int],
        draws: StepDraws,
    ) -> list[Samples]:
        """Shrink each frame.

        Raises:
            ValueError: The samples are floats.
        """
        whole, small = Region(0, 0, height, width), Region(0, 0, *self.out_size(height, width))
        shrunk: list[Samples] = []
        for frame in frames:
            if frame.dtype == np.float64:
                raise ValueError("swscale-bicubic works on pixels: take between: pixels")
            planes = [self._plane(plane, small) for plane in whole.cut(frame, at)]
            shrunk.append(out.cut(np.stack(planes), small))
        return shrunk

    def _plane(self, plane: npt.NDArray[Any], small: Region) -> npt.NDArray[Any]:
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(plane), format=self._format)
        # A reformatter of its own, so that nothing of one picture can show in the next.
        scaled = VideoReformatter().reformat(
            picture,
            width=small.width,
            height=small.height,
            format=self._format,
            interpolation=self._flags,
            threads=1,
        )
        return scaled.to_ndarray()


def swscale_build() -> str:
    """Return FFmpeg's release and libswscale's version, on which the result depends.

    Example:
        >>> swscale_build().split()[0]
        'ffmpeg'
    """
    version = ".".join(str(part) for part in av.library_versions["libswscale"])
    return f"ffmpeg {av.ffmpeg_version_info} libswscale {version}"
