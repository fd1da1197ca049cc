"""Makes every LR of a set again and compares it, bit for bit, with what the shards hold."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from sr_datasets import catalog
from sr_datasets.build.cutting import iter_groups
from sr_datasets.build.packages import packages_of
from sr_datasets.build.planning import PairPlan, some
from sr_datasets.build.provided import with_lr
from sr_datasets.degrade import Degrader, Region, cut, halo
from sr_datasets.errors import ShardError, StoreError
from sr_datasets.progress import Progress, Silent
from sr_datasets.recipe import Recipe
from sr_datasets.recipe.given import NoLr, Provided
from sr_datasets.shards.reader import ShardReader
from sr_datasets.shards.schema import PIXEL_COLUMNS, Pixels, Row
from sr_datasets.shards.sets import DATA_DIR, InputInfo, read_set
from sr_datasets.shards.verify import verify_set
from sr_datasets.store import Store

_COMPARED = ("sample_id", "frame_indices", "pts", "top", "left", "drawn", "degradation")
_MOST_LISTED = 10


@dataclass(slots=True)
class RederiveReport:
    """How the rows of a set came out when they were made again."""

    from_source: int = 0
    """Rows made again from the clip: plan, HR, LR and draws."""
    from_hr: int = 0
    """Rows of which the clip is not here: the part of LR that the stored HR determines was made again."""
    unknown: int = 0
    """Rows of which the clip is not here, and whose LR the stored HR does not determine."""
    different: list[str] = field(default_factory=list)
    """One line for each row that came out otherwise: which, and what differs."""
    other_packages: list[str] = field(default_factory=list)
    """Packages and encoders that are of another version than those that made the set."""
    damaged: list[str] = field(default_factory=list)
    """What is wrong with the set's files, as ``sr-data inspect --verify`` says it."""
    missing_clips: list[str] = field(default_factory=list)
    """Clips that are not in the store, or there with other bytes."""

    @property
    def ok(self) -> bool:
        """Whether the set is whole, something could be made again, and all of that is equal."""
        return not self.different and not self.damaged and self.from_source + self.from_hr > 0

    def to_json(self) -> dict[str, object]:
        """Return the report as plain JSON values."""
        return {
            "equal": self.ok,
            "rows_from_source": self.from_source,
            "rows_from_stored_hr": self.from_hr,
            "rows_unknown": self.unknown,
            "different": self.different,
            "other_packages": self.other_packages,
            "missing_clips": self.missing_clips,
            "damaged": self.damaged,
        }

    def to_text(self) -> str:
        """Return the report as text."""
        lines = [f"made again from the clips: {self.from_source} rows"]
        if self.missing_clips:
            lines.append(f"clips that are not here with these bytes: {some(self.missing_clips)}")
        if self.from_hr:
            lines.append(
                f"made again from the stored HR, as much of LR as that determines: {self.from_hr} rows"
            )
        if self.unknown:
            lines.append(f"not made again, since their LR needs the clip: {self.unknown} rows")
        if not self.from_source + self.from_hr:
            lines.append("nothing was compared: bring the clips in with sr-data fetch, or name their --store")
            return "\n".join(lines)
        if self.damaged and not self.different:
            lines += [
                "every sample that was made again is equal, but the set is damaged:",
                *self.damaged[:_MOST_LISTED],
            ]
            return "\n".join(lines)
        if self.ok:
            lines.append("every sample that was made again is equal")
            return "\n".join(lines)
        lines.append(f"{len(self.different)} rows differ:")
        lines += [f"  {line}" for line in self.different[:_MOST_LISTED]]
        if len(self.different) > _MOST_LISTED:
            lines.append(f"  and {len(self.different) - _MOST_LISTED} more")
        if self.other_packages:
            what = (
                "another encoder"
                if any("encoder" in one for one in self.other_packages)
                else "other software"
            )
            lines.append(f"The set was made with {what}, which may be why:")
            lines += [f"  {line}" for line in self.other_packages]
        else:
            lines.append("The software is the same, so the shards or the clips were altered.")
        return "\n".join(lines)


