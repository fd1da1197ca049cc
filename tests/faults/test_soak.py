"""A thousand fetches and builds in one process: memory, descriptors and threads stay what they were."""

import gc
import os
import shutil
import threading
from pathlib import Path

import pytest
from clips import formula_planes, y4m_bytes
from made import recipe_of
from servers import FaultServer

from sr_datasets.build import build_pairs
from sr_datasets.catalog import Selected
from sr_datasets.ingest import fetch_clips
from sr_datasets.manifest import Source
from sr_datasets.progress import Silent
from sr_datasets.store import Store

TIMES = int(os.environ.get("SR_SOAK_TIMES", "1000"))
CLIPS = 4


def taken() -> tuple[int, int, int]:
    """Return resident memory in KiB, open descriptors and threads of this process."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4, len(list(Path("/proc/self/fd").iterdir())), threading.active_count()


@pytest.mark.slow
def test_a_thousand_fetches_and_builds_take_no_more_than_a_hundred(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    files = {
        f"clip{number}.y4m": y4m_bytes([formula_planes("yuv420p", 64, 48, number + index) for index in range(3)], "F25:1")
        for number in range(CLIPS)
    }  # fmt: skip
    manifests = tmp_path / "config" / "sr-datasets" / "manifests" / "sources"
    manifests.mkdir(parents=True)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    recipe = recipe_of(tmp_path)
    digests, seen = set(), []
    with FaultServer(files) as server:
        lines = [
            "format: 1",
            "id: made",
            "title: Made",
            "description: Made.",
            "access: download",
            "citation: {text: None.}",
        ]
        lines += ["licenses: {own: {name: own}}", "license: own", "clips:"]
        for name in files:
            lines += [f"- id: {Path(name).stem}", "  media: video", f"  mirrors: ['{server.url(name)}']", "  evidence: {mirrors: SEEN here}"]  # fmt: skip
        (manifests / "made.yaml").write_text("\n".join(lines) + "\n")
        source = Source.model_validate(
            {
                "format": 1, "id": "made", "title": "Made", "description": "Made.", "access": "download",
                "citation": {"text": "None."}, "licenses": {"own": {"name": "own"}}, "license": "own",
                "clips": [
                    {"id": Path(name).stem, "media": "video", "mirrors": [server.url(name)], "evidence": {"mirrors": "SEEN here"}}
                    for name in files
                ],
            }
        )  # fmt: skip
        for number in range(TIMES):
            store = Store(tmp_path / "store")
            fetch_clips([Selected(source, clip) for clip in source.clips], store, progress=Silent())
            report = build_pairs(recipe, out_dir=tmp_path / "set", store=store)
            digests.add(report.content_digest)
            shutil.rmtree(store.root)
            shutil.rmtree(tmp_path / "set")
            server.asked.clear()
            if (number + 1) % (TIMES // 10) == 0:
                seen.append(taken())
                print(
                    f"{number + 1}: {seen[-1][0] / 1024:.1f} MiB, {seen[-1][1]} descriptors, {seen[-1][2]} threads"
                )

    assert len(digests) == 1
    memory, descriptors, threads = zip(*seen, strict=True)
    assert set(descriptors) == {descriptors[0]}
    assert max(threads) - min(threads) <= 1  # of the server, which counts here too
    assert max(memory[1:]) - memory[1] < 16 << 10, "memory grows"
