"""How two sets differ: recipe, clips, rows, pixels, packages; found row by row."""

import math
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sr_datasets.inspect.difference import Comparison, PixelDifference
from sr_datasets.inspect.explaining import MISSING
from sr_datasets.inspect.rows import read_index
from sr_datasets.progress import Progress, Silent
from sr_datasets.shards.reader import ShardReader
from sr_datasets.shards.setplace import SetPlace, folder_of, shard_reader
from sr_datasets.shards.sets import SetInfo, read_set

_PLACE: Final = ("frame_indices", "top", "left")
_TAGS: Final = (
    "matrix",
    "matrix_from",
    "range",
    "range_from",
    "transfer",
    "transfer_from",
    "siting",
    "siting_from",
    "chroma_filter",
)
_SHAPE: Final = (
    "scale",
    "color",
    "bit_depth",
    "num_frames",
    "hr_num_frames",
    "channels",
    "lr_height",
    "lr_width",
    "hr_height",
    "hr_width",
)
_ASPECTS: Final[dict[str, Sequence[str]]] = {
    "split": ("split",),
    "place": _PLACE,
    "times": ("pts", "time_base"),
    "shape": _SHAPE,
    "colour": _TAGS,
    "degradation": ("degradation",),
    "draws": ("drawn",),
}
"""What two rows of one id may differ in, and the columns that tell."""


def compare_sets(a: SetPlace, b: SetPlace, *, progress: Progress | None = None) -> Comparison:
    """Compare two sets row by row; rows belong together by ``sample_id``.

    Args:
        a: Where a set lies.
        b: Where the other lies.
        progress: Where the work reports itself.

    Raises:
        ShardError: A folder is not a set, or a shard is damaged.
    """
    progress = progress or Silent()
    infos = read_set(folder_of(a)), read_set(folder_of(b))
    indices = read_index(a), read_index(b)
    ids = [index.column("sample_id").to_pylist() for index in indices]
    places = [{name: number for number, name in enumerate(names)} for names in ids]
    shared = [name for name in ids[0] if name in places[1]]
    rows = [np.array([place[name] for name in shared], np.int64) for place in places]
    aspects, examples = _aspects(
        shared, [index.take(pa.array(own)) for index, own in zip(indices, rows, strict=True)]
    )
    hr, lr = _compare_pixels((a, b), indices, rows, shared, progress)
    return Comparison(
        paths=(a, b),
        digests=(infos[0].content_digest, infos[1].content_digest),
        num_rows=(infos[0].rows, infos[1].rows),
        recipe=_differences(infos[0].recipe, infos[1].recipe),
        clips=_clips(*infos),
        only=(
            tuple(name for name in ids[0] if name not in places[1]),
            tuple(name for name in ids[1] if name not in places[0]),
        ),
        both=len(shared),
        aspects=aspects,
        examples=examples,
        hr=hr,
        lr=lr,
        packages={
            name: (infos[0].packages.get(name, MISSING), infos[1].packages.get(name, MISSING))
            for name in sorted(infos[0].packages.keys() | infos[1].packages.keys())
            if infos[0].packages.get(name) != infos[1].packages.get(name)
        },
    )


