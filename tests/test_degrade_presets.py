"""Presets: the same LR for the same key, wherever and whenever it is made; numbers that the papers give."""

import json
import math
import subprocess
import sys
from collections import Counter
from hashlib import sha256

import numpy as np
import pytest
from effects import DEGRADATION, picture

from sr_datasets.degrade import Degrader, Region, encoders_of
from sr_datasets.recipe.presets import PRESETS

LR, HR = Region(0, 0, 24, 20), Region(0, 0, 96, 80)

# What each preset makes of the same pictures, by the encoders that it runs. A change of one of the others
# changes what published sets mean: that is a new kind or a new preset, never a new number here.
GOLDEN: dict[str, dict[str, str]] = {
    "bi": {"": "685c13fd9796b9ce"},
    "espcn": {"": "88bd6e5db5285017"},
    "dn": {"": "936487a019995b9b"},
    "ntire-rtsr": {"Pillow 13.0.0, libjpeg-turbo 3.2.0": "0a6b979af611d9aa"},
    "real-esrgan": {"Pillow 13.0.0, libjpeg-turbo 3.2.0": "70512e657dcd83a5"},
    "real-basicvsr": {
        "Pillow 13.0.0, libjpeg-turbo 3.2.0; mpeg4, FFmpeg 8.1.2, output 4ab01b307b69; libx264 core 165, FFmpeg 8.1.2, output 6cfa99cacbe4": "87854be4f514eb08"
    },
    "comisr-crf15": {"libx264 core 165, FFmpeg 8.1.2, output 6cfa99cacbe4": "fccb4cee4c65716b"},
    "comisr-crf25": {"libx264 core 165, FFmpeg 8.1.2, output 6cfa99cacbe4": "542ce6739ab629f1"},
    "comisr-crf35": {"libx264 core 165, FFmpeg 8.1.2, output 6cfa99cacbe4": "1ae08e0062d3ff50"},
    "aim-2024": {"libsvtav1, FFmpeg 8.1.2, output e4cc8841b3f8": "2e1e084218875666"},
}


def frames_of(count: int, planes: int = 3) -> list[np.ndarray]:
    return [picture(HR.height, HR.width, planes, number=number) for number in range(count)]


def lr_of(name: str, *, rows: tuple[int, ...] = (0,), count: int = 3, color: str = "rgb"):
    """Return LR and draws of some rows, degraded as a build does; a clip's frames for codecs of whole clips."""
    degrader = Degrader(DEGRADATION.validate_python(name), 4, color=color)
    frames = frames_of(count, 3 if color == "rgb" else 1)
    if degrader.scope == "clip":
        drawn: list = []
        key = (0, "demo", "clip")
        made = list(degrader.degrade_clip(iter(frames), height=96, width=80, key=key, drawn=drawn))
        return dict.fromkeys(rows, (made, drawn))
    return {
        row: degrader.degrade(
            frames,
            at=HR,
            height=96,
            width=80,
            lr=LR,
            key=(0, "demo", "clip", row),
            numbers=range(count),
        )
        for row in rows
    }


def digest_of(name: str) -> str:
    hashed = sha256()
    for made, drawn in lr_of(name, rows=(0, 1, 2, 3)).values():
        hashed.update(json.dumps(drawn).encode())
        for frame in made:
            hashed.update(np.ascontiguousarray(frame).tobytes())
    return hashed.hexdigest()[:16]


def build_of(name: str) -> str:
    return "; ".join(encoders_of(DEGRADATION.validate_python(name)).values())


@pytest.mark.parametrize("name", PRESETS)
def test_lr_stays_what_it_was_when_the_preset_was_fixed(name: str):
    golden = GOLDEN[name]
    if build_of(name) not in golden:
        pytest.skip(f"recorded with {' or '.join(golden)}, this is {build_of(name)}")

    assert digest_of(name) == golden[build_of(name)]


@pytest.mark.parametrize("name", PRESETS)
def test_another_process_makes_the_same_lr(name: str):
    script = "import sys; from test_degrade_presets import digest_of; print(digest_of(sys.argv[1]))"
    other = subprocess.run(
        [sys.executable, "-c", script, name],
        check=True,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": ":".join(sys.path), "NPY_DISABLE_CPU_FEATURES": "", "TZ": "Asia/Tokyo"},
    )

    assert other.stdout.strip() == digest_of(name)


@pytest.mark.parametrize("name", ["dn", "real-esrgan", "real-basicvsr"])
def test_a_row_is_the_same_whatever_was_made_before_it(name: str):
    alone = lr_of(name, rows=(2,))[2]
    after_others = lr_of(name, rows=(3, 1, 2))[2]

    assert alone[1] == after_others[1]
    np.testing.assert_array_equal(alone[0], after_others[0])
    assert not np.array_equal(alone[0], lr_of(name, rows=(3,))[3][0])


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("count", [1, 3, 7, 15])
def test_windows_of_frames_keep_their_number_and_size(name: str, count: int):
    ((made, drawn),) = lr_of(name, count=count).values()

    assert [frame.shape for frame in made] == [(3, 24, 20)] * count
    assert {frame.dtype for frame in made} == {np.dtype(np.uint8)}
    json.dumps(drawn)


