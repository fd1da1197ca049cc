"""Contact sheets: many rows of a set on one picture, each as LR, bicubic and HR."""

from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from sr_datasets.files import atomic_path
from sr_datasets.inspect import Choice, closed_sources, local_mark, measure_set
from sr_datasets.progress import Progress
from sr_datasets.report.pictures import enlarged, shown_of_pixels
from sr_datasets.shards.reader import ShardReader
from sr_datasets.shards.sets import DATA_DIR, read_set

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
        ShardError: A shard is damaged.
        ValueError: No row was chosen.
    """
    numbers = evenly(choice.numbers, count)
    if not numbers.size:
        raise ValueError("there is no row to show")
    info = read_set(choice.path)
    mark = local_mark(closed_sources(info, choice.index.take(numbers)))
    psnr = measure_set(choice.path, progress=progress).psnr
    pictures = [_strip(choice, int(number)) for number in numbers]
    width = max(strip.width for strip, _ in pictures)
    height = max(strip.height for strip, _ in pictures)
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
    said = f"{info.recipe.get('id', choice.path.name)}: {len(numbers)} of {len(choice.index)} rows"
    if choice.where:
        said += f" ({len(choice.numbers)} fit: {choice.where})"
    draw.text((_MARGIN, 10), _fitting(draw, said, large, sheet.width - 2 * _MARGIN), fill=_INK, font=large)
    below = (
        "LR | bicubic | HR" if any(kept for _, kept in pictures) else "HR with its halo; the set keeps no LR"
    )
    draw.text((_MARGIN, 34), f"{below}   content {info.content_digest[:16]}", fill=_SOFT, font=small)
    if mark:
        room = draw.textlength(mark, font=small)
        draw.text((max(_MARGIN, sheet.width - _MARGIN - room), 34), mark, fill=_WARN, font=small)
    ids, splits = choice.index.column("sample_id"), choice.index.column("split")
    for place, (number, (strip, _)) in enumerate(zip(numbers.tolist(), pictures, strict=True)):
        left = _MARGIN + place % columns * (width + _MARGIN)
        top = _HEAD + place // columns * (height + _CAPTION + _MARGIN)
        sheet.paste(strip, (left, top))
        told = splits[number].as_py()
        if not np.isnan(psnr[number]):
            told += f"   bicubic {psnr[number]:.2f} dB"
        caption = _fitting(draw, ids[number].as_py(), small, width)
        draw.text((left, top + height + 4), caption, fill=_INK, font=small)
        draw.text((left, top + height + 20), told, fill=_SOFT, font=small)
    with atomic_path(path) as partial:
        sheet.save(partial, format="PNG")
    return len(numbers)


def _strip(choice: Choice, number: int) -> tuple[Image.Image, bool]:
    """Return LR, bicubic and HR of a row beside each other, and whether it keeps LR."""
    shards = choice.index.column("shard")
    shard = shards[number].as_py()
    reader = ShardReader(choice.path / DATA_DIR / shard)
    try:
        lr, hr = reader.pixels(number - shards.index(shard).as_py())
    finally:
        reader.close()
    facts = choice.index.slice(number, 1).to_pylist()[0]
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
    return strip, shown.lr is not None


def _fitting(
    draw: ImageDraw.ImageDraw, text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, room: float
) -> str:
    """Return a text that is no wider than the room, its middle left out where it is too long."""
    while len(text) > 8 and draw.textlength(text, font=font) > room:
        middle = len(text) // 2
        text = f"{text[: middle - 2]}…{text[middle + 2 :]}"
    return text
