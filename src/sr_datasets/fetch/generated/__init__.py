"""The source ``demo``: clips that are computed here, for a first run without a network.

The pictures are dead leaves (Lee, Mumford and Huang, "Occlusion Models for Natural Images", IJCV 41, 2001) with
shaded, grainy and striped stuffs, thin text, moving cameras and moving things. Every step is whole-number arithmetic,
so that the bytes are the same on every machine and with every NumPy; ``docs/demo.md`` shows what is where.
"""

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType

import numpy as np

from sr_datasets.errors import SelectionError, nearest_names
from sr_datasets.fetch.generated.camera import to_yuv420
from sr_datasets.fetch.generated.scenes import ClipSpec, build_layers
from sr_datasets.progress import Progress

_PAL = Fraction(25)
_NTSC = Fraction(30000, 1001)

CLIPS: Mapping[str, ClipSpec] = MappingProxyType(
    {
        "leaves_1": ClipSpec("leaves", 101, 480, 270, _PAL, 16),
        "leaves_2": ClipSpec("leaves", 102, 502, 278, _NTSC, 12),
        "leaves_3": ClipSpec("leaves", 103, 480, 270, _PAL, 12),
        "depth_1": ClipSpec("depth", 201, 480, 270, _PAL, 12),
        "depth_2": ClipSpec("depth", 202, 480, 270, _NTSC, 12),
        "print_1": ClipSpec("print", 301, 480, 270, _NTSC, 12),
        "print_2": ClipSpec("print", 302, 640, 360, _PAL, 12),
        "print_3": ClipSpec("print", 303, 480, 270, _PAL, 12),
        "signs_1": ClipSpec("signs", 401, 480, 270, _PAL, 12),
        "signs_2": ClipSpec("signs", 402, 502, 278, _NTSC, 12),
        "fabric_1": ClipSpec("fabric", 501, 426, 240, _PAL, 12),
        "fabric_2": ClipSpec("fabric", 502, 480, 270, _NTSC, 12),
        "movers_1": ClipSpec("movers", 601, 480, 270, _NTSC, 12),
        "movers_2": ClipSpec("movers", 602, 640, 360, _PAL, 12),
    }
)
"""The clips by id."""


def generate(clip_id: str, dest: Path, *, progress: Progress) -> None:
    """Compute a clip and write it as y4m, frame by frame.

    8-bit 4:2:0, BT.601 matrix, limited range, chroma sited left, BT.709 transfer by intent. The caller gives a
    partial path and renames it.

    Args:
        clip_id: A key of ``CLIPS``.
        dest: The file to write; overwritten.
        progress: Told the bytes that are written.

    Raises:
        SelectionError: There is no such clip.
    """
    if clip_id not in CLIPS:
        raise SelectionError(
            f"demo/{clip_id} is not a generated clip: {', '.join(CLIPS)}.{nearest_names(clip_id, CLIPS)}"
        )
    spec = CLIPS[clip_id]
    with progress.bar(clip_id, total=spec.size_bytes, unit="bytes") as bar, dest.open("wb") as file:
        layers = build_layers(spec)
        bar.advance(file.write(spec.header))
        for frame_index in range(spec.num_frames):
            picture = np.zeros((3, spec.height, spec.width), np.uint16)
            for layer in layers:
                layer.draw(picture, frame_index)
            planes = [plane.tobytes() for plane in to_yuv420(picture)]
            bar.advance(file.write(b"FRAME\n" + b"".join(planes)))
