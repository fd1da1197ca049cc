"""Video codecs: every frame comes back, once and in order, whatever the codec, colour, depth, size and length."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from effects import DEGRADATION, picture, run, step_of

from sr_datasets.color import PlaneLayout, pack_yuv420, window
from sr_datasets.degrade import Degrader, encoders_of
from sr_datasets.degrade.codec import _missing, _through, encoder_of
from sr_datasets.degrade.planes import pixels_of, planes_of
from sr_datasets.degrade.step import StepDraws

GOOD = {
    "x264": {"kind": "x264", "qp": 12},
    "x265": {"kind": "x265", "qp": 12, "preset": "veryfast"},
    "vp9": {"kind": "vp9", "qp": 8, "speed": 4},
    "av1": {"kind": "av1", "crf": 10, "preset": 10},
    "mpeg4": {"kind": "mpeg4", "qp": 2},
}
HERE = [kind for kind in GOOD if not _missing(kind)]
DEPTHS = [(kind, depth) for kind in HERE for depth in (8, 10) if depth == 8 or kind not in ("vp9", "mpeg4")]


def numbered(count: int, height: int, width: int, *, peak: int = 255) -> list[np.ndarray]:
    """Return luma frames that say their number in eight bright or dark bars."""
    frames = []
    for number in range(count):
        frame = picture(height, width, planes=1, number=number, peak=peak) // 8
        for bit in range(8):
            bar = slice(bit * width // 8, (bit + 1) * width // 8)
            frame[..., bar] += (peak // 16 * 13 if number >> bit & 1 else 0) * np.ones((), frame.dtype)
        frames.append(frame)
    return frames


def number_of(frame: np.ndarray, *, peak: int = 255) -> int:
    width = frame.shape[-1]
    means = [frame[..., bit * width // 8 : (bit + 1) * width // 8].mean() for bit in range(8)]
    return sum((mean > peak / 2) << bit for bit, mean in enumerate(means))


def encoded(step: dict, frames: list[np.ndarray], **context: object) -> list[np.ndarray]:
    return run(step, frames, **context)[0]


@pytest.mark.parametrize(("kind", "depth"), DEPTHS)
@pytest.mark.parametrize("count", [1, 3, 7, 15, 130])
def test_every_frame_comes_back_in_order(kind: str, depth: int, count: int):
    peak = (1 << depth) - 1
    frames = numbered(count, 64, 96, peak=peak)

    made = encoded(GOOD[kind], frames, color="y", bit_depth=depth)

    assert [number_of(frame, peak=peak) for frame in made] == list(range(count))
    assert {(frame.shape, frame.dtype) for frame in made} == {((1, 64, 96), frames[0].dtype)}
    error = np.mean([np.abs(a.astype(int) - b).mean() for a, b in zip(made, frames, strict=True)])
    assert 0 < error < 0.04 * peak


@pytest.mark.parametrize("kind", HERE)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 33), (17, 16), (63, 65), (64, 64)])
@pytest.mark.parametrize("color", ["y", "rgb", "yuv420"])
def test_tiny_and_odd_frames_come_back_whole(kind: str, height: int, width: int, color: str):
    if color == "yuv420":
        height, width = height + height % 2, width + width % 2
        frames = [
            pack_yuv420(picture(height, width, 1, number=n), picture(height // 2, width // 2, 2, number=n))
            for n in range(3)
        ]
    else:
        frames = [picture(height, width, 1 if color == "y" else 3, number=n) for n in range(3)]

    whole = {"height": height, "width": width}
    draws = StepDraws((0,))
    made = list(step_of(GOOD[kind], color=color).stream(iter(frames), **whole, draws=draws))

    assert [frame.shape for frame in made] == [frame.shape for frame in frames]
    # RGB loses half of its chroma resolution before the encoder sees it.
    assert np.abs(made[1].astype(int) - frames[1]).mean() < (40 if color == "rgb" else 12)


@pytest.mark.parametrize("kind", HERE)
def test_the_same_frames_give_the_same_samples_again_and_in_another_process(kind: str):
    script = (
        "import sys; from hashlib import sha256; from effects import run, picture;"
        "from test_degrade_codec import GOOD;"
        "made, _ = run(GOOD[sys.argv[1]], [picture(70, 98, number=n) for n in range(20)]);"
        "print(sha256(b''.join(frame.tobytes() for frame in made)).hexdigest())"
    )

    def digest() -> str:
        made = encoded(GOOD[kind], [picture(70, 98, number=n) for n in range(20)])
        return sha256(b"".join(frame.tobytes() for frame in made)).hexdigest()

    other = subprocess.run(
        [sys.executable, "-c", script, kind],
        check=True,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )

    assert {digest(), digest(), other.stdout.strip()} == {digest()}
    assert other.stderr == ""


@pytest.mark.parametrize("kind", HERE)
def test_worse_rates_give_worse_pictures(kind: str):
    # Each frame is new, so that rate control has to act at once.
    frames = [picture(96, 128, 1, number=n * n * 11) for n in range(12)]
    rates = {
        "x264": [("crf", 10, 45), ("qp", 10, 45), ("bitrate", 2_000_000, 20_000)],
        "x265": [("crf", 10, 45), ("qp", 10, 45), ("bitrate", 2_000_000, 20_000)],
        "vp9": [("crf", 5, 60), ("qp", 5, 60), ("bitrate", 2_000_000, 20_000)],
        "av1": [("crf", 5, 60), ("qp", 5, 60), ("bitrate", 2_000_000, 20_000)],
        "mpeg4": [("qp", 2, 31), ("bitrate", 2_000_000, 2_000)],
    }[kind]
    speed = {"x265": {"preset": "veryfast"}, "vp9": {"speed": 4}, "av1": {"preset": 10}}.get(kind, {})

    for name, better, worse in rates:
        good, bad = (
            encoded({"kind": kind, name: value, **speed}, frames, color="y") for value in (better, worse)
        )
        errors = [
            np.mean(
                [np.abs(made.astype(int) - frame).mean() for made, frame in zip(result, frames, strict=True)]
            )
            for result in (good, bad)
        ]
        assert errors[1] > 2 * errors[0], (name, errors)


@pytest.mark.parametrize("kind", HERE)
def test_more_key_frames_take_more_bytes(kind: str):
    frames = [planes_of(picture(64, 96, 1, number=n), "y", "4:2:0", 8, least=2) for n in range(12)]
    sizes = []
    for gop in (1, 4, 100):
        part = DEGRADATION.validate_python(
            {"kind": "chain", "steps": [{"kind": "bicubic"}, {**GOOD[kind], "gop": gop}]}
        ).steps[1]
        packets = bytearray()
        name, value = next((name, int(getattr(part, name))) for name in ("crf", "qp") if getattr(part, name))
        assert len(list(_through(part, "yuv420p", iter(frames), name, value, packets=packets))) == 12
        sizes.append(len(packets))

    assert sizes[0] > sizes[1] > sizes[2]


@pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="needs Linux")
@pytest.mark.parametrize("kind", HERE)
def test_an_encoder_leaves_the_threads_at_the_priority_that_they_had(kind: str):
    """SVT-AV1 makes its own threads, and the one that opens it, real-time ones where root runs it."""

    def policies() -> set[int]:
        found = set()
        for thread in Path("/proc/self/task").iterdir():
            with suppress(ProcessLookupError):  # it has ended
                found.add(os.sched_getscheduler(int(thread.name)))
        return found

    before, during = policies(), set()

    def frames() -> Iterator[np.ndarray]:
        for frame in numbered(3, 64, 64):
            yield frame
            during.update(policies())

    stream = step_of(GOOD[kind], color="y").stream(frames(), height=64, width=64, draws=StepDraws((0,)))
    assert len(list(stream)) == 3

    assert during | policies() == before


def test_frames_do_not_pile_up():
    sent, most = 0, 0

    def frames():
        nonlocal sent
        for number in range(400):
            sent += 1
            yield picture(32, 48, 1, number=number)

    for kind in HERE:
        sent = received = most = 0
        stream = step_of(GOOD[kind], color="y").stream(frames(), height=32, width=48, draws=StepDraws((0,)))
        for _ in stream:
            received += 1
            most = max(most, sent - received)
        assert (sent, received) == (400, 400)
        assert most < 130, kind


def test_a_clip_is_one_video_and_a_row_of_a_crop_chain_another():
    chain = {
        "kind": "chain",
        "steps": [{"kind": "bicubic"}, {"kind": "x264", "crf": {"low": 20, "high": 40}}],
    }
    clip, crop = (
        Degrader(DEGRADATION.validate_python({**chain, "of": of}), 2, color="y") for of in ("frame", "crop")
    )
    frames = [picture(64, 96, 1, number=n) for n in range(20)]

    drawn: list = []
    made = list(clip.degrade_clip(iter(frames), height=64, width=96, key=(0, "demo", "clip"), drawn=drawn))
    again = list(clip.degrade_clip(iter(frames), height=64, width=96, key=(0, "demo", "clip"), drawn=[]))

    assert (clip.scope, crop.scope) == ("clip", "crop")
    assert [frame.shape for frame in made] == [(1, 32, 48)] * 20
    np.testing.assert_array_equal(made, again)
    (entry,) = drawn
    assert (entry["step"], entry["kind"]) == (1, "x264")
    assert isinstance(entry["crf"], int)
    assert 20 <= entry["crf"] <= 40


@pytest.mark.parametrize(
    ("step", "context", "words"),
    [
        (GOOD["mpeg4"], {"bit_depth": 10}, "mpeg4 of this build takes 4:2:0 at 8 bits, the clip has 10"),
        (GOOD["x264"], {"bit_depth": 9}, "takes 4:2:0 at 8, 10 bits, the clip has 9"),
        ({**GOOD["x264"], "chroma": "4:4:4"}, {"color": "y"}, "chroma 4:4:4 is for color rgb, not y"),
    ],
)
def test_what_a_codec_cannot_take_is_refused(step: dict, context: dict, words: str):
    if step["kind"] not in HERE:
        pytest.skip(f"this build of PyAV lacks {step['kind']}")
    with pytest.raises(ValueError, match=words):
        step_of(step, **context)


def test_a_codec_that_the_build_lacks_is_named_with_those_it_has(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sr_datasets.degrade.codec._ENCODERS", {"x264": "libx263", "mpeg4": "mpeg4"})
    _missing.cache_clear()
    try:
        with pytest.raises(ValueError, match=r"x264: .* has no encoder libx263; it has .*: mpeg4$"):
            step_of(GOOD["x264"])
    finally:
        _missing.cache_clear()


@pytest.mark.parametrize("kind", HERE)
def test_an_encoder_is_named_with_its_build(kind: str):
    words = encoder_of(kind)

    assert "FFmpeg" in words
    assert kind.strip("0123456789") in words or kind == "av1"
    assert len(words.rsplit(" ", 1)[1]) == 12
    if kind in ("x264", "x265"):
        assert " core " in words or "(build " in words


def test_a_degradation_names_all_of_its_encoders():
    found = encoders_of(DEGRADATION.validate_python("real-basicvsr"))

    assert list(found) == ["jpeg", "mpeg4", "x264"]
    assert found["x264"].startswith("libx264 core ")
    assert encoders_of(DEGRADATION.validate_python("bicubic")) == {}


@pytest.mark.parametrize("depth", [8, 10])
@pytest.mark.parametrize("chroma", ["4:2:0", "4:4:4"])
def test_grey_survives_the_way_to_planes_and_back(depth: int, chroma: str):
    levels = np.arange(1 << depth).reshape(1, 16, -1)
    frame = np.repeat(levels, 3, axis=0).astype(np.uint8 if depth == 8 else np.uint16)

    planes = planes_of(frame, "rgb", chroma, depth, least=2)
    back = pixels_of(planes, "rgb", chroma, depth, height=16, width=frame.shape[2])

    assert (
        {plane.min() for plane in planes[1:]} == {plane.max() for plane in planes[1:]} == {1 << (depth - 1)}
    )
    # Luma has 219 steps for 255 levels.
    assert np.abs(back.astype(int) - frame).max() <= 1


def test_colours_become_the_levels_of_bt601():
    # Red, green, blue, white: the levels of BT.601 limited.
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]], np.uint8)
    frame = np.repeat(np.repeat(colours.T[:, np.newaxis, :], 2, axis=1), 2, axis=2)

    y, u, v = planes_of(frame, "rgb", "4:2:0", 8, least=2)

    assert y[0, ::2].tolist() == [81, 145, 41, 235]
    assert u[0].tolist() == [90, 54, 240, 128]
    assert v[0].tolist() == [240, 34, 110, 128]
    layout = PlaneLayout("yuv", 1, 1, 8, "center", "bt601", "limited")
    place = {"top": 0, "left": 0, "height": 2, "width": 8}
    np.testing.assert_array_equal(
        pixels_of([y, u, v], "rgb", "4:2:0", 8, height=2, width=8),
        window([y, u, v], layout, color="rgb", **place),
    )


def test_padding_repeats_the_last_row_and_column():
    y, u, _ = planes_of(np.arange(15, dtype=np.uint8).reshape(1, 3, 5), "y", "4:2:0", 8, least=2)

    assert y.tolist() == [
        [0, 1, 2, 3, 4, 4],
        [5, 6, 7, 8, 9, 9],
        [10, 11, 12, 13, 14, 14],
        [10, 11, 12, 13, 14, 14],
    ]
    assert u.tolist() == [[128] * 3] * 2
