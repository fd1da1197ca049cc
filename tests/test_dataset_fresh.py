"""LR made when it is loaded: a build's bits with a build's key, other draws in each epoch, and whole batches on torch."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made import made_store, recipe_of
from shard_sets import SMALL, write_set
from test_build_errors import rows_of

from sr_datasets.build import build_pairs
from sr_datasets.degrade import Degrader, Region
from sr_datasets.errors import ShardError
from sr_datasets.recipe import BdDuf, Bicubic, GaussianSubsample, NoLr, UniformSampling
from sr_datasets.recipe.chains import Chain
from sr_datasets.recipe.degradations import Area, BdTecoGan, Lanczos, OpenCvBicubic, PillowBicubic

torch = pytest.importorskip("torch")
from torch.utils.data import DataLoader  # noqa: E402

from sr_datasets import FreshLr, PairDataset, ResumableSampler  # noqa: E402
from sr_datasets.dataset.batched import degrade_batch  # noqa: E402

pytestmark = pytest.mark.torch

NOISY = {
    "kind": "chain",
    "steps": [
        {"kind": "blur", "sigma": {"low": 0.2, "high": 1.0}, "size": 7},
        {"kind": "bicubic"},
        {"kind": "gaussian-noise", "sigma": {"low": 1, "high": 20}},
    ],
}
NOISY_HR = {
    "kind": "chain",
    "between": "floats",
    "steps": [
        {"kind": "gaussian-noise", "sigma": {"low": 1, "high": 20}, "grey": 0.5},
        {"kind": "blur", "sigma": 0.8, "size": 5},
        {"kind": "bicubic"},
        {"kind": "gaussian-noise", "sigma": 2},
    ],
}
JPEG_OF_CROPS = {
    "kind": "chain",
    "of": "crop",
    "steps": [
        {"kind": "gaussian-noise", "sigma": 3},
        {"kind": "bicubic"},
        {"kind": "jpeg", "quality": {"low": 30, "high": 90}},
    ],
}
BLURRED = {"kind": "chain", "steps": NOISY["steps"][:2]}
CROPS = "real-esrgan"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    return made_store(tmp_path, monkeypatch)


def build_both(store: Any, tmp_path: Path, degradation: Any, halo: int, **settings: Any) -> tuple[Path, Path]:
    """Build a set with LR and one without, of the same places."""
    fresh = FreshLr(degradation)
    kept, made = tmp_path / "none", tmp_path / "made"
    build_pairs(recipe_of(tmp_path, degradation=NoLr(halo=halo), **settings), out_dir=kept, store=store)
    build_pairs(recipe_of(tmp_path, degradation=fresh.degradation, **settings), out_dir=made, store=store)
    return kept, made


@pytest.mark.parametrize(
    ("degradation", "halo", "color", "window"),
    [
        ("bicubic", 6, "rgb", 1),
        ("bicubic", 8, "yuv420", 1),
        ("bd-duf", 8, "y", 3),
        (BLURRED, 10, "rgb", 1),
        (BLURRED, 10, "y", 3),
        (NOISY, 10, "rgb", 1),
        (NOISY, 10, "y", 3),
        (NOISY, 12, "yuv420", 1),
        (NOISY_HR, 10, "rgb", 3),
        (JPEG_OF_CROPS, 0, "rgb", 1),
        (JPEG_OF_CROPS, 0, "y", 3),
        (CROPS, 0, "rgb", 1),
    ],
    ids=[
        "bicubic",
        "yuv420",
        "window",
        "drawn",
        "drawn-window",
        "noise",
        "noise-window",
        "noise-yuv420",
        "noise-before",
        "jpeg",
        "jpeg-window",
        "crops",
    ],
)
def test_lr_with_the_key_of_a_build_is_that_of_the_build(
    store: Any, tmp_path: Path, degradation: Any, halo: int, color: str, window: int
) -> None:
    more: dict[str, Any] = {"window": window, "hr_frames": "all"} if window > 1 else {}
    size = 16 if degradation == CROPS else 6
    sampling = UniformSampling(lr_size=size, patches_per_pair=3, margin=-(-halo // 2), **more)
    kept, made = build_both(
        store, tmp_path, degradation, halo, scale=2, color=color, sampling=sampling, seed=5
    )
    ds = PairDataset(
        kept,
        degrade=FreshLr(degradation, seed=5, every_epoch=False),
        columns=("sample_id", "drawn", "degradation"),
    )

    rows = rows_of(made)
    ds.set_epoch(3)
    batch = ds[:]
    for number in range(len(ds)):
        row, sample = rows[ds.row(number)["sample_id"]], ds[number]
        for each in (sample, {name: values[number] for name, values in batch.items()}):
            np.testing.assert_array_equal(each["lr"].numpy(), row.lr)
            np.testing.assert_array_equal(each["hr"].numpy(), row.hr)
            assert (each["drawn"], each["degradation"]) == (row.drawn, row.degradation)
    assert ds.tensor_bytes() == sum(pixels.nbytes for pixels in (batch["lr"], batch["hr"]))
    assert torch.equal(ds.to_tensors()["lr"], batch["lr"])


def test_every_epoch_draws_anew_and_alike_in_every_worker(store: Any, tmp_path: Path) -> None:
    sampling = UniformSampling(lr_size=6, patches_per_pair=3)
    recipe = recipe_of(tmp_path, scale=2, color="y", sampling=sampling, degradation=NoLr(halo=10))
    build_pairs(recipe, out_dir=tmp_path / "none", store=store)
    ds = PairDataset(tmp_path / "none", degrade=NOISY, columns=("sample_number",))
    sampler = ResumableSampler(ds, num_samples=2 * len(ds))

    found: dict[int, Any] = {}
    loader = DataLoader(
        ds, sampler=sampler.batches(5), batch_size=None, num_workers=2, multiprocessing_context="forkserver"
    )
    for batch in loader:
        found |= dict(zip(batch["sample_number"].tolist(), batch["lr"], strict=True))
    order = sampler.order.rows(0, 2 * len(ds)).tolist()
    for epoch in (0, 1):
        ds.set_epoch(epoch)
        for number in range(epoch * len(ds), (epoch + 1) * len(ds)):
            assert torch.equal(found[number], ds[order[number]]["lr"])
            assert torch.equal(found[number], ds.__getitems__([order[number]])[0]["lr"])
    first = ds[:]["lr"]
    ds.set_epoch(0)
    assert not torch.equal(ds[:]["lr"], first)
    assert not torch.equal(PairDataset(ds.path, degrade=FreshLr(NOISY, seed=1))[0]["lr"], ds[0]["lr"])


def test_what_cannot_be_degraded_when_it_is_loaded_is_refused_at_once(store: Any, tmp_path: Path) -> None:
    write_set(tmp_path / "small", SMALL)
    with pytest.raises(ShardError, match=r"hold LR already \(bicubic\)"):
        PairDataset(tmp_path / "small", degrade="bicubic")
    recipe = recipe_of(tmp_path, degradation=NoLr(halo=3), sampling=UniformSampling(lr_size=6))
    build_pairs(recipe, out_dir=tmp_path / "none", store=store)
    with pytest.raises(ShardError, match=r"4 HR pixels around .* the set keeps 3\. .*halo: 4"):
        PairDataset(tmp_path / "none", degrade="bicubic")
    jpeg = {"kind": "chain", "steps": [{"kind": "bicubic"}, {"kind": "jpeg", "quality": 50}]}
    with pytest.raises(
        ShardError, match=r"none: jpeg must see the whole frame, of which a row holds a patch\. Choose"
    ):
        PairDataset(tmp_path / "none", degrade=jpeg)
    coded = {"kind": "chain", "steps": [{"kind": "bicubic"}, {"kind": "x264", "crf": 25, "chroma": "4:2:0"}]}
    with pytest.raises(ShardError, match="x264 must see the whole clip"):
        PairDataset(tmp_path / "none", degrade=coded)
    with pytest.raises(ShardError, match="none: x264: chroma 4:4:4 is for color rgb, not y"):
        PairDataset(tmp_path / "none", degrade="comisr-crf25")
    with pytest.raises(ValueError, match=r"degrade='bicubik': .*neither a preset"):
        PairDataset(tmp_path / "none", degrade="bicubik")


KINDS = [Bicubic(), Bicubic(rounding="once"), Lanczos(), Area(), BdDuf(), BdTecoGan(), OpenCvBicubic()]


@pytest.mark.parametrize("degradation", [*KINDS, GaussianSubsample(sigma=1.3)], ids=lambda kind: kind.kind)
@pytest.mark.parametrize(("scale", "bit_depth"), [(2, 8), (3, 8), (4, 10)])
def test_whole_batches_in_float64_are_those_of_a_build(degradation: Any, scale: int, bit_depth: int) -> None:
    halo, size = 40, 12
    rng = np.random.default_rng(scale)
    dtype = np.uint16 if bit_depth > 8 else np.uint8
    side = size * scale + 2 * halo
    hr = rng.integers(0, 1 << bit_depth, (3, 2, 3, side, side), dtype)
    degrader = Degrader(degradation, scale, bit_depth=bit_depth)
    lr = Region(1000, 1000, size, size)
    at, far = lr.times(scale).grown(halo), scale << 16

    made, shown = degrade_batch(
        torch.from_numpy(hr), scale, halo=halo, degradation=degradation, bit_depth=bit_depth, exact=True
    )
    quick, _ = degrade_batch(
        torch.from_numpy(hr), scale, halo=halo, degradation=degradation, bit_depth=bit_depth
    )
    assert made.dtype == shown.dtype == (torch.uint16 if bit_depth > 8 else torch.uint8)
    np.testing.assert_array_equal(shown.numpy(), hr[..., halo:-halo, halo:-halo])
    expected = np.array(
        [degrader.degrade(list(row), at=at, height=far, width=far, lr=lr, numbers=[0, 1])[0] for row in hr]
    )
    np.testing.assert_array_equal(made.numpy(), expected)
    assert np.abs(quick.numpy().astype(int) - expected).max() <= 1


def test_batches_that_are_no_filter_or_lack_a_halo_are_refused() -> None:
    hr = torch.zeros(1, 1, 24, 24, dtype=torch.uint8)
    with pytest.raises(ValueError, match="pillow-bicubic is no filter"):
        degrade_batch(hr, 2, halo=4, degradation=PillowBicubic())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="bicubic needs a halo of 3 HR pixels, these have 2"):
        degrade_batch(hr, 2, halo=2)
    with pytest.raises(ValueError, match="HR of 16x16 within a halo of 4 is no multiple of the scale 3"):
        degrade_batch(hr, 3, halo=4)


def test_a_degradation_may_be_a_model_a_mapping_or_a_name() -> None:
    for how in ("bicubic", {"kind": "bicubic"}, Bicubic()):
        assert FreshLr(how).degradation == Bicubic()
    assert isinstance(FreshLr(CROPS).degradation, Chain)