def rederive_set(path: Path, *, store: Store, progress: Progress | None = None) -> RederiveReport:
    """Make every LR of a set again from its clips, or what the stored HR determines where a clip is not here.

    LR is a pure function of HR, the degradation and the key of its row. From the stored HR alone that holds for the
    interior of LR, ``ceil(halo / scale)`` samples in, where a degradation sees a window and draws nothing, and for
    all of LR where the drawn crop is degraded.

    Raises:
        ShardError: The folder is no set, a shard cannot be read, or this version does not know a part of its recipe.
        DecodeError: A clip cannot be read.
    """
    progress = progress or Silent()
    info = read_set(path)
    try:
        recipe = Recipe.model_validate(info.recipe)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ShardError(
            f"{path}: its recipe cannot be followed by this version: {'.'.join(map(str, first['loc']))}: {first['msg']}. "
            f"It was built by sr-datasets {info.packages.get('sr-datasets', 'of another version')}: use that."
        ) from error
    report = RederiveReport(damaged=verify_set(path))
    here = packages_of(recipe)
    report.other_packages = [
        f"{name}: {there}, here {here.get(name, 'none')}"
        for name, there in info.packages.items()
        if here.get(name) != there
    ]
    inputs = {(clip.source, clip.clip): clip for clip in info.inputs}
    with progress.bar("making LR again", total=info.rows, unit="rows") as bar:
        for shard in info.shards:
            with closing(ShardReader(path / DATA_DIR / shard.name)) as reader:
                for source, clip, numbers in _runs(reader):
                    pair = _pair_of(recipe, inputs[source, clip], store)
                    if pair is None:
                        if f"{source}/{clip}" not in report.missing_clips:
                            report.missing_clips.append(f"{source}/{clip}")
                        _from_hr(recipe, reader, numbers, report)
                    else:
                        _from_source(recipe, pair, store, reader, numbers, report)
                    bar.advance(len(numbers))
    return report


def _runs(reader: ShardReader) -> Iterator[tuple[str, str, range]]:
    """Yield source, clip and row numbers of each pair of a shard; a large one has several row groups."""
    start, current = 0, None
    for group in range(reader.num_groups):
        first, _ = reader.rows_of(group)
        facts = reader.row(first)
        name = str(facts["source"]), str(facts["clip"])
        if current is not None and name != current:
            yield *current, range(start, first)
            start = first
        current = name
    if current is not None:
        yield *current, range(start, reader.num_rows)


def _pair_of(recipe: Recipe, clip: InputInfo, store: Store) -> PairPlan | None:
    record = store.find(clip.source, clip.clip)
    if record is None or record.sha256 != clip.sha256:
        return None
    try:
        store.check(record)
    except StoreError:
        return None
    (selected,) = catalog.select(
        [f"{clip.source}/{clip.clip}"], imported=catalog.imported_clips(store.records())
    )
    pair = PairPlan(selected.clip, record, clip.split, num_rows=0)
    if clip.lr is None:
        return pair
    small = store.find(clip.lr.source, clip.lr.clip)
    if small is None or small.sha256 != clip.lr.sha256:
        return None
    try:
        (pair,) = with_lr(recipe, [pair], store)
    except StoreError:
        return None
    return pair


def _from_source(
    recipe: Recipe, pair: PairPlan, store: Store, reader: ShardReader, numbers: range, report: RederiveReport
) -> None:
    again = (row for rows in iter_groups(recipe, pair, store) for row in rows)
    for number, made in zip_longest(numbers, again):
        if number is None or made is None:
            report.different.append(
                f"{pair.name}: the shard has {len(numbers)} rows, the plan another number"
            )
            return
        stored = reader.read_row(number)
        report.from_source += 1
        problems = [name for name in _COMPARED if getattr(made, name) != getattr(stored, name)]
        problems += [
            f"{name} ({_difference(getattr(stored, name), getattr(made, name))})"
            for name in PIXEL_COLUMNS
            if not np.array_equal(getattr(stored, name), getattr(made, name))
        ]
        if problems:
            report.different.append(f"{stored.sample_id}: {', '.join(problems)}")


