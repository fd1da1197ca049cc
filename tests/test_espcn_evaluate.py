import json
import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("torch", reason="needs the torch extra")

import torch
from clips import formula_planes, write_y4m
from PIL import Image

import sr_datasets.espcn.upscale as upscale_module
from sr_datasets.color import luma_of_rgb_float
from sr_datasets.degrade import resize_bicubic
from sr_datasets.errors import DecodeError, ModelError, SelectionError, StoreError
from sr_datasets.espcn.checkpoint import MODEL_NAME, Header, save_model
from sr_datasets.espcn.config import EspcnConfig, preset
from sr_datasets.espcn.evaluate import EvaluationReport, ItemScore, evaluate
from sr_datasets.espcn.model import Espcn
from sr_datasets.espcn.upscale import upscale_luma, upscale_rgb
from sr_datasets.metrics import PROTOCOLS, Protocol, Score, psnr
from sr_datasets.recipe import BdDuf
from sr_datasets.store import ClipRecord, Store
from sr_datasets.video import probe

pytestmark = pytest.mark.torch

Y_DOUBLE, Y_8BIT, VID4, RGB = (PROTOCOLS[name] for name in ("y-double", "y-8bit", "vid4", "rgb"))


def nearest_network(scale: int) -> Espcn:
    """Return a network that repeats pixels: what it gives can be computed by hand."""
    return Espcn(EspcnConfig(scale=scale, residual="nearest", last_gain=0.0))


def drawn_network(scale: int, *, body: str = "published") -> Espcn:
    return Espcn(preset("residual", scale=scale, model={"last_gain": 1.0, "body": body}).model, seed=3)


