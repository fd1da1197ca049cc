"""What stores and sets of millions of clips need: files that are read in pieces, names that are looked up once."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from sr_datasets import catalog
from sr_datasets.catalog import imported_clips, select
from sr_datasets.errors import ShardError, StoreError
from sr_datasets.manifest import VideoInfo
from sr_datasets.shards import sets
from sr_datasets.shards.sets import FileInfo, InputInfo, LrInfo, SetInfo, read_set, set_json, write_set_json
from sr_datasets.store import LOCK_NAME, ClipRecord, FileRecord, Store, lockfile, read_lock

INFO = {
    "media": "video",
    "container": "mov",
    "codec": "h264",
    "width": 1280,
    "height": 720,
    "num_frames": 300,
    "frame_rate": "30000/1001",
    "pixel_format": "yuv420p",
    "bit_depth": 8,
    "model": "yuv",
    "chroma_log2_x": 1,
    "chroma_log2_y": 1,
    "time_base": "1/15360",
    "scan": "progressive",
    "color": {
        "matrix": "bt709",
        "range": "limited",
        "transfer": "bt709",
        "siting": "left",
        "matrix_from": "tagged",
        "range_from": "tagged",
        "transfer_from": "tagged",
        "siting_from": "guessed",
    },
}


def records_of(count: int) -> list[ClipRecord]:
    found = []
    for number in range(count):
        clip = f"clip-{number:05d}"
        path, sha256 = f"youtube-8m/{clip}.mp4", hashlib.sha256(clip.encode()).hexdigest()
        files = (FileRecord(path=path, size_bytes=number, sha256=sha256, mtime_ns=number),)
        found.append(
            ClipRecord(
                source="youtube-8m",
                clip=clip,
                path=path,
                files=files,
                sha256=sha256,
                origin=f'https://example.org/"{clip}",\n  "b": {{}}\n }}\n}}\n',
                proof="first-fetch",
                info=VideoInfo.model_validate(INFO | {"num_frames": 300 + number % 3}),
            )
        )
    return found


def bring(home: Store, records: Sequence[ClipRecord], came: list[ClipRecord]) -> None:
    """Note the records that have not come yet, one after another; those that come are added to ``came``."""
    with home.batch():
        for record in records[len(came) :]:
            home.put(record)
            came.append(record)


def test_a_lock_file_is_read_in_pieces_and_keeps_what_records_share_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(lockfile, "_PIECE_BYTES", 5000)
    records = records_of(100)
    Store(tmp_path).put(*records)
    pieces = list(lockfile._pieces(tmp_path / LOCK_NAME))

    found = Store(tmp_path).records()

    assert len(pieces) > 10
    assert found == records
    assert len({id(record.info) for record in found}) == 3
    assert len({id(record.info.color) for record in found}) == 1
    assert all(record.files[0].path is record.path for record in found)
    Store(tmp_path / "again").put(*found)
    assert (tmp_path / "again" / LOCK_NAME).read_bytes() == (tmp_path / LOCK_NAME).read_bytes()


def test_a_lock_file_that_another_program_wrote_is_read_all_the_same(tmp_path: Path):
    records = records_of(10)
    Store(tmp_path).put(*records)
    path = tmp_path / LOCK_NAME
    path.write_text(json.dumps(json.loads(path.read_bytes())))

    assert Store(tmp_path).records() == records
    assert list(read_lock(path).values()) == records


@pytest.mark.parametrize(
    "harm", [lambda text: text[:-9], lambda text: text.replace('"bit_depth": 8', '"bit_depth": x', 1)]
)
def test_a_lock_file_that_is_damaged_is_one_sentence(tmp_path: Path, harm):
    Store(tmp_path).put(*records_of(10))
    path = tmp_path / LOCK_NAME
    path.write_text(harm(path.read_text()))

    with pytest.raises(StoreError, match="is not a lock file of this version"):
        Store(tmp_path).records()


def test_a_long_list_of_names_reads_its_manifest_once(monkeypatch: pytest.MonkeyPatch):
    asked = []
    known = catalog.find_source
    monkeypatch.setattr(catalog, "find_source", lambda name: asked.append(name) or known(name))
    records = records_of(2000)
    names = [f"youtube-8m/{record.clip}" for record in reversed(records)]

    found = select(names, imported=imported_clips(records))

    assert [selected.id for selected in found] == names
    assert asked == ["youtube-8m"]


def set_of(inputs: tuple[InputInfo, ...]) -> SetInfo:
    return SetInfo(
        format=2,
        recipe={"id": "made", "inputs": [], "title": 'ä\n "inputs": []'},
        rows=0,
        content_digest="0" * 64,
        shards=(),
        index=FileInfo(size_bytes=1, sha256="0" * 64),
        inputs=inputs,
        packages={"numpy": "2"},
    )


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7])
def test_a_set_with_its_clips_is_written_as_json_and_read_without_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
):
    monkeypatch.setattr(sets, "_INPUTS_AT_ONCE", 3)
    lr = LrInfo(source="made", clip="small", sha256="1" * 64)
    inputs = tuple(
        InputInfo(
            source="made",
            clip=f"clip{number}",
            split="train",
            sha256="0" * 64,
            origin='"ö\\\n ]',
            lr=lr if number % 2 else None,
        )
        for number in range(count)
    )
    info = set_of(inputs)
    fields = info.model_dump(mode="json") | {"sha256": "0" * 64}
    text = (json.dumps(fields, indent=1, ensure_ascii=False) + "\n").encode()
    digest = hashlib.sha256(text).hexdigest().encode()

    assert set_json(info) == digest.join(text.rsplit(b"0" * 64, 1))
    write_set_json(tmp_path, info)
    assert read_set(tmp_path) == info
    for size in (1, 2, 5, 64, 1 << 20):
        monkeypatch.setattr(sets, "_BLOCK_BYTES", size)
        assert read_set(tmp_path, inputs=False) == set_of(())
    whole = (tmp_path / "sr-data.json").read_bytes()
    for length in (5, len(whole) // 2, len(whole) - 3):
        (tmp_path / "sr-data.json").write_bytes(whole[:length])
        with pytest.raises(ShardError, match="is not the description of a shard set"):
            read_set(tmp_path, inputs=False)
