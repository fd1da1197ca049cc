"""What every reader shares: a frame, and the frames of a clip by index."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from sr_datasets.errors import DecodeError
from sr_datasets.manifest import VideoInfo

Plane = npt.NDArray[np.uint8 | np.uint16]
"""One plane of samples, ``(height, width)``, uint8 up to 8 bits and native uint16 above."""

RawPlane = npt.NDArray[np.uint8]
"""The bytes of one stored plane, ``(rows, bytes per row)``."""

MOST_PIXELS = 1 << 27
"""Most pixels of a frame that are read, 16384x8192: a header may claim a thousand times as many in a few bytes."""

UNKNOWN_TICK = Fraction(1)
"""The time base of what has no time: pictures, and streams that do not say their rate."""


@dataclass(frozen=True, eq=False, slots=True)
class Frame:
    """One shown frame, as planes."""

    planes: tuple[Plane, ...]
    """Y; Y, U, V; or R, G, B: ``(height, width)`` each, chroma of its own size. Contiguous or strided
    views of memory that belongs to this frame alone, or of the mapped file; treat them as read-only."""
    index: int
    """Its number in the order of showing, from 0."""
    pts: int
    """When it is shown, in ticks of ``VideoInfo.time_base``."""


def check_size(path: Path, width: int, height: int) -> None:
    """Refuse frames of a size that no header can mean, before memory is asked for.

    Raises:
        DecodeError: They have more than ``MOST_PIXELS``.
    """
    if width * height > MOST_PIXELS:
        raise DecodeError(
            f"{path}: claims frames of {width}x{height}; at most {MOST_PIXELS} pixels are read. It is damaged, or has to "
            "be cut into parts."
        )


class ClipReader(ABC):
    """The frames of one clip by index; close it, or use it in a ``with`` block."""

    def __init__(self, path: Path, info: VideoInfo) -> None:
        self.path = path
        self.info = info

    def frames(self, indices: Sequence[int]) -> Iterator[Frame]:
        """Yield each asked frame once, in ascending order, decoding only what is needed.

        Args:
            indices: Frame numbers in any order; repeats count once.

        Raises:
            ValueError: An index is outside ``0..info.num_frames - 1``.
            DecodeError: The file is not what it was when it was probed, or is damaged.
        """
        wanted = sorted({int(index) for index in indices})
        if wanted and not (wanted[0] >= 0 and wanted[-1] < self.info.num_frames):
            bad = wanted[0] if wanted[0] < 0 else wanted[-1]
            raise ValueError(
                f"{self.path}: no frame {bad}; the clip has frames 0..{self.info.num_frames - 1}"
            )
        return self._read(wanted)

    def frame_at(self, index: int) -> Frame:
        """Return one frame; see ``frames``, which is faster for several."""
        return next(self.frames([index]))

    @abstractmethod
    def _read(self, wanted: Sequence[int]) -> Iterator[Frame]:
        """Yield the frames of ``wanted``, which is ascending, unique and within the clip."""

    @abstractmethod
    def close(self) -> None:
        """Close the files."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def tick_of(frame_rate: Fraction | None) -> Fraction:
    """Return the time base in which frame n has pts n."""
    return 1 / frame_rate if frame_rate else UNKNOWN_TICK
