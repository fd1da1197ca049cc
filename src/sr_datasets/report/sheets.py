"""Contact sheets: many rows of a set on one picture, each as LR, bicubic and HR."""

import math
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from sr_datasets.files import atomic_path
from sr_datasets.inspect import Choice, closed_sources, local_mark
from sr_datasets.inspect.measuring import bicubic_psnr_of_row
from sr_datasets.progress import Progress, Silent
from sr_datasets.report.outputs import require_output
from sr_datasets.report.pictures import enlarged, shown_of_pixels
from sr_datasets.shards.arrays import arrow_numbers
from sr_datasets.shards.schema import Pixels
from sr_datasets.shards.setplace import bringing, folder_of, shard_reader
from sr_datasets.shards.sets import read_set

_PATCH: Final = 144
"""HR patches are enlarged by a whole number until they have about this side, in pixels."""
_WIDTH: Final = 1600
_MARGIN, _GAP, _CAPTION, _HEAD = 20, 4, 38, 64
_PAPER, _INK, _SOFT, _WARN = "#ffffff", "#17212b", "#556270", "#b00020"


def evenly(numbers: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
    """Return ``count`` of the numbers, evenly spaced, all where there are fewer.

    Example:
        >>> evenly(np.arange(10), 4).tolist()
        [1, 3, 6, 8]
    """
    if len(numbers) <= count:
        return numbers
    places: npt.NDArray[np.int64] = numbers[(2 * np.arange(count) + 1) * len(numbers) // (2 * count)]
    return places


def write_sheet(choice: Choice, count: int, path: Path, *, progress: Progress | None = None) -> int:
    """Write a contact sheet of some rows as one PNG, and return how many it shows.

    Args:
        choice: The rows to take from.
        count: How many to show, evenly over the choice.
        path: The PNG to write, whole or not at all.
        progress: Where the work reports itself.

    Raises:
        ShardError: A shard is damaged, or the picture would lie in a set.
        SrDataError: The name is no PNG's.
        ValueError: No row was chosen.
    """
    numbers = evenly(choice.numbers, count)
    if not numbers.size:
        raise ValueError("there is no row to show")
    require_output(path, ".png")
    info = read_set(folder_of(choice.path))
    mark = local_mark(closed_sources(info, choice.index.take(numbers)))
    pictures = _strips(choice, numbers, progress or Silent())
    width = max(one.picture.width for one in pictures)
    height = max(one.picture.height for one in pictures)
    columns = max(1, min(len(pictures), (_WIDTH - _MARGIN) // (width + _MARGIN)))
    lines = -(-len(pictures) // columns)
    sheet = Image.new(
        "RGB",
        (
            max(columns * (width + _MARGIN) + _MARGIN, 420),
            _HEAD + lines * (height + _CAPTION + _MARGIN),
        ),
        _PAPER,
    )
    draw = ImageDraw.Draw(sheet)
    large, small = ImageFont.load_default(17), ImageFont.load_default(12)
    said = f"{info.recipe.get('id', folder_of(choice.path).name)}: {len(numbers)} of {len(choice.index)} rows"
    if choice.where:
        said += f" ({len(choice.numbers)} fit: {choice.where})"
    draw.text((_MARGIN, 10), _fitting(draw, said, large, sheet.width - 2 * _MARGIN), fill=_INK, font=large)
    below = (
        "LR | bicubic | HR"
        if any(one.keeps_lr for one in pictures)
        else "HR with its halo; the set keeps no LR"
    )
    draw.text((_MARGIN, 34), f"{below}   content {info.content_digest[:16]}", fill=_SOFT, font=small)
    if mark:
        room = draw.textlength(mark, font=small)
        draw.text((max(_MARGIN, sheet.width - _MARGIN - room), 34), mark, fill=_WARN, font=small)
    ids, splits = choice.index.column("sample_id"), choice.index.column("split")
    for place, (number, one) in enumerate(zip(numbers.tolist(), pictures, strict=True)):
        left = _MARGIN + place % columns * (width + _MARGIN)
        top = _HEAD + place // columns * (height + _CAPTION + _MARGIN)
        sheet.paste(one.picture, (left, top))
        told = splits[number].as_py()
        if not math.isnan(one.psnr):
            told += f"   bicubic {one.psnr:.2f} dB"
        caption = _fitting(draw, ids[number].as_py(), small, width)
        draw.text((left, top + height + 4), caption, fill=_INK, font=small)
        draw.text((left, top + height + 20), told, fill=_SOFT, font=small)
    with atomic_path(path) as partial:
        sheet.save(partial, format="PNG")
    return len(numbers)


@dataclass(frozen=True, slots=True, eq=False)
class _Strip:
    picture: Image.Image
    """LR, bicubic and HR of a row beside each other."""
    keeps_lr: bool
    """Whether the row keeps LR."""
    psnr: float
    """Of bicubic, in dB; not a number without LR."""


def _strips(choice: Choice, numbers: npt.NDArray[np.int64], progress: Progress) -> list[_Strip]:
    """Return the pictures of rows, of which those of one row group follow each other."""
    facts = choice.index.take(arrow_numbers(numbers)).to_pylist()
    shards = choice.index.column("shard")
    starts = {name: shards.index(name).as_py() for name in {row["shard"] for row in facts}}
    groups = [(row["shard"], row["row_group"]) for row in facts]
    found: list[_Strip] = []
    with (
        closing(bringing(choice.path, list(dict.fromkeys(groups)))) as coming,
        progress.bar("pictures", total=len(facts), unit="rows") as bar,
    ):
        for group, rows in groupby(zip(groups, numbers.tolist(), facts, strict=True), key=itemgetter(0)):
            next(coming)
            reader = shard_reader(choice.path, group[0])
            try:
                for _, number, row in rows:
                    found.append(_strip(*reader.pixels(number - starts[group[0]]), row))
                    bar.advance(1)
            finally:
                reader.close()
    return found


def _strip(lr: Pixels, hr: Pixels, facts: dict[str, Any]) -> _Strip:
    shown = shown_of_pixels(lr, hr, facts)
    zoom = max(1, _PATCH // shown.hr.shape[1])
    parts = [enlarged(shown.hr, zoom)]
    if shown.lr is not None and shown.bicubic is not None:
        parts = [enlarged(shown.lr, facts["scale"] * zoom), enlarged(shown.bicubic, zoom), *parts]
    height = max(part.shape[1] for part in parts)
    strip = Image.new("RGB", (sum(part.shape[2] + _GAP for part in parts) - _GAP, height), _PAPER)
    left = 0
    for part in parts:
        rgb = np.repeat(part, 3, axis=0) if part.shape[0] == 1 else part
        strip.paste(Image.fromarray(np.ascontiguousarray(rgb.transpose(1, 2, 0))), (left, 0))
        left += part.shape[2] + _GAP
    kind = {name: facts[name] for name in ("color", "scale", "bit_depth")}
    return _Strip(strip, shown.lr is not None, bicubic_psnr_of_row(lr, hr, **kind))


def _fitting(
    draw: ImageDraw.ImageDraw, text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, room: float
) -> str:
    """Return a text that is no wider than the room, its middle left out where it is too long."""
    while len(text) > 8 and draw.textlength(text, font=font) > room:
        middle = len(text) // 2
        text = f"{text[: middle - 2]}…{text[middle + 2 :]}"
    return text