def _from_hr(recipe: Recipe, reader: ShardReader, numbers: range, report: RederiveReport) -> None:
    for number in numbers:
        stored = reader.read_row(number)
        made = _lr_of_hr(recipe, stored)
        if made is None:
            report.unknown += 1
            continue
        report.from_hr += 1
        for number_in_row, region, lr in made:
            part = _part(recipe, stored, number_in_row, region)
            if not np.array_equal(part, lr):
                report.different.append(f"{stored.sample_id}: lr ({_difference(part, lr)})")
                break


def _lr_of_hr(recipe: Recipe, row: Row) -> list[tuple[int, Region, Pixels]] | None:
    """Return what the stored HR determines of LR: of which frame, where in the LR frame, and its pixels; None for nothing."""
    if isinstance(recipe.degradation, Provided | NoLr):
        return None
    degrader = Degrader(recipe.degradation, recipe.scale, bit_depth=row.bit_depth, color=recipe.color)
    num_frames, hr_frames = len(row.frame_indices), row.hr if row.hr.ndim == 4 else row.hr[np.newaxis]
    if degrader.scope not in ("window", "crop"):
        return None
    if degrader.scope == "crop" and len(hr_frames) < num_frames:
        return None  # its frames are degraded together, and not all are here
    inset = 0
    if degrader.scope == "window":
        if degrader.draws and not row.frame_height:
            return None  # noise goes by the place in the frame, whose size early sets do not say
        inset = -(-halo(recipe.degradation, recipe.scale) // recipe.scale)
        inset += inset % 2 if recipe.color == "yuv420" else 0
    size = recipe.sampling.lr_size
    if size <= 2 * inset:
        return None
    lr = Region(row.top + inset, row.left + inset, size - 2 * inset, size - 2 * inset)
    hr = Region(row.top, row.left, size, size).times(recipe.scale)
    # Where the size is not known: far from the frame's border, wherever that is.
    far = (hr.bottom + hr.right + (1 << 20)) * 2 * recipe.scale
    frame = {"height": row.frame_height or far, "width": row.frame_width or far}
    key = (recipe.seed, row.source, row.clip, row.row)
    places = range(num_frames) if len(hr_frames) == num_frames else [num_frames // 2]
    numbers = [row.frame_indices[place] for place in places]
    if degrader.scope == "crop":
        made, _ = degrader.degrade(list(hr_frames), at=hr, **frame, lr=lr, key=key, numbers=numbers)
    else:  # one by one, as in a build
        made = [
            degrader.degrade([pixels], at=hr, **frame, lr=lr, key=key, numbers=[number])[0][0]
            for pixels, number in zip(hr_frames, numbers, strict=True)
        ]
    return [(place, lr, pixels) for place, pixels in zip(places, made, strict=True)]


def _part(recipe: Recipe, row: Row, number: int, region: Region) -> Pixels:
    size = recipe.sampling.lr_size
    frame = row.lr[number] if row.lr.ndim == 4 else row.lr
    return cut(frame, Region(row.top, row.left, size, size), region, color=recipe.color)


def _difference(stored: Pixels, made: Pixels) -> str:
    if stored.shape != made.shape or stored.dtype != made.dtype:
        return f"{stored.shape} {stored.dtype}, made again {made.shape} {made.dtype}"
    apart = np.abs(stored.astype(np.int64) - made.astype(np.int64))
    return f"{np.count_nonzero(apart)} of {apart.size} samples, at most {apart.max()} apart"
