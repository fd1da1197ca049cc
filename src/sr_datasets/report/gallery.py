"""Which rows a page shows with their pictures, and the pictures as text that stands inside it."""

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from sr_datasets.inspect import Choice, Concern, Measures
from sr_datasets.progress import Progress
from sr_datasets.report.pictures import shown_of_pixels
from sr_datasets.shards.reader import ShardReader
from sr_datasets.shards.setplace import shard_reader

MOST_ROWS: Final = 3000
"""Rows that a page lists at most; more make a browser slow."""
ROW_BYTES: Final = 260
"""Text of a row beside its pictures and what was drawn for it, at most."""
_OF_EACH_CONCERN, _OF_EACH_END = 12, 6


@dataclass(frozen=True, slots=True)
class Pictured:
    """A row with its pictures."""

    number: int
    """Its number in the set."""
    lr: str
    """Lossless WebP as base64; empty where the set keeps no LR."""
    hr: str
    """The same of HR."""


def rows_by_worth(choice: Choice, measures: Measures, concerns: Sequence[Concern]) -> Iterator[int]:
    """Yield rows so that the first ones tell most: what warnings name, the ends of PSNR, then evenly over all.

    Wherever it is broken off, the even part is spread over the whole choice.
    """
    told: set[int] = set()
    rare = len(choice.index) / 2  # what holds for most rows is seen anyway
    psnr = measures.psnr[choice.numbers]
    finite = choice.numbers[np.argsort(np.where(np.isnan(psnr), np.inf, psnr), kind="stable")]
    known = finite[: int((~np.isnan(psnr)).sum())]
    named = [
        one.rows[choice.mask[one.rows]][:_OF_EACH_CONCERN] for one in concerns if 0 < one.rows.size < rare
    ]
    # One of each warning, then the next of each, so that little room has something of all.
    turns = [part[turn : turn + 1] for turn in range(_OF_EACH_CONCERN) for part in named]
    parts = [
        *turns,
        known[:_OF_EACH_END],
        known[-_OF_EACH_END:],
        choice.numbers[_spread(len(choice.numbers))],
    ]
    for part in parts:
        for number in part.tolist():
            if number not in told:
                told.add(number)
                yield number


def _spread(count: int) -> npt.NDArray[np.int64]:
    """Return 0..count-1 in the order of bit-reversed numbers: each beginning of it is evenly spread."""
    bits = max(1, (count - 1).bit_length())
    numbers = np.arange(1 << bits)
    turned = np.zeros_like(numbers)
    for bit in range(bits):
        turned |= ((numbers >> bit) & 1) << (bits - 1 - bit)
    order: npt.NDArray[np.int64] = turned[turned < count].astype(np.int64)
    return order


def picture_rows(choice: Choice, numbers: Iterator[int], *, room: int, progress: Progress) -> list[Pictured]:
    """Return rows with their pictures, as many as the room holds, in the order of the set.

    Args:
        choice: The set.
        numbers: Rows, the most telling first.
        room: Bytes that they may take in the page.
        progress: Where the work reports itself.

    Raises:
        ShardError: A shard is damaged.
    """
    shards = choice.index.column("shard").to_pylist()
    drawn = choice.index.column("drawn").to_pylist()
    facts = choice.index.select(["color", "bit_depth", "range", "matrix", "siting"]).to_pylist()
    starts: dict[str, int] = {}
    for number, shard in enumerate(shards):
        starts.setdefault(shard, number)
    readers: dict[str, ShardReader] = {}
    found: list[Pictured] = []
    with progress.bar("pictures", total=min(len(choice.numbers), MOST_ROWS), unit="rows") as bar:
        try:
            for number in numbers:
                shard = shards[number]
                reader = readers[shard] = readers.get(shard) or shard_reader(choice.path, shard)
                lr, hr = reader.pixels(number - starts[shard])
                shown = shown_of_pixels(lr, hr, facts[number], with_bicubic=False)
                picture = Pictured(number, _text(shown.lr) if shown.lr is not None else "", _text(shown.hr))
                room -= len(picture.lr) + len(picture.hr) + ROW_BYTES + min(len(drawn[number]) * 2, 4000)
                if room < 0 or len(found) >= MOST_ROWS:
                    break
                found.append(picture)
                bar.advance(1)
        finally:
            for reader in readers.values():
                reader.close()
    return sorted(found, key=lambda one: one.number)


def _text(planes: npt.NDArray[np.uint8]) -> str:
    """Return planes as lossless WebP in base64: a third smaller than PNG."""
    pixels = planes[0] if planes.shape[0] == 1 else np.ascontiguousarray(planes.transpose(1, 2, 0))
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, format="WEBP", lossless=True, method=3, quality=30, exact=True)
    return base64.b64encode(data.getvalue()).decode("ascii")