def smooth_picture(height: int, width: int, *, planes: int = 3, seed: int = 0) -> npt.NDArray[np.uint8]:
    noise = np.random.default_rng(seed).uniform(0, 255, (planes, height // 4 + 2, width // 4 + 2))
    return np.clip(np.rint(resize_bicubic(noise, height, width)), 0, 255).astype(np.uint8)


def write_png(path: Path, picture: npt.NDArray[np.uint8]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.squeeze(picture.transpose(1, 2, 0))).save(path)
    return path


@pytest.mark.parametrize(
    ("scale", "psnr_db", "ssim"), [(2, 33.66, 0.9299), (3, 30.39, 0.8682), (4, 28.42, 0.8104)]
)
def test_bicubic_on_set5_is_the_published_number(real_data: Path, scale: int, psnr_db: float, ssim: float):
    report = evaluate("bicubic", [real_data / "set5" / "GT"], scale=scale, protocol=Y_DOUBLE)

    assert report.mean.psnr == pytest.approx(psnr_db, abs=0.005)
    assert report.mean.ssim == pytest.approx(ssim, abs=0.00006)
    assert [item.name for item in report.items] == ["baby", "bird", "butterfly", "head", "woman"]


def test_bicubic_on_the_frames_of_vid4_is_the_measured_number(real_data: Path):
    clips = [real_data / "vid4" / clip / "GT" for clip in ("calendar", "foliage")]

    report = evaluate("bicubic", clips, scale=4, protocol=VID4, frame_step=4)
    whole = evaluate("bicubic", clips[1:], scale=4, protocol=VID4)

    assert [(item.name, item.num_frames) for item in report.items] == [("calendar/GT", 4), ("foliage/GT", 3)]
    assert report.mean.psnr == pytest.approx(np.mean([item.score.psnr for item in report.items]))
    assert whole.mean.psnr == pytest.approx(23.493, abs=0.0006)
    assert whole.mean.ssim == pytest.approx(0.5713, abs=0.00006)


def test_a_network_gets_unrounded_luma_on_the_double_path(tmp_path: Path):
    picture = smooth_picture(50, 61)
    path = write_png(tmp_path / "a.png", picture)

    report = evaluate(nearest_network(3), [path], protocol=Y_DOUBLE)

    luma = np.floor(luma_of_rgb_float(picture)[:, :48, :60] + 0.5)
    sr = np.rint(np.kron(resize_bicubic(luma, 16, 20)[0], np.ones((3, 3))))
    inside = np.s_[3:-3, 3:-3]
    assert report.mean.psnr == pytest.approx(psnr(sr[inside], luma[0][inside]), abs=1e-3)
    assert (report.items[0].width, report.items[0].height) == (61, 50)


@pytest.mark.parametrize("protocol", [Y_8BIT, VID4, RGB])
def test_colour_goes_through_bicubic_on_the_paths_of_rgb(tmp_path: Path, protocol: Protocol):
    # Gray in three planes has no colour: what luma alone gives is what the whole way must give.
    gray = smooth_picture(48, 64, planes=1)
    path = write_png(tmp_path / "gray.png", np.repeat(gray, 3, axis=0))

    report = evaluate(nearest_network(2), [path], protocol=protocol)

    rounding = "once" if protocol is VID4 else "each-pass"
    lr = _whole(resize_bicubic(gray.astype(float), 24, 64)) if rounding == "each-pass" else gray.astype(float)
    lr = _whole(resize_bicubic(lr, 24, 32))
    sr = np.kron(lr[0], np.ones((2, 2)))
    border = protocol.border_at(2)
    inside = np.s_[border : 48 - border, border : 64 - border]
    shrink = 1.0 if protocol is RGB else 219 / 255
    assert report.mean.psnr == pytest.approx(psnr(sr[inside] * shrink, gray[0][inside] * shrink), abs=1e-6)


def _whole(samples: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.clip(np.floor(samples + 0.5), 0, 255)


def test_the_chroma_of_an_upscaled_picture_is_that_of_bicubic():
    lr = smooth_picture(20, 24).astype(np.float64)

    sr = upscale_rgb(drawn_network(2), lr)

    bicubic = resize_bicubic(lr, 40, 48)
    luma = luma_of_rgb_float(sr)
    np.testing.assert_allclose(luma, upscale_luma(drawn_network(2), luma_of_rgb_float(lr)), atol=1e-9)
    for plane in (0, 2):
        # Cb and Cr are B - Y and R - Y up to a factor, with Y on full range.
        found, wanted = (each[plane] - luma_of_rgb_float(each)[0] * (255 / 219) for each in (sr, bicubic))
        np.testing.assert_allclose(found, wanted, atol=1e-9)
    assert np.abs(sr - bicubic).max() > 1


@pytest.mark.parametrize("body", ["published", "deep"])
@pytest.mark.parametrize(("height", "width"), [(37, 20), (5, 64), (200, 3)])
def test_a_large_picture_in_tiles_gives_what_the_whole_gives(
    monkeypatch: pytest.MonkeyPatch, height: int, width: int, body: str
):
    model, lr = drawn_network(3, body=body), smooth_picture(height, width, planes=1)
    whole = upscale_luma(model, lr)
    monkeypatch.setattr(upscale_module, "_TILE_PIXELS", 36)

    banded = upscale_luma(model, lr)

    assert whole.shape == (1, 3 * height, 3 * width)
    np.testing.assert_allclose(banded, whole, atol=1e-3)


def test_samples_of_ten_bits_give_the_same_picture_on_their_own_scale():
    model, lr = drawn_network(2), smooth_picture(16, 16, planes=1)

    sr8, sr10 = upscale_luma(model, lr), upscale_luma(model, lr * (1023 / 255), bit_depth=10)

    np.testing.assert_allclose(sr10 * (255 / 1023), sr8, atol=1e-3)


def test_the_luma_of_a_video_is_its_own_plane(tmp_path: Path):
    path = write_y4m(tmp_path / "clip.y4m", [formula_planes("yuv420p", 48, 40, index) for index in range(7)])

    report = evaluate(nearest_network(2), [path], protocol=Y_DOUBLE, frame_step=3)

    expected = []
    for index in (0, 3, 6):
        luma = formula_planes("yuv420p", 48, 40, index)[0].astype(float)
        sr = _whole(np.kron(resize_bicubic(luma[None], 20, 24)[0], np.ones((2, 2))))
        expected.append(psnr(sr[2:-2, 2:-2], luma[2:-2, 2:-2]))
    assert report.items[0].num_frames == 3
    assert report.mean.psnr == pytest.approx(np.mean(expected), abs=1e-3)
    assert evaluate("bicubic", [path], scale=2, protocol=RGB).mean.psnr < 60


def test_frames_at_the_ends_are_left_out_when_the_protocol_says_so(tmp_path: Path):
    for index in range(6):
        write_png(tmp_path / "clip" / f"{index}.png", smooth_picture(40, 40, seed=index))
    skipping = Protocol(channel="y", lr_path="y64", border="scale", skip_ends=2)

    report = evaluate("bicubic", [tmp_path / "clip"], scale=2, protocol=skipping)
    middle = evaluate(
        "bicubic", [tmp_path / "clip" / f"{index}.png" for index in (2, 3)], scale=2, protocol=Y_DOUBLE
    )

    assert report.items[0].num_frames == 2
    assert report.mean == middle.mean


def test_a_folder_of_unlike_pictures_is_many_items_and_of_alike_ones_a_clip(tmp_path: Path):
    for index in range(3):
        write_png(tmp_path / "alike" / f"{index}.png", smooth_picture(40, 44))
        write_png(tmp_path / "unlike" / f"p{index}.png", smooth_picture(40, 40 + 4 * index))
    (tmp_path / "unlike" / "README.md").write_text("no picture")

    report = evaluate("bicubic", [tmp_path / "alike", tmp_path / "unlike"], scale=2, protocol=Y_DOUBLE)

    assert [(item.name.split("/")[-1], item.num_frames) for item in report.items] == [
        ("alike", 3), ("p0", 1), ("p1", 1), ("p2", 1),
    ]  # fmt: skip


def test_another_degradation_is_used_and_named(tmp_path: Path):
    path = write_png(tmp_path / "a.png", smooth_picture(48, 48))

    plain = evaluate("bicubic", [path], scale=4, protocol=Y_DOUBLE)
    blurred = evaluate("bicubic", [path], scale=4, protocol=Y_DOUBLE, degradation=BdDuf())

    assert blurred.mean.psnr < plain.mean.psnr - 1
    assert "LR by bd-duf" in blurred.to_text()
    assert blurred.to_json()["degradation"] == {"kind": "bd-duf"}


def test_clips_of_the_store_are_named_by_selections(tmp_path: Path):
    store = Store(tmp_path / "store")
    path = write_png(store.root / "set5" / "baby.png", smooth_picture(40, 40))
    record = ClipRecord(
        source="set5",
        clip="baby",
        path="set5/baby.png",
        files=(store.record_file(path, "0" * 64),),
        sha256="0" * 64,
        origin="imported",
        proof="imported",
        info=probe(path),
    )
    store.put(record)

    report = evaluate("bicubic", ["set5/baby"], scale=2, protocol=Y_DOUBLE, store=store)

    assert report.items[0].name == "set5/baby"
    assert report.mean == evaluate("bicubic", [path], scale=2, protocol=Y_DOUBLE).mean
    write_png(path, smooth_picture(44, 44))
    with pytest.raises(StoreError, match=r"set5/baby: .*baby\.png"):
        evaluate("bicubic", ["set5/baby"], scale=2, protocol=Y_DOUBLE, store=store)
    write_png(path, smooth_picture(40, 40))
    store.put(record.model_copy(update={"files": (store.record_file(path, "0" * 64),)}))
    with pytest.raises(StoreError, match="4 of the 5 clips of set5 are not in the store"):
        evaluate("bicubic", ["set5"], scale=2, protocol=Y_DOUBLE, store=store)
    with pytest.raises(SelectionError, match=r"set6.*is no file or folder"):
        evaluate("bicubic", ["set6"], scale=2, protocol=Y_DOUBLE, store=store)


def test_the_table_says_everything_that_its_numbers_depend_on(tmp_path: Path):
    path = write_png(tmp_path / "a-picture.png", smooth_picture(48, 64))

    report = evaluate("bicubic", [path], scale=4, protocol=VID4, frame_step=2)

    text = report.to_text()
    assert text.startswith("bicubic x4\nvid4: Y BT.601 float, LR rgb1, mod-crop scale, border 0")
    assert "one frame in 2" in text
    assert "LR by bicubic, antialiased as MATLAB's imresize, rounded as vid4 says" in text
    assert f"{report.mean.psnr:.2f}" in text.splitlines()[-1]
    assert max(map(len, text.splitlines())) <= 80
    values = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert values["protocol"]["name"] == "vid4"
    assert values["items"][0] == {
        "name": "a-picture",
        "width": 64,
        "height": 48,
        "frames": 1,
        **values["mean"],
    }


def test_scores_of_rgb_say_that_chroma_is_bicubic(tmp_path: Path):
    path = write_png(tmp_path / "a.png", smooth_picture(40, 40))

    texts = [
        evaluate(method, [path], scale=2, protocol=protocol).to_text()
        for method, protocol in ((nearest_network(2), RGB), ("bicubic", RGB), (nearest_network(2), Y_8BIT))
    ]

    assert ["chroma (Cb, Cr) is bicubic" in text for text in texts] == [True, False, False]


@pytest.mark.parametrize("scale", [0, -1, 1, 5, 7])
@pytest.mark.parametrize("method", ["bicubic", "network"])
def test_a_scale_that_nothing_has_is_refused(tmp_path: Path, method: str, scale: int):
    path = write_png(tmp_path / "a.png", smooth_picture(40, 40))

    with pytest.raises(ValueError, match=f"scale is {scale}, must be 2, 3, 4 or 8"):
        evaluate(
            nearest_network(2) if method == "network" else method, [path], scale=scale, protocol=Y_DOUBLE
        )


def test_equal_pictures_have_no_finite_psnr_and_json_says_null(tmp_path: Path):
    path = write_png(tmp_path / "flat.png", np.full((3, 40, 40), 90, np.uint8))

    report = evaluate("bicubic", [path], scale=2, protocol=Y_DOUBLE)

    assert math.isinf(report.mean.psnr)
    assert report.to_json()["mean"] == {"psnr": None, "ssim": 1.0}
    assert "inf  1.0000" in report.to_text()


def test_a_model_is_found_by_its_folder_and_names_itself(tmp_path: Path):
    config = preset("residual", scale=2)
    header = Header(kind="model", model=config.model, step=5, train=config)
    save_model(tmp_path / "run" / MODEL_NAME, Espcn(config.model), header)
    path = write_png(tmp_path / "a.png", smooth_picture(40, 40))

    report = evaluate(tmp_path / "run", [path], protocol=Y_DOUBLE)

    assert report.method == "run (ESPCN residual, 21284 parameters, step 5)"
    assert report.scale == 2
    assert (
        report.mean == evaluate(str(tmp_path / "run" / MODEL_NAME), [path], protocol=Y_DOUBLE, scale=2).mean
    )
    with pytest.raises(ModelError, match=r"the model is for x2, asked is x3"):
        evaluate(tmp_path / "run", [path], protocol=Y_DOUBLE, scale=3)


def test_what_cannot_be_scored_is_named(tmp_path: Path):
    small = write_png(tmp_path / "small.png", smooth_picture(12, 60))
    (tmp_path / "empty").mkdir()

    with pytest.raises(DecodeError, match=r"small \(60x12, frames: 1\) is too small for y-double at x3"):
        evaluate("bicubic", [small], scale=3, protocol=Y_DOUBLE)
    with pytest.raises(DecodeError, match=r"too small for custom at x3: 1 frames leave none"):
        evaluate(
            "bicubic", [small], scale=3, protocol=Protocol(channel="y", lr_path="y64", border=0, skip_ends=1)
        )
    with pytest.raises(DecodeError, match="no pictures and no videos in this folder"):
        evaluate("bicubic", [tmp_path / "empty"], scale=3, protocol=Y_DOUBLE)
    with pytest.raises(DecodeError, match=r"gone\.png is not there"):
        evaluate("bicubic", [tmp_path / "gone.png"], scale=3, protocol=Y_DOUBLE)
    with pytest.raises(ValueError, match="bicubic needs a scale"):
        evaluate("bicubic", [small], protocol=Y_DOUBLE)
    with pytest.raises(ValueError, match="nothing to evaluate"):
        evaluate("bicubic", [], scale=3, protocol=Y_DOUBLE)
    with pytest.raises(ModelError, match="bicubik is neither a file"):
        evaluate("bicubik", [small], protocol=Y_DOUBLE)


def test_only_one_plane_is_taken_as_luma():
    with pytest.raises(ValueError, match="luma is"):
        upscale_luma(nearest_network(2), np.zeros((3, 8, 8)))


def test_scoring_leaves_no_gradients(tmp_path: Path):
    model = drawn_network(2)

    evaluate(model, [write_png(tmp_path / "a.png", smooth_picture(40, 40))], protocol=Y_DOUBLE)

    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.is_grad_enabled()


def test_a_network_of_rgb_is_scored_on_the_paths_that_have_rgb(tmp_path: Path):
    picture = smooth_picture(48, 64)
    path = write_png(tmp_path / "a.png", picture)
    gray = write_png(tmp_path / "gray.png", smooth_picture(48, 64, planes=1))
    model = Espcn(EspcnConfig(scale=2, colors=3, residual="nearest", last_gain=0.0))

    report = evaluate(model, [path], protocol=RGB)

    lr = _whole(resize_bicubic(picture.astype(float), 24, 64))
    lr = _whole(resize_bicubic(lr, 24, 32))
    inside = np.s_[:, 2:-2, 2:-2]
    wanted = psnr(np.kron(lr, np.ones((1, 2, 2)))[inside], picture[inside].astype(float))
    assert report.mean.psnr == pytest.approx(wanted, abs=1e-6)
    assert "The network makes R'G'B'" in report.to_text()
    # Grey goes in as three equal planes, and repeats its pixels too.
    luma = Espcn(EspcnConfig(scale=2, residual="nearest", last_gain=0.0))
    for protocol in (Y_8BIT, VID4):
        ours, theirs = (evaluate(each, [gray], protocol=protocol).mean.psnr for each in (model, luma))
        assert ours == pytest.approx(theirs, abs=1e-3)
    with pytest.raises(ModelError, match="y-double makes LR of luma alone"):
        evaluate(model, [path], protocol=Y_DOUBLE)


@pytest.mark.parametrize("frame_step", [1, 2])
def test_a_network_of_several_frames_sees_the_lr_around_each_frame(tmp_path: Path, frame_step: int):
    clip = [formula_planes("gray", 48, 40, 2 * index) for index in range(5)]
    path = write_y4m(tmp_path / "clip.y4m", clip, "F25:1 Ip Cmono")
    model = Espcn(preset("residual", scale=2, model={"last_gain": 1.0, "frames": 3}).model, seed=3)
    torch.nn.init.uniform_(model.conv1.weight, -0.1, 0.1)  # a fresh one looks at the centre frame alone

    report = evaluate(model, [path], protocol=Y_DOUBLE, frame_step=frame_step)

    lrs = [resize_bicubic(planes[0][np.newaxis].astype(float), 20, 24) for planes in clip]
    scores = []
    for index in range(0, 5, frame_step):
        window = np.stack([lrs[min(max(each, 0), 4)] for each in (index - 1, index, index + 1)])
        sr = _whole(upscale_luma(model, window)[0])
        scores.append(psnr(sr[2:-2, 2:-2], clip[index][0][2:-2, 2:-2].astype(float)))
    assert report.mean.psnr == pytest.approx(np.mean(scores), abs=1e-4)
    assert "sees 3 frames" in report.to_text()


def test_printed_figures_stand_beside_ours_and_say_where_they_are_from(real_data: Path):
    report = evaluate("bicubic", [real_data / "set5" / "GT"], scale=3, protocol=Y_DOUBLE)
    other = evaluate("bicubic", [real_data / "set5" / "GT"], scale=3, protocol=Y_8BIT)

    text = report.beside_published()
    lines = text.splitlines()
    assert lines[0] == "set5 x3, beside printed figures:"
    assert any("32.55" in line and "ESPCN tanh, 91 images" in line and "*" not in line for line in lines)
    assert ">  30.39  0.8682  bicubic (this run)" in lines
    assert "table 1 (read)" in text
    assert all(
        "*" in line for line in other.beside_published().splitlines() if "ESPCN tanh, 91 images" in line
    )
    rows = report.to_json()["published"]["set5"]
    assert {key: rows[2][key] for key in ("method", "psnr", "ssim")} == {
        "method": "ESPCN tanh, 91 images",
        "psnr": 32.55,
        "ssim": None,
    }


def test_single_pictures_stand_beside_their_own_printed_figures(real_data: Path):
    report = evaluate("bicubic", [real_data / "set5" / "GT"], scale=3, protocol=Y_DOUBLE)
    other = evaluate("bicubic", [real_data / "set5" / "GT"], scale=3, protocol=Y_8BIT)

    assert "  set5/baby      > 33.91 this run; 33.91 bicubic [1]" in report.beside_published().splitlines()
    assert "(measured); no fair comparison: protocol y-double" in other.beside_published()
    assert [row["psnr"] for row in report.to_json()["published"]["set5/butterfly"]] == [24.04]


def test_clips_of_a_selection_are_known_by_their_names(tmp_path: Path):
    score = Score(27.0, 0.8)
    items = tuple(
        ItemScore(f"xiph/{clip}", 1920, 1080, 500, score, "xiph:espcn-8")
        for clip in ("aspen_1080p", "akiyo_cif")
    )
    report = EvaluationReport("ours", 4, VID4, None, 1, items, score, 0.0)

    text = report.beside_published()
    assert "xiph:espcn-8 x4, beside printed figures:" in text
    assert "  xiph/aspen_1080p > 27.00 this run; 30.06 bicubic, 31.51 SRCNN, 31.83 ESPCN [1]" in text
    assert "table 3 (read); no fair comparison: protocol unstated" in text
    assert "akiyo" not in text
    assert list(report.to_json()["published"]) == ["xiph/aspen_1080p", "xiph:espcn-8"]


@pytest.mark.parametrize(("whole", "source"), [("xiph:espcn-8", "xiph/"), ("uvg:uvg-7", "uvg/")])
@pytest.mark.parametrize("scale", [3, 4])
@pytest.mark.parametrize("method", ["bicubic", "SRCNN", "ESPCN"])
def test_figures_of_clips_have_the_printed_average(whole: str, source: str, scale: int, method: str):
    from sr_datasets import catalog
    from sr_datasets.espcn.published import published_rows

    rows = [row for row in published_rows() if row.scale == scale and row.method == method]
    clips = {row.set: row.psnr for row in rows if row.set.startswith(source)}
    (average,) = [row.psnr for row in rows if row.set == whole]

    assert set(clips) == {each.id for each in catalog.select([whole])}
    # Each figure and the average are rounded to a hundredth.
    assert np.mean(list(clips.values())) == pytest.approx(average, abs=0.0101)


def test_every_printed_figure_names_a_set_of_the_catalog_and_how_it_is_known():
    from sr_datasets import catalog
    from sr_datasets.espcn.published import published_rows

    rows = published_rows()
    assert len(rows) > 300
    for name in {row.set for row in rows}:
        assert catalog.select([name])
    assert {row.mark for row in rows} == {"read", "measured"}
    assert len({(row.set, row.scale, row.method, row.source) for row in rows}) == len(rows)


def test_means_are_given_for_each_set_that_was_asked_for(tmp_path: Path):
    for folder in ("one", "two"):
        for index in range(2):
            write_png(tmp_path / folder / f"{index}.png", smooth_picture(40, 40 + 8 * index, seed=index))

    report = evaluate("bicubic", [tmp_path / "one", tmp_path / "two"], scale=2, protocol=Y_DOUBLE)

    assert list(report.groups) == [str(tmp_path / "one"), str(tmp_path / "two")]
    assert all(score.psnr == pytest.approx(report.mean.psnr) for score in report.groups.values())


def test_measures_of_others_say_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import sr_datasets.espcn.perceptual as perceptual

    path = write_png(tmp_path / "a.png", smooth_picture(48, 64))
    perceptual._ffmpeg.cache_clear()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ModelError, match="no ffmpeg is on PATH"):
        evaluate("bicubic", [path], scale=2, protocol=RGB, extras=["vmaf"])
    with pytest.raises(ModelError, match="take --protocol rgb"):
        evaluate("bicubic", [path], scale=2, protocol=Y_DOUBLE, extras=["lpips"])

    # An ffmpeg that has libvmaf, and writes what libvmaf writes.
    fake = tmp_path / "ffmpeg"
    fake.write_text(
        "#!/bin/sh\n"
        "case \"$*\" in *-filters*) echo ' .. libvmaf  VV->V  Calculate the VMAF';; *)\n"
        "for word in $*; do case $word in libvmaf=*) log=${word##*log_path=};; esac; done\n"
        'echo \'{"pooled_metrics": {"vmaf": {"mean": 91.5}}}\' > $log;; esac\n'
    )
    fake.chmod(0o755)
    report = evaluate("bicubic", [path], scale=2, protocol=RGB, extras=["vmaf"])
    perceptual._ffmpeg.cache_clear()

    assert report.items[0].extras == {"vmaf": 91.5}
    assert "VMAF" in report.to_text()
    assert report.to_json()["items"][0]["vmaf"] == 91.5


def test_a_set_that_is_not_in_the_store_is_named_with_what_to_fetch(tmp_path: Path):
    for pattern, count in (("xiph:espcn-8", 8), ("uvg:uvg-7", 7), ("bsd:bsd100", 100), ("vid4", 4)):
        with pytest.raises(
            StoreError, match=f"{count} of the {count} clips of {pattern} .* sr-data fetch {pattern}"
        ):
            evaluate("bicubic", [pattern], scale=3, protocol=Y_DOUBLE, store=Store(tmp_path))
