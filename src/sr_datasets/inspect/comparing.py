"""How two sets differ: recipe, clips, rows, pixels, packages; and in one sentence why a PSNR may have changed."""

import json
import math
import textwrap
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sr_datasets.inspect.rows import read_index
from sr_datasets.progress import Progress, Silent
from sr_datasets.shards.reader import ShardReader
from sr_datasets.shards.sets import DATA_DIR, SetInfo, read_set

_WORDS: Final = ("id", "title", "description", "format")
"""Fields of a recipe that decide no pixel."""
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

_MISSING = "(not there)"


@dataclass(frozen=True, slots=True)
class PixelDifference:
    """How the HR, or the LR, of rows that both sets have differs."""

    rows: int
    """Rows with any other sample."""
    compared: int
    """Rows of the same shape in both."""
    samples: int
    """Samples that differ."""
    of_samples: int
    """Samples of the rows that differ."""
    largest: int
    """Largest absolute difference of two samples."""
    psnr: float
    """dB between both over the rows that differ; infinite when none does."""
    first: str
    """Id of the first row that differs; empty when none does."""

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {
            "rows": self.rows,
            "compared": self.compared,
            "samples": self.samples,
            "of_samples": self.of_samples,
            "largest": self.largest,
            "psnr": None if math.isinf(self.psnr) else round(self.psnr, 3),
            "first": self.first,
        }


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """What differs between two sets, A and B."""

    paths: tuple[Path, Path]
    """Their folders."""
    digests: tuple[str, str]
    """Their content digests."""
    num_rows: tuple[int, int]
    """Rows of each."""
    recipe: dict[str, tuple[object, object]]
    """Fields of the recipe that differ, by path such as ``degradation.kind``."""
    clips: dict[str, tuple[str, str]]
    """Clips that differ: ``source/clip``, and what each set has: a split and digest, or nothing."""
    only: tuple[tuple[str, ...], tuple[str, ...]]
    """Ids of rows that only A has, and only B."""
    both: int
    """Rows that both have."""
    aspects: dict[str, tuple[int, str]]
    """Of those, how many differ in an aspect (``split``, ``place``, ``colour`` ...), and the first one's id."""
    examples: dict[str, tuple[object, object]]
    """For each aspect what A and B have in the first row."""
    hr: PixelDifference
    """How HR differs."""
    lr: PixelDifference
    """How LR differs."""
    packages: dict[str, tuple[str, str]]
    """Packages of other versions."""

    @property
    def equal(self) -> bool:
        """Whether both have the same rows with the same facts and the same pixels, whatever made them."""
        return not (any(self.only) or self.aspects or self.hr.rows or self.lr.rows)

    @property
    def sentence(self) -> str:
        """Why a PSNR may have changed, in one plain sentence."""
        return _sentence(self)

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as plain JSON values."""
        return {
            "paths": [str(path) for path in self.paths],
            "content_digests": list(self.digests),
            "rows": list(self.num_rows),
            "equal": self.equal,
            "sentence": self.sentence,
            "recipe": {name: list(values) for name, values in self.recipe.items()},
            "clips": {name: list(values) for name, values in self.clips.items()},
            "only_in_a": list(self.only[0]),
            "only_in_b": list(self.only[1]),
            "in_both": self.both,
            "differ": {
                name: {
                    "rows": count,
                    "first": first,
                    "a": self.examples[name][0],
                    "b": self.examples[name][1],
                }
                for name, (count, first) in self.aspects.items()
            },
            "hr": self.hr.to_json(),
            "lr": self.lr.to_json(),
            "packages": {name: list(values) for name, values in self.packages.items()},
        }

    def to_text(self) -> str:
        """Return the comparison as text of at most 80 columns where names allow it."""
        lines = [
            _wrapped("A", f"{self.paths[0]}: {self.num_rows[0]} rows, content {self.digests[0][:16]}"),
            _wrapped("B", f"{self.paths[1]}: {self.num_rows[1]} rows, content {self.digests[1][:16]}"),
        ]
        lines += _section(
            "recipe", [f"{name}: {_short(a)} -> {_short(b)}" for name, (a, b) in self.recipe.items()]
        )
        lines += _section(
            "clips", [f"{name}: {a or _MISSING} -> {b or _MISSING}" for name, (a, b) in self.clips.items()]
        )
        rows = [f"{self.both} in both, {len(self.only[0])} only in A, {len(self.only[1])} only in B"]
        for side, ids in zip("AB", self.only, strict=True):
            if ids:
                rows.append(f"only in {side}: {', '.join(ids[:3])}{' ...' if len(ids) > 3 else ''}")
        for name, (count, first) in self.aspects.items():
            a, b = self.examples[name]
            rows.append(f"other {name} in {count} rows, such as {first}: {_short(a)} -> {_short(b)}")
        lines += _section("rows", rows)
        lines += _section(
            "pixels", [f"{name}: {_pixels(found)}" for name, found in (("HR", self.hr), ("LR", self.lr))]
        )
        lines += _section("packages", [f"{name}: {a} -> {b}" for name, (a, b) in self.packages.items()])
        return "\n".join([*lines, "", textwrap.fill(self.sentence, 80, break_long_words=False)])


def _wrapped(label: str, text: str) -> str:
    return textwrap.fill(
        f"{label:10}{text}", 80, subsequent_indent=" " * 12, break_long_words=False, break_on_hyphens=False
    )


def _section(label: str, facts: Sequence[str], *, most: int = 12) -> list[str]:
    if not facts:
        return [_wrapped(label, "no difference")]
    shown = list(facts[:most])
    if len(facts) > most:
        shown.append(f"and {len(facts) - most} more (--json shows all)")
    return [_wrapped(label if not number else "", fact) for number, fact in enumerate(shown)]


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 120 else text[:117] + "..."


def _pixels(found: PixelDifference) -> str:
    if not found.compared:
        return "nothing to compare: no row of one shape in both"
    if not found.rows:
        return f"equal in all {found.compared} rows"
    share = found.samples / found.of_samples
    return (
        f"{found.rows} of {found.compared} rows differ, in {found.samples} samples of theirs ({share:.1%}), by at most "
        f"{found.largest}; PSNR between them {found.psnr:.2f} dB; first {found.first}"
    )


def compare_sets(a: Path, b: Path, *, progress: Progress | None = None) -> Comparison:
    """Compare two sets row by row; rows belong together by ``sample_id``.

    Args:
        a: Folder of a set.
        b: Folder of the other.
        progress: Where the work reports itself.

    Raises:
        ShardError: A folder is not a set, or a shard is damaged.
    """
    progress = progress or Silent()
    infos = read_set(a), read_set(b)
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
            name: (infos[0].packages.get(name, _MISSING), infos[1].packages.get(name, _MISSING))
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
                a.get(name, _MISSING), b.get(name, _MISSING), f"{at}.{name}" if at else str(name)
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

    def __init__(self, path: Path, index: pa.Table) -> None:
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
            self._reader = ShardReader(self._path / DATA_DIR / shard)
        return self._reader.pixels(number - self._starts[shard])

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()


def _compare_pixels(
    paths: tuple[Path, Path],
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


def _sentence(found: Comparison) -> str:
    """Name the strongest reason first: other rows, then other HR, then other LR; what made them where it is known."""
    causes = {name: values for name, values in found.recipe.items() if name.split(".")[0] not in _WORDS}
    if found.equal:
        other = " (recipe or packages differ, yet nothing came of it)" if causes or found.packages else ""
        return (
            f"Both sets hold the same rows with the same pixels{other}: if your PSNR changed, the reason lies outside "
            "of them, in training, in its seed or in the protocol of the measurement."
        )
    if not found.both:
        return f"The sets share no row{_because(causes)}: a PSNR of one says nothing about the other."
    if "shape" in found.aspects:
        one, two = (_words(side) for side in found.examples["shape"])
        return (
            f"Your PSNR changed since patches are of another kind ({one} in A, {two} in B){_because(causes)}."
        )
    if "split" in found.aspects:
        count, _ = found.aspects["split"]
        return (
            f"Your PSNR changed since {count} rows lie in another split{_because(causes, 'split', 'seed')}: training "
            "and measuring saw other pictures."
        )
    changed = [name for name, (one, two) in found.clips.items() if one and two]
    if found.hr.rows and changed:
        return (
            f"Your PSNR changed since {len(changed)} clip{'' if len(changed) == 1 else 's'} ({changed[0]}"
            f"{' and others' if len(changed) > 1 else ''}) had other bytes: HR itself differs in {found.hr.rows} rows."
        )
    if "place" in found.aspects:
        count, _ = found.aspects["place"]
        return (
            f"Your PSNR changed since {count} rows were cut elsewhere, at another frame or position"
            f"{_because(causes, 'sampling', 'seed')}."
        )
    if found.hr.rows:
        return (
            f"Your PSNR changed since HR itself differs in {found.hr.rows} of {found.both} rows (PSNR between both "
            f"{found.hr.psnr:.1f} dB){_because(causes, 'color', 'rgb_from_yuv', 'hr', packages=found.packages)}: the "
            "target is another one."
        )
    if found.lr.rows:
        return (
            f"Your PSNR changed since the same HR got another LR in {found.lr.rows} of {found.both} rows "
            f"({found.lr.psnr:.1f} dB between them){_because(causes, 'degradation', 'seed', packages=found.packages)}: "
            "a network that learnt one is measured on the other."
        )
    if any(found.only):
        gone, new = map(len, found.only)
        return (
            f"The {found.both} rows of both sets are the same; A has {gone} more that B lacks, B {new} that A lacks"
            f"{_because(causes)}: your PSNR may have changed since it is the mean of other rows, or learnt from them."
        )
    names = ", ".join(found.aspects)
    return (
        f"Pixels are the same and only what rows say of themselves differs ({names}): your PSNR did not change because "
        "of the sets."
    )


def _words(side: object) -> str:
    return (
        ", ".join(f"{name} {value}" for name, value in side.items()) if isinstance(side, dict) else str(side)
    )


def _because(
    causes: Mapping[str, tuple[object, object]],
    *rooms: str,
    packages: Mapping[str, tuple[str, str]] | None = None,
) -> str:
    """Say which recipe fields account for it: those of the rooms that it depends on first."""
    likely = [name for name in causes if not rooms or name.split(".")[0] in rooms]
    kinds = {name.split(".")[0] for name in likely if name.endswith(".kind")}
    likely = [name for name in likely if name.endswith(".kind") or name.split(".")[0] not in kinds]
    # A field that one set does not have says little: it may be younger than the set.
    likely.sort(
        key=lambda name: (
            _MISSING in causes[name],
            rooms.index(name.split(".")[0]) if rooms else 0,
        )
    )
    if likely:
        told = [
            f"{name} is {_short(causes[name][0])} in A and {_short(causes[name][1])} in B"
            for name in likely[:2]
        ]
        return f", because {' and '.join(told)}"
    if packages:
        name, (one, two) = next(iter(packages.items()))
        return f", though the recipe says the same: {name} was {one} and is {two}"
    return ""