def _differences(a: object, b: object, at: str = "") -> dict[str, tuple[object, object]]:
    """Return the leaves of two JSON values that differ, by path; words for people too."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        found: dict[str, tuple[object, object]] = {}
        for name in [*a, *(name for name in b if name not in a)]:
            found |= _differences(
                a.get(name, MISSING), b.get(name, MISSING), f"{at}.{name}" if at else str(name)
            )
        return found
    return {} if a == b else {at: (a, b)}


def _clips(a: SetInfo, b: SetInfo) -> dict[str, tuple[str, str]]:
    told = [
        {f"{one.source}/{one.clip}": f"{one.split}, {one.sha256[:12]}" for one in info.inputs}
        for info in (a, b)
    ]
    names = dict.fromkeys([*told[0], *told[1]])
    return {
        name: (told[0].get(name, ""), told[1].get(name, ""))
        for name in names
        if told[0].get(name) != told[1].get(name)
    }


def _aspects(
    shared: Sequence[str], tables: Sequence[pa.Table]
) -> tuple[dict[str, tuple[int, str]], dict[str, tuple[object, object]]]:
    found: dict[str, tuple[int, str]] = {}
    examples: dict[str, tuple[object, object]] = {}
    stored = set(tables[0].column_names) & set(tables[1].column_names)
    for aspect, wanted in _ASPECTS.items():
        columns = [name for name in wanted if name in stored]  # sets of older versions lack some
        pairs = [
            list(zip(*(table.column(name).to_pylist() for name in columns), strict=True)) for table in tables
        ]
        other = [number for number, (one, two) in enumerate(zip(*pairs, strict=True)) if one != two]
        if other:
            first = other[0]
            found[aspect] = (len(other), shared[first])
            one, two = (
                {
                    name: value
                    for name, value, counter in zip(columns, pair[first], against[first], strict=True)
                    if value != counter
                }
                for pair, against in (pairs, pairs[::-1])
            )
            examples[aspect] = (one, two) if len(columns) > 1 else (*one.values(), *two.values())
    return found, examples


class _Sum:
    """Differences of the samples of rows, added up as whole numbers."""

    def __init__(self) -> None:
        self.rows = self.compared = self.samples = self.of_samples = self.largest = self.squares = 0
        self.peak = 255
        self.first = ""

    def add(self, name: str, one: npt.NDArray[Any], two: npt.NDArray[Any], bit_depth: int) -> None:
        if one.shape != two.shape or not one.size:
            return
        self.compared += 1
        if np.array_equal(one, two):
            return
        error = one.astype(np.int64) - two
        self.rows += 1
        self.samples += int(np.count_nonzero(error))
        self.of_samples += error.size
        self.largest = max(self.largest, int(np.abs(error).max()))
        self.squares += int((error * error).sum())
        self.peak = max(self.peak, (1 << bit_depth) - 1)
        self.first = self.first or name

    def result(self) -> PixelDifference:
        psnr = (
            round(10 * math.log10(self.peak * self.peak * self.of_samples / self.squares), 3)
            if self.squares
            else math.inf
        )
        return PixelDifference(
            self.rows, self.compared, self.samples, self.of_samples, self.largest, psnr, self.first
        )


class _Rows:
    """Pixels of a set's rows by number, one shard open at a time."""

    def __init__(self, path: SetPlace, index: pa.Table) -> None:
        self._path = path
        self._shards = index.column("shard").to_pylist()
        self._starts: dict[str, int] = {}
        for number, shard in enumerate(self._shards):
            self._starts.setdefault(shard, number)
        self._reader: ShardReader | None = None

    def pixels(self, number: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        shard = self._shards[number]
        if self._reader is None or self._reader.path.name != shard:
            self.close()
            self._reader = shard_reader(self._path, shard)
        return self._reader.pixels(number - self._starts[shard])

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()


def _compare_pixels(
    paths: tuple[SetPlace, SetPlace],
    indices: Sequence[pa.Table],
    rows: Sequence[npt.NDArray[np.int64]],
    shared: Sequence[str],
    progress: Progress,
) -> tuple[PixelDifference, PixelDifference]:
    hr, lr = _Sum(), _Sum()
    depths = indices[0].column("bit_depth").to_pylist()
    with (
        closing(_Rows(paths[0], indices[0])) as one,
        closing(_Rows(paths[1], indices[1])) as two,
        progress.bar("comparing rows", total=len(shared), unit="rows") as bar,
    ):
        for name, a, b in zip(shared, rows[0].tolist(), rows[1].tolist(), strict=True):
            (lr_a, hr_a), (lr_b, hr_b) = one.pixels(a), two.pixels(b)
            hr.add(name, hr_a, hr_b, depths[a])
            lr.add(name, lr_a, lr_b, depths[a])
            bar.advance(1)
    return hr.result(), lr.result()
