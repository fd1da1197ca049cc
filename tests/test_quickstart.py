"""The main job, whole: from the generated clips to a network that beats bicubic on clips it never saw."""

from pathlib import Path

import pytest
from PIL import Image

from sr_datasets.progress import Silent
from sr_datasets.quickstart import run_quickstart

pytestmark = pytest.mark.torch


def test_the_quick_start_ends_in_a_network_that_beats_bicubic_on_unseen_clips(tmp_path: Path):
    # A tenth of the steps that a user gets; the full run gains about three times as much as is asked for here.
    report = run_quickstart(tmp_path / "qs", workers=1, progress=Silent(), steps=400)

    assert report.gain >= 0.5
    assert all(
        after.score.psnr > before.score.psnr and after.score.ssim > before.score.ssim
        for before, after in zip(report.bicubic.items, report.espcn.items, strict=True)
    )
    assert [item.name for item in report.espcn.items] == [item.name for item in report.bicubic.items]
    text = report.to_text()
    assert "y-double" in text
    assert max(map(len, text.split("\npicture")[0].splitlines())) <= 80
    with Image.open(report.picture) as picture:
        assert picture.size[0] > 1000
    again = run_quickstart(tmp_path / "qs", workers=1, progress=Silent(), steps=400)
    assert again.gain == report.gain
