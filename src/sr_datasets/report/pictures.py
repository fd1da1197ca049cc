"""Pictures for people: patches and frames side by side, as one PNG."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sr_datasets.color import PlaneLayout, split_yuv420, window
from sr_datasets.degrade import resize_bicubic_pixels
from sr_datasets.files import atomic_path
from sr_datasets.inspect import locate_row
from sr_datasets.report.outputs import require_output
from sr_datasets.shards.schema import Pixels
from sr_datasets.shards.setplace import SetPlace, shard_reader

_MARGIN = 8
_CAPTION_HEIGHT = 16


def side_by_side(pictures: Sequence[tuple[str, NDArray[np.uint8]]], path: Path, *, note: str = "") -> None:
    """Write pictures beside each other, each under its caption, as one PNG.

    Args:
        pictures: Caption and ``(1 or 3, H, W)`` uint8 planes; sizes may differ.
        path: The PNG to write, whole or not at all.
        note: A line below the pictures, such as that they are not for publication.

    Raises:
        ValueError: There is no picture.
        SrDataError: The name is no PNG's.
        ShardError: It lies in a set.
    """
    from PIL import Image, ImageDraw

    if not pictures:
        raise ValueError("there is no picture to write")
    require_output(path, ".png")
    height = max(planes.shape[1] for _, planes in pictures)
    width = sum(planes.shape[2] + _MARGIN for _, planes in pictures) - _MARGIN
    foot = _CAPTION_HEIGHT + 4 if note else 0
    sheet = Image.new("RGB", (width, height + _CAPTION_HEIGHT + foot), "white")
    draw = ImageDraw.Draw(sheet)
    left = 0
    for caption, planes in pictures:
        rgb = np.repeat(planes, 3, axis=0) if planes.shape[0] == 1 else planes
        sheet.paste(Image.fromarray(np.ascontiguousarray(rgb.transpose(1, 2, 0))), (left, _CAPTION_HEIGHT))
        draw.text((left, 2), caption, fill="black")
        left += planes.shape[2] + _MARGIN
    draw.text((0, height + _CAPTION_HEIGHT + 4), note, fill="#b00020")
    with atomic_path(path) as partial:
        sheet.save(partial, format="PNG")


def row_pictures(
    path: SetPlace, number: int, *, split: str | None = None
) -> list[tuple[str, NDArray[np.uint8]]]:
    """Return LR (enlarged), its bicubic enlargement, and HR of a row, each ``(1 or 3, H, W)`` uint8.

    Luma of limited range is stretched to full range, 4:2:0 planes become R'G'B' by the row's matrix,
    range and siting, and samples above 8 bits lose the lower ones: the pictures are for looking. Of several
    frames the centre one is shown; of a row without LR, HR alone.

    Raises:
        ShardError: There is no such row or split, or its shard is damaged.
    """
    shard, position = locate_row(path, number, split=split)
    reader = shard_reader(path, shard.name)
    try:
        facts = reader.row(position)
        lr, hr = reader.pixels(position)
    finally:
        reader.close()
    shown = shown_of_pixels(lr, hr, facts)
    scale = facts["scale"]
    # A small patch would be a stamp on a screen: enlarge all three alike.
    zoom = max(1, 240 // shown.hr.shape[1])
    if shown.lr is None or shown.bicubic is None:
        return [("HR with its halo", enlarged(shown.hr, zoom))]
    return [
        (f"LR x{scale}", enlarged(shown.lr, scale * zoom)),
        ("bicubic", enlarged(shown.bicubic, zoom)),
        ("HR", enlarged(shown.hr, zoom)),
    ]


@dataclass(frozen=True, slots=True, eq=False)
class ShownRow:
    """A row as a person sees it: 8 bits, full range, of several frames the centre one."""

    lr: NDArray[np.uint8] | None
    """``(1 or 3, h, w)``; None where the set keeps no LR."""
    bicubic: NDArray[np.uint8] | None
    """``(1 or 3, H, W)``: LR enlarged by bicubic; None without LR."""
    hr: NDArray[np.uint8]
    """``(1 or 3, H, W)``."""


def shown_of_pixels(
    lr: Pixels, hr: Pixels, facts: Mapping[str, Any], *, with_bicubic: bool = True
) -> ShownRow:
    """Return the pictures of a row, none of them enlarged for the screen.

    Args:
        lr: As a shard has it; without samples where the set keeps no LR.
        hr: As a shard has it.
        facts: The row's columns ``color``, ``bit_depth``, ``range``, ``matrix`` and ``siting``.
        with_bicubic: Whether to enlarge LR.
    """
    lr = lr[lr.shape[0] // 2] if lr.ndim == 4 else lr
    hr = hr[hr.shape[0] // 2] if hr.ndim == 4 else hr
    depth = int(facts["bit_depth"])
    if facts["color"] == "yuv420":
        hr = _rgb_of_packed(hr, facts)
        lr = _rgb_of_packed(lr, facts) if lr.size else lr
    bicubic = None
    if lr.size and with_bicubic:
        bicubic = resize_bicubic_pixels(lr, *hr.shape[1:], rounding="once", bit_depth=depth)

    def seen(planes: Pixels) -> NDArray[np.uint8]:
        shown = to_8bit(planes, depth)
        return studio_to_full(shown) if facts["color"] == "y" and facts["range"] == "limited" else shown

    return ShownRow(seen(lr) if lr.size else None, None if bicubic is None else seen(bicubic), seen(hr))


def _rgb_of_packed(packed: Pixels, facts: Mapping[str, Any]) -> Pixels:
    planes = [plane[0] for plane in split_yuv420(packed)]
    named = {name: facts[name] for name in ("siting", "matrix", "range")}
    layout = PlaneLayout("yuv", 1, 1, int(facts["bit_depth"]), **named)
    height, width = planes[0].shape
    return window(planes, layout, color="rgb", top=0, left=0, height=height, width=width)


def enlarged(planes: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Repeat each sample ``factor`` times on both axes: pixels that can be seen."""
    return planes.repeat(factor, axis=1).repeat(factor, axis=2)


def to_8bit(planes: NDArray[np.uint8 | np.uint16], bit_depth: int) -> NDArray[np.uint8]:
    """Return samples for a screen: the 8 leading bits."""
    return (planes >> max(0, bit_depth - 8)).astype(np.uint8)


def studio_to_full(luma: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Stretch limited-range luma (16..235) to the 0..255 of a grey picture."""
    return np.clip(np.rint((luma.astype(np.float64) - 16) * (255 / 219)), 0, 255).astype(np.uint8)
