"""The plan of a build as values: which rows of which clip, and which clips of which shard."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, Literal, TypeVar, assert_never

from sr_datasets.build.frames import hr_depth, hr_size
from sr_datasets.build.scenes import analysis_name
from sr_datasets.color import check_yuv420
from sr_datasets.errors import BuildError
from sr_datasets.manifest import Clip
from sr_datasets.recipe import Recipe
from sr_datasets.recipe.given import NoLr
from sr_datasets.recipe.sampling import (
    GridSampling,
    StratifiedSampling,
    TexturedSampling,
    TilesSampling,
    UniformSampling,
)
from sr_datasets.sampling import (
    Analysis,
    ClipSize,
    FirstDraws,
    Patch,
    RowPlan,
    Space,
    Spacing,
    chunked,
    digest_of,
    first_draws,
    grid_rows,
    patches_of_frame,
    stratified_rows,
    tile_rows,
    uniform_rows,
)
from sr_datasets.shards.sets import (
    DATA_DIR,
    shard_name,
)
from sr_datasets.store import ClipRecord, Store

_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class LrClip:
    """The publisher's own LR of a clip."""

    clip: Clip
    """What the manifest says of it."""
    record: ClipRecord
    """What the store knows of it."""

    @property
    def name(self) -> str:
        """As commands name it."""
        return f"{self.record.source}/{self.record.clip}"


@dataclass(frozen=True, slots=True)
class PairPlan:
    """One clip, the split that it belongs to, and how many rows it gives."""

    clip: Clip
    """What the manifest says of the clip."""
    record: ClipRecord
    """What the store knows of it."""
    split: str
    """Where all of its rows go."""
    num_rows: int
    """Patch pairs; 0 for a clip of another part, whose rows are not counted here."""
    lr: LrClip | None = None
    """Its provided LR, where the recipe takes that."""

    @property
    def name(self) -> str:
        """Its clip as commands name it: ``xiph/akiyo_cif``."""
        return f"{self.record.source}/{self.record.clip}"

    @property
    def made_of(self) -> str:
        """SHA-256 of the clip's bytes, and behind a plus that of its provided LR."""
        return self.record.sha256 + (f"+{self.lr.record.sha256}" if self.lr is not None else "")


@dataclass(frozen=True, slots=True)
class Part:
    """Some of a set's shards: every ``count``-th, from the ``number``-th on."""

    number: int
    """Which part, from 1."""
    count: int
    """Into how many parts the set is divided."""

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise ValueError(f"part {self} does not exist: parts are 1/N to N/N")

    def __str__(self) -> str:
        """Return it as commands name it: ``2/8``."""
        return f"{self.number}/{self.count}"

    @classmethod
    def parse(cls, text: str) -> "Part":
        """Read what ``str`` returns.

        Raises:
            ValueError: It is no part.
        """
        number, slash, count = text.partition("/")
        if not (slash and text.isascii() and number.isdecimal() and count.isdecimal()):
            raise ValueError(f"{text!r} is no part: write I/N, such as 2/8")
        return cls(int(number), int(count))

    def of(self, items: Sequence[_Item]) -> list[_Item]:
        """Return this part of a list."""
        return list(items[self.number - 1 :: self.count])


WHOLE: Final = Part(1, 1)
"""All of a set's shards."""


@dataclass(frozen=True, slots=True)
class ShardTask:
    """Everything that one shard is made of; small, so that it can be sent to a worker."""

    name: str
    """File name, ``train-00000-of-00013.parquet``."""
    split: str
    """The split of all of its clips."""
    pairs: tuple[PairPlan, ...]
    """Its clips, in order."""
    recipe: Recipe
    """The whole recipe."""
    out_dir: Path
    """The set's folder."""
    store_root: Path
    """The data folder."""
    on_error: Literal["fail", "skip"] = "fail"
    """What a clip that cannot be read does: end the task, or be left out."""
    clip_seconds: float | None = None
    """Longest time that a clip may take, and then counts as one that cannot be read; None for any."""

    @property
    def path(self) -> Path:
        """Where the shard lies when it is whole."""
        return self.out_dir / DATA_DIR / self.name

    @property
    def num_rows(self) -> int:
        """Patch pairs of all clips."""
        return sum(pair.num_rows for pair in self.pairs)

    def digest(self) -> str:
        """Return what the shard is made of, as a hash: recipe, name, the bytes of each clip, and which analysis."""
        inputs = [(pair.record.source, pair.record.clip, pair.made_of) for pair in self.pairs]
        return plan_digest(self.recipe.model_dump_json(), self.name, inputs, self.analysis)

    @property
    def analysis(self) -> str:
        """Which analysis its rows depend on (``analysis_name``); empty for none."""
        return analysis_name(self.recipe.sampling)


