"""Builds that look at the pictures: analyses are kept, made again when damaged, and forgotten with their clips."""

import logging
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from cut_clips import Luma, pan
from made import MANIFEST, RECIPE, made_store, put_clip, recipe_of
from test_sampling_cuts import scene

from sr_datasets.build import analysing, build_pairs, choose_pairs, plan_rows
from sr_datasets.build.analysing import analysis_of, analysis_paths, planned_rows
from sr_datasets.build.scenes import analysis_name
from sr_datasets.errors import BuildError, DecodeError, MissingExtraError, RecipeError
from sr_datasets.files import sha256_of
from sr_datasets.forget import forget, plan_forget
from sr_datasets.manifest import Clip
from sr_datasets.recipe import Recipe
from sr_datasets.shards.reader import ShardReader
from sr_datasets.shards.schema import Row
from sr_datasets.shards.sets import read_set
from sr_datasets.store import ClipRecord, FileRecord, Store
from sr_datasets.video import probe

UNIFORM = "kind: uniform, patches_per_pair: 12, lr_size: 8"


def with_sampling(tmp_path: Path, sampling: str) -> Recipe:
    return recipe_of(tmp_path, RECIPE.replace(UNIFORM, sampling))


def put_frames(store: Store, name: str, frames: Sequence[Luma]) -> ClipRecord:
    """Put a clip of these luma frames (grey 4:2:0) into the store."""
    path = store.root / "made" / f"{name}.y4m"
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = frames[0].shape
    chroma = bytes([128]) * (2 * -(-height // 2) * -(-width // 2))
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F25:1 Ip A1:1\n".encode())
        for frame in frames:
            file.write(b"FRAME\n" + frame.tobytes() + chroma)
    stat, digest = path.stat(), sha256_of(path)
    file_record = FileRecord(
        path=f"made/{path.name}", size_bytes=stat.st_size, sha256=digest, mtime_ns=stat.st_mtime_ns
    )
    record = ClipRecord(
        source="made",
        clip=name,
        path=f"made/{path.name}",
        files=(file_record,),
        sha256=digest,
        origin="imported",
        proof="imported",
        info=probe(path),
    )
    store.put(record)
    return record


def moving(seed: int, *, num_frames: int, height: int = 120, width: int = 160) -> list[Luma]:
    return [
        frame[:height, :width].copy() for frame in pan(scene(seed), num_frames=num_frames, per_frame=(1, 2))
    ]


@pytest.fixture
def noise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Return the store of five clips of noise."""
    return made_store(tmp_path, monkeypatch)


@pytest.fixture
def scenes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Return a store with clips of two shots each, cut at frame 9, the first frame shown three times."""
    manifests = tmp_path / "config" / "sr-datasets" / "manifests" / "sources"
    manifests.mkdir(parents=True)
    (manifests / "made.yaml").write_text(MANIFEST)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    store = Store(tmp_path / "store")
    for number in range(3):
        one, other = moving(2 * number, num_frames=7), moving(2 * number + 1, num_frames=9)
        put_frames(store, f"clip{number}", [one[0], one[0], *one, *other])
    return store


def rows_of(folder: Path) -> list[Row]:
    readers = [ShardReader(path) for path in sorted((folder / "data").iterdir())]
    return [reader.read_row(number) for reader in readers for number in range(reader.num_rows)]


@pytest.mark.parametrize("hr_frames", ["centre", "all"])
@pytest.mark.parametrize("window", [3, 7, 15])
def test_windows_hold_every_step_th_frame_with_hr_of_the_centre_or_of_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, window: int, hr_frames: str
):
    store = made_store(tmp_path, monkeypatch)
    for number in range(5):
        put_clip(store, f"clip{number}", width=72, height=64, num_frames=31, seed=number)
    step = 2 if window == 15 else 3 if window == 7 else 1
    sampling = f"{UNIFORM}, window: {window}, step: {step}, hr_frames: {hr_frames}"
    build_pairs(with_sampling(tmp_path, sampling), out_dir=tmp_path / "set", store=store)

    for row in rows_of(tmp_path / "set"):
        assert len(row.frame_indices) == window
        assert set(np.diff(row.frame_indices)) == {step}
        assert row.lr.shape == (window, 1, 8, 8)
        assert row.hr.shape == ((window, 1, 24, 24) if hr_frames == "all" else (1, 24, 24))
        centre = np.fromfile(store.root / "made" / f"{row.clip}.y4m", np.uint8)
        frame_bytes = 6 + 72 * 64 * 3 // 2
        start = len(centre) - (31 - row.frame_indices[window // 2]) * frame_bytes + 6
        luma = centre[start : start + 72 * 64].reshape(64, 72)
        hr = row.hr[window // 2] if hr_frames == "all" else row.hr
        np.testing.assert_array_equal(
            hr[0], luma[row.top * 3 : row.top * 3 + 24, row.left * 3 : row.left * 3 + 24]
        )


def test_windows_cross_no_cut_and_show_no_frame_twice_unless_told(scenes: Store, tmp_path: Path):
    careful = with_sampling(tmp_path, f"{UNIFORM}, window: 3")
    careless = with_sampling(tmp_path, f"{UNIFORM}, window: 3, avoid: []")

    def plans(recipe: Recipe) -> list[tuple[int, ...]]:
        return [
            row.frame_indices
            for record in scenes.records()
            for row in planned_rows(recipe, Clip(id=record.clip), record, scenes)
        ]

    assert all(frames[0] >= 2 and (frames[-1] < 9 or frames[0] >= 9) for frames in plans(careful))
    assert any(frames[0] < 9 <= frames[-1] for frames in plans(careless))
    assert careless.sampling.needs_analysis is False


SAMPLINGS = [
    f"{UNIFORM}, window: 3",
    "kind: textured, patches_per_pair: 12, lr_size: 8, overlap: none, near_frames: 2",
    "kind: stratified, patches_per_pair: 12, lr_size: 8",
    "kind: tiles, windows_per_pair: 2, lr_size: 8, window: 3",
    "kind: grid, lr_size: 8, stride: 11, frame_step: 5, avoid: [borders, duplicates]",
]


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_a_plan_is_the_same_whenever_its_analysis_was_made(scenes: Store, tmp_path: Path, sampling: str):
    recipe = with_sampling(tmp_path, sampling)
    record, clip = scenes.get("made", "clip2"), Clip(id="clip2")
    before = planned_rows(recipe, clip, record, scenes)
    for path in analysis_paths(scenes, record.sha256):
        path.unlink()

    assert planned_rows(recipe, clip, record, scenes) == planned_rows(recipe, clip, record, scenes) == before


def test_any_number_of_workers_gives_the_same_set(scenes: Store, tmp_path: Path):
    recipe = with_sampling(tmp_path, "kind: stratified, patches_per_pair: 12, lr_size: 8, window: 3")
    one = build_pairs(recipe, out_dir=tmp_path / "one", store=scenes)
    kept = {path: path.read_bytes() for path in (scenes.root / ".analysis").iterdir()}
    for path in kept:
        path.unlink()
    two = build_pairs(recipe, out_dir=tmp_path / "two", store=scenes, workers=2)

    assert one.content_digest == two.content_digest
    shards = [sorted((tmp_path / name / "data").iterdir()) for name in ("one", "two")]
    assert [path.read_bytes() for path in shards[0]] == [path.read_bytes() for path in shards[1]]
    assert {path: path.read_bytes() for path in (scenes.root / ".analysis").iterdir()} == kept
    assert ShardReader(shards[0][0]).metadata["analysis"] == "v1"


def test_plans_of_single_uniform_frames_need_no_analysis_and_stay_what_they_were(
    noise: Store, tmp_path: Path
):
    recipe = recipe_of(tmp_path)
    rows = plan_rows(recipe, noise.get("made", "clip0"))
    build_pairs(recipe, out_dir=tmp_path / "set", store=noise)

    assert [(row.frame_indices[0], row.top, row.left) for row in rows[:3]] == [
        (5, 5, 12),
        (5, 17, 12),
        (5, 14, 15),
    ]
    assert not (noise.root / ".analysis").exists()
    assert analysis_name(recipe.sampling) == ""


def test_an_analysis_is_made_once_and_a_damaged_one_again(
    scenes: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    recipe = with_sampling(tmp_path, "kind: textured, patches_per_pair: 5, lr_size: 8")
    record, clip = scenes.get("made", "clip0"), Clip(id="clip0")
    before = planned_rows(recipe, clip, record, scenes)
    (path,) = analysis_paths(scenes, record.sha256)
    whole = path.read_bytes()
    monkeypatch.setattr(analysing, "open_clip", lambda *_, **__: pytest.fail("the clip is read again"))
    assert planned_rows(recipe, clip, record, scenes) == before
    monkeypatch.undo()

    for damaged in (whole[:-30], b"", whole[:900] + bytes([whole[900] ^ 1]) + whole[901:], b"PK" + whole[5:]):
        path.write_bytes(damaged)
        with caplog.at_level(logging.WARNING):
            assert planned_rows(recipe, clip, record, scenes) == before
        assert "is damaged" in caplog.text
        assert path.read_bytes() == whole
        caplog.clear()
    with zipfile.ZipFile(path, "a") as archive:
        assert "blocks-00001.npy" in archive.namelist()


def test_an_analysis_of_other_frames_than_the_record_has_is_not_taken(scenes: Store, tmp_path: Path):
    recipe = with_sampling(tmp_path, "kind: textured, patches_per_pair: 5, lr_size: 8")
    record, short = scenes.get("made", "clip0"), put_frames(scenes, "short", moving(0, num_frames=5))
    assert analysis_of(recipe, Clip(id="short"), short, scenes).num_frames == 5
    (path,) = analysis_paths(scenes, short.sha256)
    path.rename(path.with_name(path.name.replace(short.sha256, record.sha256)))

    assert analysis_of(recipe, Clip(id="clip0"), record, scenes).num_frames == 18


def test_a_store_that_cannot_be_written_is_analysed_all_the_same(
    scenes: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    recipe = with_sampling(tmp_path, "kind: stratified, patches_per_pair: 9, lr_size: 8")
    record, clip = scenes.get("made", "clip1"), Clip(id="clip1")
    before = planned_rows(recipe, clip, record, scenes)
    for path in analysis_paths(scenes, record.sha256):
        path.unlink()

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(analysing, "atomic_path", refuse)
    assert planned_rows(recipe, clip, record, scenes) == before
    assert analysis_paths(scenes, record.sha256) == []


def test_forgetting_a_clip_deletes_its_analysis_unless_another_clip_has_the_same_bytes(
    scenes: Store, tmp_path: Path
):
    twin = put_frames(
        scenes,
        "twin",
        [*moving(0, num_frames=7)[:1] * 3, *moving(0, num_frames=7)[1:], *moving(1, num_frames=9)],
    )
    assert twin.sha256 == scenes.get("made", "clip0").sha256
    build_pairs(with_sampling(tmp_path, f"{UNIFORM}, window: 3"), out_dir=tmp_path / "set", store=scenes)
    folder = scenes.root / ".analysis"
    assert len(list(folder.iterdir())) == 3
    unfinished = folder / f".{scenes.get('made', 'clip1').sha256}-v1.npz.0000.part"
    unfinished.touch()

    forget(scenes, ["made/clip0"])
    assert len(analysis_paths(scenes, twin.sha256)) == 1
    assert [file.path.parent for file in plan_forget(scenes, ["made/clip1"]).files].count(folder) == 2
    forget(scenes, ["made/clip1"])
    assert not unfinished.exists()
    forget(scenes, ["made/twin"])
    assert len(list(folder.iterdir())) == 1
    again = build_pairs(
        with_sampling(tmp_path, f"{UNIFORM}, window: 3"), out_dir=tmp_path / "new", store=scenes
    )
    assert again.num_rows == 12


def test_a_clip_that_cannot_be_read_ends_the_choice_or_is_left_out(scenes: Store, tmp_path: Path):
    path = scenes.root / "made" / "clip1.y4m"
    data = bytearray(path.read_bytes())
    data[data.index(b"FRAME", 200_000)] = 0
    path.write_bytes(data)
    stat = path.stat()
    record = scenes.get("made", "clip1")
    file = record.files[0].model_copy(update={"mtime_ns": stat.st_mtime_ns})
    scenes.put(record.model_copy(update={"files": (file,)}))
    recipe = with_sampling(tmp_path, f"{UNIFORM}, window: 3")

    with pytest.raises(DecodeError, match="clip1"):
        choose_pairs(recipe, scenes)
    chosen = choose_pairs(recipe, scenes, on_error="skip")
    # It keeps its place, so that no other clip goes into another split or shard.
    assert [(pair.record.clip, pair.num_rows > 0) for pair in chosen.pairs] == [
        ("clip0", True),
        ("clip1", False),
        ("clip2", True),
    ]
    report = build_pairs(recipe, out_dir=tmp_path / "out", store=scenes, on_error="skip")
    assert [(clip.clip, "FRAME" in clip.reason) for clip in report.failed] == [("clip1", True)]
    assert read_set(tmp_path / "out").rows == sum(pair.num_rows for pair in chosen.pairs)


def test_too_few_fitting_patches_say_how_many_there_are(scenes: Store, tmp_path: Path):
    recipe = with_sampling(tmp_path, "kind: textured, patches_per_pair: 4, lr_size: 8, min_texture: 255")

    with pytest.raises(
        BuildError,
        match=r"made/clip0 has \d patches that fit .*a texture of at least 255.*asks for 4\. Leave the clip out of recipe",
    ):
        choose_pairs(recipe, scenes)


def test_tiles_are_cut_without_decoding_a_frame_twice(
    scenes: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from sr_datasets.build import cutting

    recipe = with_sampling(tmp_path, "kind: tiles, windows_per_pair: 3, lr_size: 8, window: 3, min_frames: 3")
    pair = choose_pairs(recipe, scenes).pairs[0]
    decoded: list[int] = []
    real = cutting.open_clip

    def counting(*args: object, **options: object) -> object:
        reader = real(*args, **options)  # type: ignore[arg-type]
        frames = reader.frames

        def noted(indices: Sequence[int]) -> object:
            decoded.extend(indices)
            return frames(indices)

        reader.frames = noted  # type: ignore[method-assign, assignment]
        return reader

    monkeypatch.setattr(cutting, "open_clip", counting)
    monkeypatch.setattr(
        cutting, "MAX_GROUP_BYTES", 8 * 8 * (3 + 9) * 35
    )  # one window of 30 tiles fits, two do not
    groups = list(cutting.iter_groups(recipe, pair, scenes))

    assert [len(rows) for rows in groups] == [30, 30, 30]
    assert len(decoded) == len(set(decoded)) == 9


def test_pieces_of_one_video_and_twins_land_in_one_split(scenes: Store, tmp_path: Path):
    def piece(video: str, second: int) -> str:
        from sr_datasets.fetch.youtube.names import Piece

        return Piece(video, 1000 * second, 1000 * second + 1000).clip_id

    for number in range(6):
        put_frames(scenes, piece("AbCdEfGhIjK", number), moving(10 + number, num_frames=3))
        put_frames(scenes, piece("abcdefghijk", number), moving(20 + number, num_frames=3))
    base = RECIPE + "order: keyed\ndrop_duplicates: false\n"
    ratios = recipe_of(
        tmp_path, base.replace("{counts: {test: 1, train: -1}}", "{ratios: {train: 0.6, test: 0.4}}")
    )
    put_frames(scenes, "twin", moving(20, num_frames=3))  # the same bytes as a piece

    pairs = choose_pairs(ratios, scenes).pairs
    split = {pair.record.clip: pair.split for pair in pairs}
    assert len(pairs) == 16
    assert len({split[piece("AbCdEfGhIjK", number)] for number in range(6)}) == 1
    assert len({split["twin"]} | {split[piece("abcdefghijk", number)] for number in range(6)}) == 1
    assert set(split.values()) == {"train", "test"}
    named = recipe_of(
        tmp_path,
        base.replace(
            "{counts: {test: 1, train: -1}}",
            "{clips: {test: ['made/*ijk.*.0-1000'], train: ['made/clip*', 'made/twin', 'made/*IjK*', 'made/*ijk.*.[1-9]*']}}",
        ),
    )
    with pytest.raises(
        BuildError, match=r"is in split (test|train) and .* in (test|train), but they are pieces of one"
    ):
        choose_pairs(named, scenes)


def test_clips_that_counts_have_no_room_for_are_listed(noise: Store, tmp_path: Path):
    recipe = recipe_of(tmp_path, RECIPE.replace("{test: 1, train: -1}", "{test: 1, train: 2}"))
    chosen = choose_pairs(recipe, noise)

    assert [pair.split for pair in chosen.pairs] == ["test", "train", "train"]
    assert [clip.reason for clip in chosen.skipped] == ["the splits take 3"] * 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("split: {ratios: {train: 0.8, test: 0.1}}", "ratios add up to 0.9, not to 1"),
        ("split: {ratios: {train: 1.0}, counts: {train: 1}}", "one of `counts`, `ratios` and `clips`"),
        (
            "split: {counts: {train: -1}}\nsampling: {kind: stratified, luma_edges: [9, 3]}",
            "it must be above 0 and ascend",
        ),
        ("split: {counts: {train: -1}}\nsampling: {kind: tiles, window: 4}", "window is 4"),
    ],
)
def test_wrong_splits_and_samplings_are_refused(tmp_path: Path, text: str, message: str):
    lines = [line for line in RECIPE.splitlines() if not line.startswith(("split", "sampling"))]
    with pytest.raises(RecipeError, match=message):
        recipe_of(tmp_path, "\n".join([*lines, text, ""]))


def test_ratios_are_summed_as_they_are_written(tmp_path: Path):
    text = RECIPE.replace("{counts: {test: 1, train: -1}}", "{ratios: {train: 0.7, val: 0.2, test: 0.1}}")

    assert recipe_of(tmp_path, text).split.ratios["val"] == 0.2


def test_pyscenedetect_is_asked_for_by_name_and_named_when_it_is_missing(
    scenes: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    recipe = with_sampling(tmp_path, f"{UNIFORM}, window: 3, cut_detector: pyscenedetect")
    monkeypatch.setitem(sys.modules, "scenedetect", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    with pytest.raises(MissingExtraError, match=r"pip install 'sr-datasets\[scene\]'"):
        choose_pairs(recipe, scenes)


def test_pyscenedetect_finds_the_cuts_of_plain_clips(scenes: Store, tmp_path: Path):
    pytest.importorskip("scenedetect")
    recipe = with_sampling(tmp_path, f"{UNIFORM}, window: 3, cut_detector: pyscenedetect")
    found = analysis_of(recipe, Clip(id="clip0"), scenes.get("made", "clip0"), scenes)

    assert np.flatnonzero(found.cut).tolist() == [9]
    assert "pyscenedetect" in analysis_paths(scenes, scenes.get("made", "clip0").sha256)[0].name


def test_an_analysis_of_another_clip_is_made_again(scenes: Store, tmp_path: Path):
    recipe = with_sampling(tmp_path, f"{UNIFORM}, window: 3")
    before = build_pairs(recipe, out_dir=tmp_path / "before", store=scenes).content_digest
    one, other = sorted((scenes.root / ".analysis").iterdir())[:2]
    kept = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(kept)

    assert build_pairs(recipe, out_dir=tmp_path / "after", store=scenes).content_digest == before
    assert one.read_bytes() == kept
