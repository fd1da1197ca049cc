"""Plans that are drawn for many rows at once are those that are drawn row by row, and counts are those of the plans."""

import contextlib
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sr_datasets.build.planning import RowCounter, plan_many, plan_rows
from sr_datasets.errors import BuildError
from sr_datasets.manifest import VideoInfo
from sr_datasets.recipe import Recipe
from sr_datasets.sampling import ClipSize, KeyedDraws, Patch, RowPlan, Space, Spacing, uniform_rows
from sr_datasets.sampling.modes import _drawn, _Sweep, _Taken
from sr_datasets.store import ClipRecord


def info_of(width: int, height: int, num_frames: int, **other: Any) -> VideoInfo:
    facts = {
        "media": "video",
        "container": "mov",
        "codec": "h264",
        "width": width,
        "height": height,
        "num_frames": num_frames,
        "frame_rate": "25",
        "pixel_format": "yuv420p",
        "bit_depth": 8,
        "model": "yuv",
        "chroma_log2_x": 1,
        "chroma_log2_y": 1,
        "time_base": "1/25",
        "scan": "progressive",
        "color": {
            "matrix": "bt709",
            "range": "limited",
            "transfer": "bt709",
            "siting": "left",
            **dict.fromkeys(("matrix_from", "range_from", "transfer_from", "siting_from"), "tagged"),
        },
    }
    return VideoInfo.model_validate(facts | other)


def record_of(name: str, info: VideoInfo) -> ClipRecord:
    return ClipRecord(
        source="made",
        clip=name,
        path=f"made/{name}.mp4",
        files=(),
        sha256="0" * 64,
        origin="imported",
        proof="imported",
        info=info,
    )


def rows_one_by_one(space: Space, *, count: int, seed: int, spacing: Spacing) -> list[RowPlan] | None:
    """Draw each row from its own key; None where fewer fit."""
    taken = _Taken(space, spacing)
    sweep = _Sweep(space, taken, None, 0)
    rows = []
    for number in range(count):
        draws = KeyedDraws("plan-1", seed, space.clip.source, space.clip.clip, number, "sample")
        place = _drawn(space, taken, None, 0, draws) or sweep.next_place(draws)
        if place is None:
            return None
        taken.add(*place)
        rows.append(RowPlan(number, space.patch.frames_around(place[0]), place[1], place[2]))
    return rows


@settings(max_examples=100, deadline=None)
@given(
    size=st.tuples(st.integers(8, 60), st.integers(8, 60), st.integers(1, 9)),
    window=st.sampled_from([1, 3]),
    multiple=st.sampled_from([1, 2]),
    count=st.integers(1, 60),
    seed=st.integers(0, 2**63 - 1),
    distance=st.integers(0, 6),
    near_frames=st.integers(0, 3),
)
def test_rows_that_are_drawn_at_once_are_those_that_are_drawn_one_by_one(
    size: tuple[int, int, int],
    window: int,
    multiple: int,
    count: int,
    seed: int,
    distance: int,
    near_frames: int,
) -> None:
    width, height, num_frames = size
    clip = ClipSize("made", f"clip{seed % 7}", width, height, num_frames, multiple)
    try:
        space = Space(clip, Patch(lr_size=4, scale=2, window=window))
    except ValueError:
        return
    spacing = Spacing(distance, near_frames)
    expected = rows_one_by_one(space, count=count, seed=seed, spacing=spacing)
    found = None
    with contextlib.suppress(ValueError):
        found = list(uniform_rows(space, count=count, seed=seed, spacing=spacing))
    assert found == expected


samplings = st.one_of(
    st.fixed_dictionaries(
        {
            "kind": st.just("uniform"),
            "patches_per_pair": st.integers(1, 40),
            "lr_size": st.sampled_from([2, 4, 8]),
            "window": st.sampled_from([1, 3]),
            "avoid": st.just([]),
            "margin": st.integers(0, 3),
            "min_distance": st.integers(0, 5),
            "near_frames": st.integers(0, 2),
        }
    ),
    st.fixed_dictionaries(
        {
            "kind": st.just("tiles"),
            "windows_per_pair": st.integers(1, 6),
            "lr_size": st.sampled_from([2, 4, 8]),
            "min_frames": st.integers(1, 3),
            "avoid": st.just([]),
        }
    ),
    st.fixed_dictionaries(
        {
            "kind": st.just("grid"),
            "stride": st.sampled_from([2, 6]),
            "lr_size": st.sampled_from([2, 4, 8]),
            "frame_step": st.integers(1, 4),
            "margin": st.integers(0, 3),
        }
    ),
)
infos = st.builds(
    info_of,
    st.integers(4, 60),
    st.integers(4, 60),
    st.integers(1, 9),
    bit_depth=st.sampled_from([8, 10]),
    chroma_log2_y=st.sampled_from([1, 1, 0]),
)


@settings(max_examples=100, deadline=None)
@given(
    sampling=samplings,
    color=st.sampled_from(["y", "rgb", "yuv420"]),
    storage=st.sampled_from(["raw", "png"]),
    scale=st.sampled_from([2, 3]),
    downscale=st.sampled_from([1, 2]),
    seed=st.integers(0, 99),
    clips=st.lists(infos, min_size=1, max_size=6),
)
def test_plans_of_many_clips_and_their_counts_are_those_of_each_clip(
    sampling: dict[str, Any],
    color: str,
    storage: str,
    scale: int,
    downscale: int,
    seed: int,
    clips: list[VideoInfo],
) -> None:
    fields = {
        "format": 1,
        "id": "made",
        "title": "Made",
        "clips": ["made"],
        "scale": scale,
        "color": color,
        "storage": "raw" if color == "yuv420" else storage,
        "hr": {"downscale": downscale},
        "sampling": sampling,
        "split": {"counts": {"train": -1}},
        "seed": seed,
    }
    recipe = Recipe.model_validate(fields)
    records = [record_of(f"clip{number}", info) for number, info in enumerate(clips)]
    # Twice, as a store has many clips of one kind, and counts are remembered by kind.
    records += [record.model_copy(update={"clip": f"{record.clip}-again"}) for record in records]
    counter, many = RowCounter(recipe), plan_many(recipe, records)
    for number, record in enumerate(records):
        try:
            expected = plan_rows(recipe, record)
        except BuildError as error:
            with pytest.raises(BuildError, match=re.escape(str(error))):
                next(many)
            with pytest.raises(BuildError, match=re.escape(str(error))):
                counter.count(record)
            many = plan_many(recipe, records[number + 1 :])
        else:
            assert next(many) == expected
            assert counter.count(record) == len(expected)


def test_a_hundred_thousand_clips_of_few_kinds_are_counted_without_drawing_a_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fields = {
        "format": 1,
        "id": "made",
        "title": "Made",
        "clips": ["made"],
        "scale": 3,
        "split": {"counts": {"train": -1}},
    }
    recipe = Recipe.model_validate(fields)
    monkeypatch.setattr("sr_datasets.build.planning.plan_rows", None)
    record = record_of("clip", info_of(1920, 1080, 300))
    counter = RowCounter(recipe)
    assert sum(counter.count(record) for _ in range(100_000)) == 3_000_000
