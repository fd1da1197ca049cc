"""The audit of a shard set: other splits, test sets, exit codes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from audit_copies import Luma, as_bytes, h264, read_luma, rescaled
from patches import write_set
from PIL import Image
from typer.testing import CliRunner

from sr_datasets.audit import AuditReport, audit_set, fingerprint_paths, shipped_sets
from sr_datasets.audit.fingerprints import FINGERPRINT_VERSION
from sr_datasets.audit.references import CACHE_NAME, load_shipped
from sr_datasets.catalog import find_source
from sr_datasets.cli.main import app
from sr_datasets.errors import SelectionError, ShardError
from sr_datasets.files import sha256_of
from sr_datasets.ingest import import_files
from sr_datasets.progress import Silent
from sr_datasets.shards.verify import verify_set
from sr_datasets.store import Store

SIZE = 96


def squares(luma: Luma, places: list[tuple[int, int]], size: int = SIZE) -> np.ndarray:
    return np.stack([as_bytes(luma)[None, top : top + size, left : left + size] for top, left in places])


def pair(hr: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return hr[..., ::3, ::3].copy(), hr


def found_in(report: AuditReport) -> list[tuple[str, str]]:
    return [(finding.row.sample_id, finding.picture) for finding in report.findings]


@pytest.fixture(scope="module")
def photographs(real_data: Path) -> dict[str, Luma]:
    return {
        name: read_luma(real_data / "t91" / f"{name}.png") for name in ("tt1", "tt3", "tt5", "tt9", "tt21")
    }


def test_a_clip_that_comes_back_smaller_and_encoded_in_another_split_is_found(
    tmp_path: Path, photographs: dict[str, Luma]
):
    train, alien, copied = (photographs[name] for name in ("tt1", "tt5", "tt3"))
    copy = h264(rescaled(copied, 0.7), 20)
    write_set(
        tmp_path,
        {
            "train": pair(
                np.concatenate([squares(copied, [(20, 30), (100, 90)]), squares(train, [(5, 5), (60, 80)])])
            ),
            "test": pair(
                np.concatenate([squares(copy, [(10, 15), (60, 60)]), squares(alien, [(0, 0), (90, 90)])])
            ),
        },
    )

    report = audit_set(tmp_path, against=[])

    assert report.rows == {"test": 4, "train": 4}
    assert {finding.row.clip for finding in report.findings} == {"train0"}
    assert {finding.other.clip for finding in report.findings if finding.other} == {"test0"}
    assert {finding.row.sample_id for finding in report.findings} == {
        "made/train0/000000",
        "made/train0/000001",
    }
    first = next(finding for finding in report.findings if finding.row.sample_id.endswith("0000"))
    assert first.scale == pytest.approx(0.7, abs=0.02)
    # Row 20, column 30 of the photograph is row 14, column 21 of the copy, whose patch begins at (10, 15).
    assert (first.x, first.y) == pytest.approx((6, 4), abs=1.5)
    assert audit_set(tmp_path, against=[], workers=2).to_json() == report.to_json()


def test_the_same_samples_are_found_also_where_points_are_few_but_not_of_a_drawn_sky(tmp_path: Path):
    rng = np.random.default_rng(0)
    ramp = np.clip(np.linspace(40, 200, SIZE) + rng.normal(0, 0.6, (SIZE, SIZE)), 0, 255).astype(np.uint8)
    sky = np.full((SIZE, SIZE), 130, np.uint8)
    write_set(
        tmp_path,
        {"train": pair(np.stack([ramp, sky])[:, None]), "test": pair(np.stack([sky, ramp])[:, None])},
    )

    report = audit_set(tmp_path, against=[])

    (finding,) = report.findings
    assert finding.same_samples
    assert "same samples" in report.to_text()
    assert sum(report.flat.values()) == 4
    assert "4 rows (100.0%)" in report.to_text()


def test_rows_of_one_split_are_not_held_against_each_other(tmp_path: Path, photographs: dict[str, Luma]):
    hr = squares(photographs["tt9"], [(0, 0), (3, 5), (0, 0)])
    write_set(tmp_path, {"train": pair(hr)})

    assert audit_set(tmp_path, against=[]).findings == ()


def test_patches_of_set5_are_found_by_what_is_shipped(
    tmp_path: Path, real_data: Path, photographs: dict[str, Luma]
):
    butterfly = read_luma(real_data / "set5/GT/butterfly.png")
    mirrored = np.ascontiguousarray(rescaled(butterfly, 0.75)[:, ::-1])
    hr = np.concatenate(
        [
            squares(butterfly, [(40, 60)]),
            squares(mirrored, [(50, 50)]),
            squares(photographs["tt21"], [(9, 9), (90, 70)]),
        ]
    )
    # 10 bits, as a clip of a deeper source would have it.
    write_set(tmp_path, {"train": pair(hr.astype(np.uint16) * 4 + 2)}, bit_depth=10)

    result = CliRunner().invoke(app, ["audit", str(tmp_path)])
    as_json = CliRunner().invoke(
        app, ["audit", str(tmp_path), "--against", "set5", "--json", "--store", str(tmp_path / "s")]
    )

    assert result.exit_code == as_json.exit_code == 1
    assert "made/train0 (train) in set5/butterfly: 2 rows" in result.stdout
    assert "mirrored" in result.stdout
    assert all(len(line) <= 80 for line in result.stdout.splitlines())
    said = json.loads(as_json.stdout)
    assert [(one["row"], one["found_in"], one["mirrored"]) for one in said["found"]] == [
        ("made/train0/000000", "set5/butterfly", False),
        ("made/train0/000001", "set5/butterfly", True),
    ]
    assert (said["found"][0]["x"], said["found"][0]["y"]) == pytest.approx((60, 40), abs=0.5)
    assert said["against"] == [{"name": "set5", "pictures": 5, "about": "all five pictures; shipped"}]


def test_frames_of_vid4_that_are_not_shipped_are_found_by_those_that_are(tmp_path: Path, real_data: Path):
    hr = [
        squares(read_luma(real_data / "vid4" / clip / "GT" / f"{number:03d}.png"), [(120, 200), (300, 400)])
        for clip, number in (("calendar", 16), ("foliage", 7))
    ]
    write_set(tmp_path, {"train": pair(np.concatenate(hr))})

    report = audit_set(tmp_path, against=["vid4"], store=Store(tmp_path / "store"))

    assert {finding.place[0] for finding in report.findings} == {"vid4/calendar", "vid4/foliage"}
    assert len({finding.row.sample_id for finding in report.findings}) == 4
    assert all(finding.frame is not None for finding in report.findings)


def test_a_clean_set_ends_with_0_and_says_what_it_was_held_against(
    tmp_path: Path, photographs: dict[str, Luma]
):
    write_set(tmp_path, {"train": pair(squares(photographs["tt1"], [(0, 0), (80, 60)]))})

    result = CliRunner().invoke(app, ["audit", str(tmp_path)])

    assert result.exit_code == 0, result.stdout
    assert "found             nothing" in result.stdout
    assert "set5 (5 pictures; all five pictures; shipped)" in " ".join(result.stdout.split())


def test_a_folder_of_pictures_and_videos_can_be_given(tmp_path: Path, photographs: dict[str, Luma]):
    folder = tmp_path / "mine"
    (folder / "deeper").mkdir(parents=True)
    Image.fromarray(as_bytes(photographs["tt1"])).save(folder / "deeper" / "a.png")
    (folder / "notes.txt").write_text("no picture")
    write_set(tmp_path / "set", {"train": pair(squares(photographs["tt1"], [(30, 30), (90, 60)]))})

    report = audit_set(tmp_path / "set", against=[str(folder)], store=Store(tmp_path / "store"))

    assert found_in(report) == [(f"made/train{number}/000000", "mine/deeper/a.png") for number in (0, 1)]


def test_clips_of_the_store_are_fingerprinted_once_and_rows_for_the_test_of_them_are_left_alone(
    tmp_path: Path, real_data: Path
):
    store = Store(tmp_path / "store")
    import_files(find_source("set5"), [real_data / "set5/GT"], store, progress=Silent())
    bird = read_luma(real_data / "set5/GT/bird.png")
    write_set(tmp_path / "set", {"train": pair(squares(bird, [(20, 20), (120, 100)]))})

    first = audit_set(tmp_path / "set", against=["set5"], store=store)
    files = sorted((store.root / CACHE_NAME).iterdir())
    second = audit_set(tmp_path / "set", against=["set5"], store=store)

    assert len(first.findings) == 2
    assert first.to_json() == second.to_json()
    assert first.references[0][2] == "5 clips of the data folder"
    assert files == sorted(
        path for record in store.records("set5") for path in fingerprint_paths(store, record.sha256)
    )
    assert all(path.name.endswith(f"-v{FINGERPRINT_VERSION}.npz") for path in files)


def test_what_is_shipped_was_made_of_the_files_that_it_names(real_data: Path):
    assert shipped_sets() == ["set5", "vid4"]
    reference = load_shipped("set5")
    assert [picture.name for picture in reference.pictures] == [
        f"set5/{name}" for name in ("baby", "bird", "butterfly", "head", "woman")
    ]


@pytest.mark.parametrize("name", ["set5", "vid4"])
def test_the_script_names_its_sources(name: str, real_data: Path):
    from sr_datasets.audit.fingerprints import read_fingerprints

    path = Path(__file__).parents[1] / "src/sr_datasets/audit/shipped" / f"{name}.npz"
    pictures, about = read_fingerprints(path)

    assert about["tool"].startswith("sr-datasets ")
    assert path.stat().st_size < 60 * sum(len(one.points) for one in pictures)
    for file, sha256 in about["sha256"].items():
        folder, _, frame = file.rpartition("/")
        where = real_data / name / (f"{folder}/GT" if folder else "GT") / frame
        assert sha256_of(where) == sha256


@pytest.mark.parametrize(
    ("against", "words"),
    [
        ("set14", ["no clips of set14", "shipped are: set5, vid4", "sr-data fetch set14"]),
        ("sett5", ["sett5", "Did you mean set5", "folder of pictures"]),
        ("none/nowhere", ["none/nowhere", "no such folder"]),
    ],
)
def test_names_that_are_not_here_are_said_with_what_is(
    tmp_path: Path, photographs: dict[str, Luma], against: str, words: list[str]
):
    write_set(tmp_path / "set", {"train": pair(squares(photographs["tt1"], [(0, 0), (9, 9)]))})

    with pytest.raises(SelectionError) as caught:
        audit_set(tmp_path / "set", against=[against], store=Store(tmp_path / "store"))

    for word in words:
        assert word in str(caught.value)


def test_the_sets_of_these_tests_are_whole(tmp_path: Path, photographs: dict[str, Luma]):
    write_set(tmp_path, {"train": pair(squares(photographs["tt1"], [(0, 0), (9, 9)]))})

    assert verify_set(tmp_path) == []


def test_a_folder_that_is_no_set_is_said_to_be_none(tmp_path: Path):
    with pytest.raises(ShardError, match="is not a shard set"):
        audit_set(tmp_path)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("data/train-00000-of-00001.parquet", r"train-00000-of-00001\.parquet: altered"),
        ("index.parquet", r"index\.parquet: altered"),
        ("sr-data.json", r"train-00000-of-00001\.parquet: altered: .* when it was written"),
    ],
)
def test_a_set_that_is_not_what_it_says_is_not_audited(
    tmp_path: Path, photographs: dict[str, Luma], name: str, words: str
):
    first, second = (
        pair(squares(photographs[photograph], [(0, 0), (9, 9)])) for photograph in ("tt1", "tt3")
    )
    write_set(tmp_path / "one", {"train": first, "test": second})
    write_set(tmp_path / "other", {"train": second, "test": second})
    shutil.copy(tmp_path / "other" / name, tmp_path / "one" / name)
    if name == "index.parquet":  # the other set's is the same: ids and places are
        (tmp_path / "one" / name).write_bytes((tmp_path / "one" / name).read_bytes()[:-1] + b"?")

    with pytest.raises(ShardError, match=rf"one is damaged:\n  .*{words}"):
        audit_set(tmp_path / "one", against=[])


def test_a_set_without_a_shard_is_said_to_lack_it(tmp_path: Path, photographs: dict[str, Luma]):
    write_set(tmp_path, {"train": pair(squares(photographs["tt1"], [(0, 0), (9, 9)]))})
    shutil.rmtree(tmp_path / "data")

    with pytest.raises(ShardError, match="is missing"):
        audit_set(tmp_path)
