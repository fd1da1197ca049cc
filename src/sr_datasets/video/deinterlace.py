"""A clip whose frames are deinterlaced as they are read, the same by random access as in order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sr_datasets.errors import DecodeError
from sr_datasets.manifest import Clip
from sr_datasets.video.base import ClipReader, Frame
from sr_datasets.video.scan import detect_field_order


class DeinterlacingReader(ClipReader):
    """Frames of another reader through FFmpeg's bwdif, one for each; each by its two neighbours alone."""

    def __init__(self, inner: ClipReader, clip: Clip | None) -> None:
        """Take over a reader; it is closed with this one.

        Which field came first is what the manifest declares, or else what the stream says, or else what
        the frames show.

        Raises:
            DecodeError: None of them tells which field came first.
        """
        super().__init__(inner.path, inner.info)
        self._inner = inner
        order = (clip.field_order if clip is not None else None) or inner.info.field_order
        if order == "unknown":
            order = detect_field_order(inner)
        if order == "unknown":
            raise DecodeError(
                f"{inner.path}: is interlaced and does not say which field of a frame was taken first, nor do its "
                "frames show it. Declare `field_order: top` or `bottom` in the manifest, or choose `interlaced: keep` "
                "or `refuse` in the recipe."
            )
        self.field_order = order
        """``top`` or ``bottom``: the field that was taken first, and whose rows are kept."""

    def _read(self, wanted: Sequence[int]) -> Iterator[Frame]:
        from sr_datasets.video.filters import deinterlaced

        last = self.info.num_frames - 1
        needed = sorted({near for n in wanted for near in (n - 1, n, n + 1) if 0 <= near <= last})
        coming = self._inner.frames(needed)
        held: dict[int, Frame] = {}
        for number in wanted:
            first, end = max(0, number - 1), min(last, number + 1)
            held = {index: frame for index, frame in held.items() if index >= first}
            while end not in held:
                frame = next(coming)
                held[frame.index] = frame
            planes = [held[index].planes for index in range(first, end + 1)]
            made = deinterlaced(planes, self.info, top_first=self.field_order == "top")
            for _ in range(first, number):
                next(made)
            yield Frame(next(made), number, held[number].pts)

    def close(self) -> None:
        """Close the reader below."""
        self._inner.close()