def plan_digest(
    recipe_json: str, name: str, inputs: Iterable[tuple[str, str, str]], analysis: str = ""
) -> str:
    """Return what a shard is made of, as a hash.

    Args:
        recipe_json: The whole recipe.
        name: File name of the shard.
        inputs: Source, clip and SHA-256 of each of its clips, in order.
        analysis: Which analysis its rows depend on; empty for none.
    """
    made_of = [part for clip in inputs for part in clip]
    return digest_of("shard-1", recipe_json, name, *made_of, *([analysis] if analysis else ())).hex()


def plan_rows(recipe: Recipe, record: ClipRecord, analysis: Analysis | None = None) -> tuple[RowPlan, ...]:
    """Return which patches of a clip become rows.

    Args:
        recipe: What is built.
        record: The clip.
        analysis: What its pictures are like; needed where ``recipe.sampling.needs_analysis``.

    Raises:
        BuildError: The clip is too small or too short for the recipe, has fewer fitting patches than it asks for, has
            no planes for its colour, or samples that its storage cannot hold.
    """
    with _refusing(recipe, record):
        return _rows(recipe, _space(recipe, record, analysis))


def plan_many(recipe: Recipe, records: Iterable[ClipRecord]) -> Iterator[tuple[RowPlan, ...]]:
    """Yield what ``plan_rows`` returns for each of many clips, drawn for some thousand rows at once.

    Args:
        recipe: What is built; its sampling needs no analysis.
        records: The clips.

    Raises:
        BuildError: As ``plan_rows``, when it is that clip's turn.
    """
    sampling = recipe.sampling
    if not isinstance(sampling, UniformSampling):
        yield from (plan_rows(recipe, record) for record in records)
        return
    left, count = iter(records), sampling.patches_per_pair
    while batch := list(islice(left, max(1, _ROWS_AT_ONCE // count))):
        spaces: list[Space] = []
        for record in batch:
            try:
                with _refusing(recipe, record):
                    spaces.append(_space(recipe, record, None))
            except BuildError:
                break  # plan_rows says it again, behind the clips before
        drawn = first_draws(spaces, count=count, seed=recipe.seed) if spaces else []
        for record, space, first in zip(batch, spaces, drawn, strict=False):
            with _refusing(recipe, record):
                rows = _rows(recipe, space, first)
            yield rows
        yield from (plan_rows(recipe, record) for record in batch[len(spaces) :])


_ROWS_AT_ONCE = 8192


@contextmanager
def _refusing(recipe: Recipe, record: ClipRecord) -> Iterator[None]:
    """Say which clip is refused, and what to do."""
    try:
        yield
    except ValueError as error:
        raise BuildError(
            f"{record.source}/{record.clip} {error}. Leave the clip out of recipe {recipe.id}, or change its sampling."
        ) from error


class RowCounter:
    """Counts the rows of clips whose sampling needs no analysis, without drawing them where their number is certain.

    Args:
        recipe: What is built.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._known: dict[tuple[object, ...], int] = {}

    def count(self, record: ClipRecord) -> int:
        """Return how many rows ``plan_rows`` gives of a clip.

        Raises:
            BuildError: As ``plan_rows``.
        """
        info = record.info
        # Not the name: it decides which rows there are, but hardly ever how many.
        kind = (
            *(info.width, info.height, info.num_frames, info.bit_depth),
            *(info.model, info.chroma_log2_x, info.chroma_log2_y),
        )
        if kind in self._known:
            return self._known[kind]
        with _refusing(self._recipe, record):
            count = _certain_rows(self._recipe, _space(self._recipe, record, None))
        if count is None:
            return len(plan_rows(self._recipe, record))
        self._known[kind] = count
        return count


def _certain_rows(recipe: Recipe, space: Space) -> int | None:
    """Return the number of rows of a clip where it does not depend on what is drawn; None where it may, or none are."""
    sampling = recipe.sampling
    whole = space.places(int(space.centres[0]))
    match sampling:
        case UniformSampling():
            # The most places that one row takes from the others.
            apart = 2 * max(1, sampling.distance) - 1
            frames = 2 * (2 * space.patch.reach + sampling.near_frames) + 1 if sampling.distance else 1
            taken = (sampling.patches_per_pair - 1) * frames * apart**2
            return sampling.patches_per_pair if len(space.centres) * whole.count > taken else None
        case TilesSampling():
            taken = (sampling.windows_per_pair - 1) * (2 * sampling.min_frames - 1)
            if len(space.centres) <= taken:
                return None
            return sampling.windows_per_pair * patches_of_frame(space, stride=sampling.lr_size)
        case GridSampling():
            if sampling.stride % space.clip.multiple:
                return None
            frames = len(range(0, space.clip.num_frames, sampling.frame_step))
            return frames * patches_of_frame(space, stride=sampling.stride)
        case TexturedSampling() | StratifiedSampling():
            return None
        case _:
            assert_never(sampling)


def _space(recipe: Recipe, record: ClipRecord, analysis: Analysis | None) -> Space:
    """Return where patches of a clip may lie.

    Raises:
        ValueError: Nowhere, or the recipe cannot take the clip's samples.
    """
    if recipe.color == "yuv420":
        check_yuv420(record.info.layout)
    depth = hr_depth(recipe, record.info)
    if recipe.storage == "png" and recipe.color == "rgb" and depth > 8:
        raise ValueError(f"has R'G'B' of {depth} bits, and storage: png holds 8")
    height, width = hr_size(recipe, record.info)
    multiple = 2 if recipe.color == "yuv420" else 1
    sampling = recipe.sampling
    return Space(
        ClipSize(record.source, record.clip, width, height, record.info.num_frames, multiple),
        Patch(
            lr_size=sampling.lr_size,
            scale=recipe.scale,
            window=sampling.num_lr_frames,
            step=sampling.frames_apart,
            margin=max(sampling.margin, _halo_margin(recipe)),
            shrunk=recipe.hr.downscale,
        ),
        analysis=analysis,
        avoid=sampling.avoided,
    )


def _halo_margin(recipe: Recipe) -> int:
    """Return the LR pixels that a stored halo needs at the frame's edge."""
    return -(-recipe.degradation.halo // recipe.scale) if isinstance(recipe.degradation, NoLr) else 0


def _rows(recipe: Recipe, space: Space, first: FirstDraws | None = None) -> tuple[RowPlan, ...]:
    sampling, seed = recipe.sampling, recipe.seed
    match sampling:
        case UniformSampling() | TexturedSampling():
            return uniform_rows(
                space,
                count=sampling.patches_per_pair,
                seed=seed,
                spacing=Spacing(sampling.distance, sampling.near_frames),
                min_texture=sampling.min_texture if isinstance(sampling, TexturedSampling) else 0,
                first=first,
            )
        case StratifiedSampling():
            return stratified_rows(
                space,
                count=sampling.patches_per_pair,
                seed=seed,
                edges=(sampling.texture_edges, sampling.motion_edges, sampling.luma_edges),
                spacing=Spacing(sampling.distance, sampling.near_frames),
            )
        case GridSampling():
            return grid_rows(space, stride=sampling.stride, frame_step=sampling.frame_step)
        case TilesSampling():
            return tile_rows(
                space, windows=sampling.windows_per_pair, seed=seed, min_frames=sampling.min_frames
            )
        case _:
            assert_never(sampling)


def plan_shards(
    recipe: Recipe,
    pairs: Sequence[PairPlan],
    *,
    out_dir: Path,
    store: Store,
    on_error: Literal["fail", "skip"] = "fail",
    clip_seconds: float | None = None,
) -> list[ShardTask]:
    """Group pairs into shards: the next ``clips_per_shard`` clips of one split, in selection order."""
    root = store.root.absolute()
    return [
        ShardTask(
            name,
            split,
            tuple(pairs[place] for place in places),
            recipe,
            out_dir,
            root,
            on_error,
            clip_seconds,
        )
        for name, split, places in shard_groups(recipe, [pair.split for pair in pairs])
    ]


def shard_groups(recipe: Recipe, splits: Sequence[str]) -> list[tuple[str, str, list[int]]]:
    """Return name, split and clips of each shard.

    Args:
        recipe: What is built.
        splits: The split of each clip, in selection order; clips are named by their places in it.
    """
    by_split: dict[str, list[int]] = defaultdict(list)
    for place, split in enumerate(splits):
        by_split[split].append(place)
    found = []
    for split in sorted(by_split):
        groups = chunked(by_split[split], recipe.clips_per_shard)
        found += [
            (shard_name(split, number, len(groups)), split, list(group))
            for number, group in enumerate(groups)
        ]
    return found


def pairs_by_split(pairs: Iterable[PairPlan]) -> dict[str, int]:
    """Count the pairs of each split, splits by name."""
    return dict(sorted(Counter(pair.split for pair in pairs).items()))


def some(names: Sequence[str], most: int = 5) -> str:
    """Return the first names and how many more there are, for a message.

    Example:
        >>> some(["a", "b", "c"], most=2)
        'a, b and 1 more'
    """
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