@pytest.mark.parametrize("name", [name for name in PRESETS if "comisr" not in name])
def test_luma_is_degraded_too(name: str):
    ((made, _),) = lr_of(name, color="y").values()

    assert made[0].shape == (1, 24, 20)


def drawn_of(name: str, num_rows: int, count: int = 1) -> list[list[dict]]:
    degrader = Degrader(DEGRADATION.validate_python(name), 4)
    small = [picture(8, 8, number=number) for number in range(count)]
    return [
        degrader.degrade(
            small,
            at=Region(0, 0, 8, 8),
            height=8,
            width=8,
            lr=Region(0, 0, 2, 2),
            key=(0, "demo", "clip", row),
            numbers=range(count),
        )[1]
        for row in range(num_rows)
    ]


def near(found: int, share: float, total: int) -> bool:
    """Tell whether a count lies within five standard deviations of a binomial's mean."""
    return abs(found - share * total) <= 5 * math.sqrt(share * (1 - share) * total)


def test_real_esrgan_draws_as_often_and_as_far_as_its_options_say():
    total = 1500
    rows = [{entry["step"]: entry for entry in row} for row in drawn_of("real-esrgan", total)]

    kernels = Counter(row[0]["taken"][0]["step"] for row in rows)
    shares = [0.405, 0.225, 0.108, 0.027, 0.108, 0.027, 0.0375, 0.0625]
    assert all(near(kernels[place], share, total) for place, share in enumerate(shares))
    sizes = Counter(row[0]["taken"][0]["size"] for row in rows)
    assert set(sizes) == {7, 9, 11, 13, 15, 17, 19, 21}
    assert all(near(count, 1 / 8, total) for count in sizes.values())
    factors = np.array([row[1]["factor"] for row in rows])
    assert near((factors > 1).sum(), 0.2, total)
    assert near((factors == 1).sum(), 0.1, total)
    assert 0.15 <= factors.min() < 0.2
    assert 1.45 < factors.max() <= 1.5
    assert near(sum(row[2]["taken"][0]["kind"] == "gaussian-noise" for row in rows), 0.5, total)
    assert near(sum(row[2]["taken"][0]["grey"] for row in rows), 0.4, total)
    qualities = Counter(row[3]["quality"] for row in rows)
    assert (min(qualities), max(qualities)) == (30, 95)
    assert near(sum("left_out" in row[4] for row in rows), 0.2, total)
    orders = Counter(row[7]["taken"][0]["kind"] for row in rows)
    assert near(orders["jpeg"], 0.5, total)
    last = [taken for row in rows for taken in row[7]["taken"] if taken["kind"] == "blur"]
    assert near(sum("left_out" in taken for taken in last), 0.2, total)
    assert all(math.pi / 3 <= taken["cutoff"] <= math.pi for taken in last if "cutoff" in taken)


def test_the_numbers_of_real_basicvsr_walk_in_small_steps_inside_their_ranges():
    limits = {
        "sigma_across": (0.2, 3.0, 0.02),
        "rotation": (-math.pi, math.pi, 0.31416),
        "beta": (0.5, 4.0, 0.1),
        "cutoff": (math.pi / 5, math.pi, 0.0628),
        "factor": (0.15, 1.5, 0.03),
        "scale": (0.05, 3.0, 0.005),
        "quality": (30, 95, 4),  # 3, and rounding on both sides
    }
    seen = Counter()

    def check(entry: dict) -> None:
        for inner in entry.get("taken", []):
            check(inner)
        for name, value in entry.items():
            if name in limits and isinstance(value, list):
                low, high, most = limits[name]
                assert len(value) == 9
                assert low - 1e-12 <= min(value) <= max(value) <= high + 1e-12, name
                assert np.abs(np.diff(value)).max() <= most + 1e-12, name
                seen[name] += len(set(value)) > 1
        assert isinstance(entry.get("bitrate", 10_000), int)
        assert 10_000 <= entry.get("bitrate", 10_000) <= 100_000

    for row in drawn_of("real-basicvsr", 40, count=9):
        for entry in row:
            check(entry)
    assert set(seen) == set(limits)


def test_every_preset_says_where_it_is_from():
    for name, preset in PRESETS.items():
        assert preset.summary, name
        assert preset.source, name
        assert not preset.summary.endswith(".")


if __name__ == "__main__":
    print(json.dumps({name: {build_of(name): digest_of(name)} for name in PRESETS}, indent=4))
