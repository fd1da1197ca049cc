"""Chains as builds run them: crop first equals whole frame first, and any number of workers writes the same bytes."""

import json
from pathlib import Path

import numpy as np
import pytest
from effects import DEGRADATION, picture
from hypothesis import given, settings
from hypothesis import strategies as st
from made import made_store, recipe_of

from sr_datasets.build import REPORT_NAME, build_pairs
from sr_datasets.color import pack_yuv420
from sr_datasets.degrade import Degrader, Region
from sr_datasets.files import sha256_of
from sr_datasets.recipe.presets import PRESETS
from sr_datasets.shards.reader import ShardReader
from sr_datasets.store import Store

BLUR = {"kind": "blur", "size": 7, "sigma": {"low": 0.5, "high": 2}, "probability": 0.6}
NOISE = {"kind": "gaussian-noise", "sigma": {"low": 1, "high": 9}}
SINC = {"kind": "blur", "shape": "sinc", "size": {"choices": [5, 9]}, "cutoff": 2}
CHAINS = {
    "blur-bicubic-noise": [BLUR, {"kind": "bicubic"}, NOISE],
    "one-of": [
        {"kind": "one-of", "steps": [{"kind": "bicubic"}, {"kind": "area"}, {"kind": "bd-duf"}]},
        {"kind": "one-of", "steps": [NOISE, SINC], "weights": [1, 2], "probability": 0.7},
    ],
    "shuffle": [
        {"kind": "shuffle", "groups": [[BLUR], [NOISE, SINC]], "probability": 0.8},
        {"kind": "lanczos"},
    ],
    "frame": [
        {"kind": "bicubic"},
        {"kind": "one-of", "steps": [{"kind": "poisson-noise"}, {"kind": "jpeg", "quality": 40}]},
    ],
}


# Poisson noise and JPEG take no planes of yuv420.
CASES = [
    (name, color)
    for name in CHAINS
    for color in ("y", "rgb", "yuv420")
    if (name, color) != ("frame", "yuv420")
]


@pytest.mark.parametrize(("name", "color"), CASES)
@pytest.mark.parametrize("between", ["pixels", "floats"])
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_a_window_is_the_crop_of_the_degraded_frame(name: str, between: str, color: str, data: st.DataObject):
    unit = 2 if color == "yuv420" else 1
    rows, columns = (unit * data.draw(st.integers(2, 14)) for _ in range(2))
    height, width = 2 * rows, 2 * columns
    top, left = (unit * data.draw(st.integers(0, side // unit - 1)) for side in (rows, columns))
    part = Region(
        top,
        left,
        unit * data.draw(st.integers(1, (rows - top) // unit)),
        unit * data.draw(st.integers(1, (columns - left) // unit)),
    )
    if color == "yuv420":
        frame = pack_yuv420(picture(height, width, 1), picture(height // 2, width // 2, 2))
    else:
        frame = picture(height, width, 1 if color == "y" else 3)
    degradation = DEGRADATION.validate_python({"kind": "chain", "steps": CHAINS[name], "between": between})
    degrader = Degrader(degradation, 2, color=color)
    whole, lr = Region(0, 0, height, width), Region(0, 0, rows, columns)
    size = {"height": height, "width": width}
    key = (0, "demo", "clip", data.draw(st.integers(0, 50)))
    needed = degrader.hr_region(part, **size)

    (all_of_it,), drawn_whole = degrader.degrade([frame], at=whole, lr=lr, key=key, **size)
    window = degrader.cut(frame, whole, needed)
    (patch,), drawn = degrader.degrade([window], at=needed, lr=part, key=key, **size)

    np.testing.assert_array_equal(patch, degrader.cut(all_of_it, lr, part))
    assert drawn == drawn_whole


def test_what_all_frames_share_is_shared_by_luma_and_chroma():
    step = {"kind": "blur", "size": 9, "sigma": {"low": 0.3, "high": 3}}
    chain = DEGRADATION.validate_python({"kind": "chain", "steps": [step, {"kind": "area"}]})
    plane = picture(32, 32, 1)
    packed = pack_yuv420(np.tile(plane, (1, 2, 2)), np.concatenate([plane, plane]))
    degrader = Degrader(chain, 2, color="yuv420")

    made = degrader.degrade_frame(packed, key=(0, "demo", "clip", 3))

    alone = Degrader(chain, 2, color="y").degrade_frame(plane, key=(0, "demo", "clip", 3))
    np.testing.assert_array_equal(made[:, 32:40].reshape(16, 16), alone[0])
    np.testing.assert_array_equal(made[:, 40:48].reshape(16, 16), alone[0])


def test_draws_come_about_as_often_as_their_probability():
    chain = DEGRADATION.validate_python({"kind": "chain", "steps": [BLUR, {"kind": "area"}]})
    degrader = Degrader(chain, 2)
    place = {"at": Region(0, 0, 4, 4), "height": 4, "width": 4, "lr": Region(0, 0, 2, 2)}

    left_out = 0
    for row in range(1000):
        _, drawn = degrader.degrade([picture(4, 4)], key=(0, "demo", "clip", row), **place)
        left_out += "left_out" in drawn[0]

    assert abs(left_out - 400) < 5 * np.sqrt(1000 * 0.4 * 0.6)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    return made_store(tmp_path, monkeypatch)


def shards(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): sha256_of(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != REPORT_NAME
    }


QUICK = ("dn", "real-basicvsr", "aim-2024")  # of each scope, one that draws


@pytest.mark.parametrize(
    "name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in PRESETS if name not in QUICK)]
)
def test_one_worker_and_three_write_the_same_bytes(store: Store, tmp_path: Path, name: str):
    text = (
        "format: 1\nid: made\ntitle: Noise\nclips: [made]\npresent_only: true\nscale: 4\n"
        f"color: rgb\ndegradation: {name}\n"
        "sampling: {kind: uniform, patches_per_pair: 3, lr_size: 8, window: 3}\n"
        "split: {counts: {train: -1}}\nclips_per_shard: 2\n"
    )
    recipe = recipe_of(tmp_path, text)

    build_pairs(recipe, out_dir=tmp_path / "one", store=store, workers=1)
    build_pairs(recipe, out_dir=tmp_path / "three", store=store, workers=3)

    assert shards(tmp_path / "one") == shards(tmp_path / "three")
    stored = json.loads((tmp_path / "one" / "sr-data.json").read_text())
    assert stored["recipe"]["degradation"] == DEGRADATION.validate_python(name).model_dump(mode="json")
    found = 0
    for path in sorted((tmp_path / "one" / "data").glob("*.parquet")):
        reader = ShardReader(path)
        for number in range(reader.num_rows):
            row = reader.read_row(number)
            assert row.lr.shape == (3, 3, 8, 8)
            drawn = json.loads(row.drawn).get("steps", [])
            # dn has noise of a fixed strength: nothing to tell but the key, which the row's name is.
            assert bool(drawn) == (name in ("real-esrgan", "real-basicvsr", "aim-2024"))
            found += 1
    assert found == 15
