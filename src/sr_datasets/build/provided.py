"""The publisher's own LR: which clip it is, and whether it lies on the HR clip."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from sr_datasets import catalog
from sr_datasets.build.frames import HrFrame, Planes, hr_depth
from sr_datasets.build.planning import WHOLE, LrClip, PairPlan, Part, shard_groups
from sr_datasets.degrade import Degrader
from sr_datasets.errors import BuildError, StoreError
from sr_datasets.recipe import Bicubic, HrStep, Recipe
from sr_datasets.recipe.given import Provided
from sr_datasets.store import Store
from sr_datasets.video import open_clip, with_declared

_MOST_SHIFT = 3
"""LR pixels, each way, among which the place of LR on HR is sought."""
_MIN_PSNR = 15.0
"""dB against our bicubic LR, below which LR shows another picture. Blurred, noisy and coded LR lie above 20."""


def with_lr(recipe: Recipe, pairs: Sequence[PairPlan], store: Store, part: Part = WHOLE) -> list[PairPlan]:
    """Return the pairs with their provided LR clips, where the recipe asks for provided LR.

    Each LR clip must have the HR clip's frames at ``1 / scale`` of its size and depth, and its first, middle and
    last frames must fit bicubic LR of ours best where they lie, not some whole pixels away. Of clips of other parts nobody looks at the frames.

    Raises:
        StoreError: An LR clip is not in the store.
        BuildError: An LR clip does not belong to its HR clip.
        DecodeError: A clip cannot be read.
    """
    if not isinstance(recipe.degradation, Provided):
        return list(pairs)
    names = [recipe.degradation.clips.replace("{clip}", pair.record.clip) for pair in pairs]
    records = {f"{record.source}/{record.clip}": record for record in store.records()}
    if missing := [name for name in names if name not in records]:
        raise StoreError(
            f"recipe {recipe.id}: {len(missing)} clips of provided LR are not in the store {store.root}, such as "
            f"{missing[0]}. Bring them in with: sr-data fetch {missing[0]}"
        )
    imported = catalog.imported_clips(records.values())
    clips = {item.id: item.clip for item in catalog.select(names, imported=imported)}
    shards = part.of(shard_groups(recipe, [pair.split for pair in pairs]))
    ours = {place for _, _, places in shards for place in places}
    found = []
    for place, (pair, name) in enumerate(zip(pairs, names, strict=True)):
        lr = LrClip(clips[name], records[name])
        if place in ours:
            _check(recipe, pair, lr, store)
        found.append(replace(pair, lr=lr))
    return found


def _check(recipe: Recipe, pair: PairPlan, lr: LrClip, store: Store) -> None:
    info, small = pair.record.info, lr.record.info
    height, width = (side // recipe.hr.downscale for side in (info.height, info.width))
    wanted = (width // recipe.scale, height // recipe.scale, info.num_frames, info.bit_depth)
    found = (small.width, small.height, small.num_frames, small.bit_depth)
    if found != wanted or height % recipe.scale or width % recipe.scale:
        raise BuildError(
            f"{lr.name} is {_text(found)}; as x{recipe.scale} LR of {pair.name} ({_text((width, height, *wanted[2:]))}) "
            f"it must be {_text(wanted)}. Correct `clips` of the degradation, or the scale."
        )
    for index in sorted({0, info.num_frames // 2, info.num_frames - 1}):
        down, left, psnr = _place(recipe, pair, lr, store, index)
        if (down, left) != (0, 0) or psnr < _MIN_PSNR:
            where = f"fits best {down} rows down and {left} columns right of its place, with"
            raise BuildError(
                f"{lr.name}: frame {index} {where} {psnr:.1f} dB against bicubic LR of {pair.name}. It is shifted, of other "
                "frames, or of another clip: correct `clips` of the degradation."
            )


def _text(facts: tuple[int, int, int, int]) -> str:
    return f"{facts[0]}x{facts[1]}, {facts[2]} frames, {facts[3]} bits"


def _place(recipe: Recipe, pair: PairPlan, lr: LrClip, store: Store, index: int) -> tuple[int, int, float]:
    """Return where a frame of LR lies on HR, in LR rows and columns, and the PSNR there."""
    given = _luma(recipe.model_copy(update={"scale": 1, "hr": HrStep()}), lr, store, index)
    whole = _luma(recipe, pair, store, index)
    depth = hr_depth(recipe.model_copy(update={"color": "y"}), pair.record.info)
    made = Degrader(Bicubic(), recipe.scale, bit_depth=depth, color="y").degrade_frame(whole)
    one, other = given[0].astype(np.int64), made[0].astype(np.int64)
    margin = min(_MOST_SHIFT, (min(one.shape) - 1) // 2)
    shifts = [(y, x) for y in range(-margin, margin + 1) for x in range(-margin, margin + 1)]
    # Where a flat picture fits everywhere alike, it lies where it should.
    down, left = min(
        shifts, key=lambda at: (_error(one, other, at[0], at[1], margin), abs(at[0]) + abs(at[1]), at)
    )
    error = _error(one, other, down, left, margin)
    peak = (1 << depth) - 1
    return down, left, float("inf") if error == 0 else 10 * float(np.log10(peak**2 / error))


def _luma(recipe: Recipe, pair: PairPlan | LrClip, store: Store, index: int) -> Planes:
    info = with_declared(pair.record.info, pair.clip)
    luma = recipe.model_copy(update={"color": "y"})
    with open_clip(store.path_of(pair.record), info, clip=pair.clip) as reader:
        frame = HrFrame(reader.frame_at(index).planes, luma, info)
        return frame.region(frame.all)


def _error(
    one: npt.NDArray[np.int64], other: npt.NDArray[np.int64], down: int, left: int, margin: int
) -> float:
    """Return the mean square difference of the pictures' middles, ``one`` moved back by a shift."""
    height, width = other.shape
    middle = other[margin : height - margin, margin : width - margin]
    moved = one[margin + down : height - margin + down, margin + left : width - margin + left]
    return float(np.mean((middle - moved) ** 2))
