"""Everything that reads foreign bytes, and what must hold of it: a right result, or an error of our tree."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from clips import formula_clip, formula_planes, y4m_bytes
from shard_sets import SMALL, make_rows, rewrite, write_set, write_shard

from sr_datasets.errors import SrDataError

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Reader:
    """One way into the package for bytes of unknown origin."""

    seeds: Callable[[Path], Sequence[bytes]]
    """Makes valid files, in an empty folder of its own."""
    read: Callable[[bytes, Path], None]
    """Reads bytes, with a folder for files; asserts that what was read is right."""
    memory_bytes: int = 256 * MIB
    """Most memory that an input may take beyond what the imported package has."""
    seconds: float = 10.0
    """Longest that an input may take, of processor time."""
    words: tuple[bytes, ...] = ()
    """Words of the format."""
    errors: tuple[type[Exception], ...] = (SrDataError,)
    """What may be raised."""
    mend: Callable[[bytes], bytes] | None = None
    """Puts a payload behind right checksums, so that what lies behind them is reached."""


# ---- text ------------------------------------------------------------------------------------------------

_MANIFEST = b"""format: 1
id: given
title: Given
description: Clips of somebody else.
access: download
citation: {text: None.}
licenses: {own: {name: own}}
license: own
archives:
- id: pack
  size_bytes: 100
  mirrors: [https://example.org/pack.zip]
  evidence: {mirrors size_bytes: SEEN here}
clips:
- id: one
  media: video
  size_bytes: 45621060
  mirrors: [https://example.org/one.y4m]
  width: 352
  height: 288
  frame_rate: 30000/1001
  num_frames: 300
  pixel_format: yuv420p
  sha256: "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
  evidence: {mirrors size_bytes sha256: SEEN here, width height frame_rate num_frames pixel_format: SEEN there}
- id: two
  media: frames
  archive: pack
  members: ["a/*.png"]
  num_frames: 10
  evidence: {members num_frames: SEEN here}
"""
_RECIPE = b"""format: 1
id: given
title: Given
clips: [xiph, "vid4/*"]
where: {height: 288}
scale: 3
color: y
degradation: {kind: gaussian-subsample, sigma: 1.6}
sampling: {kind: uniform, patches_per_pair: 12, lr_size: 17, window: 3}
split: {counts: {test: 1, train: -1}}
seed: 7
clips_per_shard: 2
"""
_YAML_WORDS = (b": ", b"- ", b"\n  ", b"{", b"}", b"[", b"]", b"!!python/object/apply:os.system [x]", b"<<: ", b"? ", b"%YAML 1.1\n", b"---\n", b"|\n", b'"')  # fmt: skip


def _packaged(kind: str) -> list[bytes]:
    folder = Path(__file__).parents[2] / "manifests" / kind
    paths = [path for path in sorted(folder.glob("*.yaml")) if path.stat().st_size < 6_000]
    return [re.sub(rb"(?m)^id: .*$", b"id: given", path.read_bytes(), count=1) for path in paths]


def _read_manifest(data: bytes, folder: Path) -> None:
    from sr_datasets.errors import ManifestError
    from sr_datasets.manifest import Source
    from sr_datasets.rules import source_problems
    from sr_datasets.yamlfile import load_model

    path = folder / "given.yaml"
    path.write_bytes(data)
    source = load_model(path, Source, ManifestError, check=lambda found: source_problems(found, path.stem))
    for clip in source.expanded().clips:
        assert "/" not in clip.id
        assert not clip.id.startswith(".")


def _read_recipe(data: bytes, folder: Path) -> None:
    from sr_datasets.errors import RecipeError
    from sr_datasets.recipe import Recipe
    from sr_datasets.rules import recipe_problems
    from sr_datasets.yamlfile import load_model

    path = folder / "given.yaml"
    path.write_bytes(data)
    recipe = load_model(path, Recipe, RecipeError, check=recipe_problems)
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe


# ---- what the package writes, and others may bring -------------------------------------------------------


def _lock_seeds(folder: Path) -> list[bytes]:
    from made import put_clip

    from sr_datasets.built import LockedClip, lock_recipe, register_set
    from sr_datasets.recipe import Recipe
    from sr_datasets.store import Store

    store = Store(folder)
    records = [
        put_clip(store, f"clip{number}", width=16, height=16, num_frames=1, seed=number) for number in (0, 1)
    ]
    recipe = Recipe.model_validate(
        {
            "format": 1, "id": "given", "title": "G", "clips": ["made"], "scale": 2, "color": "y",
            "sampling": {"kind": "uniform"}, "split": {"counts": {"train": -1}},
        }
    )  # fmt: skip
    lock_recipe(
        store,
        recipe,
        [LockedClip(source="made", clip=one.clip, split="train", sha256=one.sha256) for one in records],
    )
    register_set(store, folder / "set", "given", [f"made/{one.clip}" for one in records])
    return [(folder / name).read_bytes() for name in ("sr-data.lock", "recipes.lock", "sets.json")]


def _read_locks(data: bytes, folder: Path) -> None:
    from sr_datasets.built import RECIPES_NAME, SETS_NAME, built_sets, recipe_locks
    from sr_datasets.store import LOCK_NAME, Store

    for name in (LOCK_NAME, RECIPES_NAME, SETS_NAME):
        (folder / name).write_bytes(data)
    store, failed = Store(folder), []
    for look in (
        lambda: store.records(),
        lambda: recipe_locks(folder / RECIPES_NAME),
        lambda: built_sets(store),
    ):
        try:
            look()
        except SrDataError as error:
            failed.append(error)
    if len(failed) < 3:
        root = folder.resolve()
        try:
            records = store.records()
        except SrDataError:
            return
        for record in records:
            for file in record.files:
                assert (root / file.path).resolve().is_relative_to(root), file.path
        return
    raise failed[0]


def _set_seeds(folder: Path) -> list[bytes]:
    write_set(folder, SMALL)
    return [(folder / "sr-data.json").read_bytes()]


def _read_set_json(data: bytes, folder: Path) -> None:
    from sr_datasets.shards.sets import is_as_written, read_set

    (folder / "sr-data.json").write_bytes(data)
    info = read_set(folder)
    assert info.splits is not None
    is_as_written(folder)


# ---- shards ----------------------------------------------------------------------------------------------


def _shard_seeds(storage: str) -> Callable[[Path], list[bytes]]:
    def make(folder: Path) -> list[bytes]:
        groups = {
            "one": [make_rows("c0", 3), make_rows("c1", 2)],
            "deep": [make_rows("c0", 2, bit_depth=10, color="y")],
            "several": [
                make_rows(
                    "c0", 2, frames=3, hr_all=True, color="y" if storage == "png" else "yuv420", width=6
                )
            ],
        }
        for name, rows in groups.items():
            write_shard(folder / f"{name}.parquet", rows, {"recipe": "{}"}, storage=storage)  # type: ignore[arg-type]
        return [(folder / f"{name}.parquet").read_bytes() for name in groups]

    return make


def _read_shard(data: bytes, folder: Path) -> None:
    from sr_datasets.shards.index import load_index
    from sr_datasets.shards.mapped import MappedRows
    from sr_datasets.shards.reader import ShardReader
    from sr_datasets.shards.verify import verify_shard

    path = folder / "train-00000-of-00001.parquet"
    path.unlink(missing_ok=True)  # a map of the one before may still be there
    path.write_bytes(data)
    problems = verify_shard(path)
    reader = ShardReader(path)
    try:
        if reader.num_rows > 1000:
            assert problems, "no shard of a few kB has so many rows"
            return
        for number in range(reader.num_rows):
            row = reader.read_row(number)
            assert row.lr.dtype == row.hr.dtype
            lr, hr = reader.pixels(number)
            np.testing.assert_array_equal(lr, row.lr)
            np.testing.assert_array_equal(hr, row.hr)
    finally:
        reader.close()
    index = load_index(path, None)
    rows = MappedRows(index.paths, index.shard_of_group, index.rows_of_group)
    for number in range(len(rows)):
        rows.pair(number)


def _foreign_seeds(folder: Path) -> list[bytes]:
    """Return shards as other tools write them: other codecs and pages, no checksums, so that wrong headers reach further."""
    write_shard(folder / "ours.parquet", [make_rows("c0", 3), make_rows("c1", 2)], {"recipe": "{}"})
    found = []
    for codec, version in (("zstd", "1.0"), ("snappy", "2.0"), ("none", "1.0")):
        rewrite(folder / "ours.parquet", folder / codec, compression=codec, data_page_version=version)
        found.append((folder / codec).read_bytes())
    return found


def _read_foreign_shard(data: bytes, folder: Path) -> None:
    from sr_datasets.shards.reader import ShardReader

    path = folder / "foreign.parquet"
    path.unlink(missing_ok=True)
    path.write_bytes(data)
    reader = ShardReader(path)
    try:
        for number in range(min(10, reader.num_rows)):
            reader.row(number)
            reader.pixels(number)
    finally:
        reader.close()


def _read_foreign_index(data: bytes, folder: Path) -> None:
    from sr_datasets.shards.index import fact_names, kinds_of, load_index, read_facts

    if not (folder / "sr-data.json").is_file():
        write_set(folder, SMALL)
    (folder / "index.parquet").unlink()
    (folder / "index.parquet").write_bytes(data)
    index = load_index(folder, "train")
    assert int(index.rows_of_group.sum()) == 9
    read_facts(
        folder, "train", [name for name in fact_names(folder, "train") if name in ("clip", "top", "drawn")]
    )
    kinds_of(folder, "train")


def _index_seeds(folder: Path) -> list[bytes]:
    write_set(folder, SMALL)
    return [(folder / "index.parquet").read_bytes()]


def _page_seeds(folder: Path) -> list[bytes]:
    import pyarrow.parquet as pq

    found = []
    for storage in ("raw", "zstd"):
        path = folder / f"{storage}.parquet"
        write_shard(path, [make_rows("c0", 3)], storage=storage)  # type: ignore[arg-type]
        data = path.read_bytes()
        with pq.ParquetFile(path) as file:
            group = file.metadata.row_group(0)
            for number in range(group.num_columns):
                column = group.column(number)
                if column.path_in_schema in ("lr", "hr"):
                    start = column.data_page_offset
                    found.append(_without_crc(data[start : start + column.total_compressed_size]))
    return found


def _without_crc(chunk: bytes) -> bytes:
    """Return a chunk whose first page tells no CRC-32, so that what stands behind it is reached."""
    from sr_datasets.shards.pages import crc_field, iter_pages

    view = memoryview(chunk)
    page = next(iter_pages(view, 0, len(chunk)))
    first, end = crc_field(view, page)
    following = chunk[end]
    # The next field counts from 3 in place of 4.
    return chunk[: first - 1] + bytes([following + 0x10]) + chunk[end + 1 :]


def _read_column(data: bytes, folder: Path) -> None:
    from sr_datasets.errors import ShardError
    from sr_datasets.shards.pages import ChunkPlace, PagedColumn, PageError, iter_pages

    failed = 0
    for codec, levels in (("UNCOMPRESSED", 0), ("ZSTD", 0), ("UNCOMPRESSED", 1)):
        column = PagedColumn(memoryview(data), ChunkPlace(0, len(data), codec, levels, 1))
        try:
            pages = list(iter_pages(memoryview(data), 0, len(data)))
            assert sum(page.size for page in pages) <= len(data)
            for row in range(min(64, sum(page.num_values for page in pages))):
                (value,) = column.values(row)
                assert len(value) < 1 << 30
        except PageError:
            failed += 1
    if failed == 3:
        raise ShardError("as its reader says it")


# ---- models ----------------------------------------------------------------------------------------------


def _model_seeds(folder: Path) -> list[bytes]:
    import torch

    from sr_datasets.espcn.checkpoint import Header, save_model, save_tensors
    from sr_datasets.espcn.config import EspcnConfig
    from sr_datasets.espcn.model import Espcn

    torch.manual_seed(0)
    config = EspcnConfig(scale=2)
    model = Espcn(config)
    save_model(folder / "model.safetensors", model, Header(kind="model", model=config))
    state = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    save_tensors(folder / "last.safetensors", state, Header(kind="state", model=config, step=3))
    return [(folder / name).read_bytes() for name in ("model.safetensors", "last.safetensors")]


def _read_model(data: bytes, folder: Path) -> None:
    import torch

    from sr_datasets.espcn.checkpoint import load_model, read_header, read_tensors

    path = folder / "model.safetensors"
    path.unlink(missing_ok=True)  # the one before may still be mapped
    path.write_bytes(data)
    header = read_header(path)
    if header.kind == "state":
        _, tensors = read_tensors(path, kind="state")
        assert all(isinstance(tensor, torch.Tensor) for tensor in tensors.values())
        return
    model, _ = load_model(path)
    assert all(bool(torch.isfinite(tensor).all()) for tensor in model.state_dict().values())


def _fingerprint_seeds(folder: Path) -> list[bytes]:
    from sr_datasets.audit.fingerprints import FINGERPRINT_VERSION
    from sr_datasets.audit.points import DESCRIPTOR_BYTES

    about = {
        "version": FINGERPRINT_VERSION,
        "of": "x",
        "pictures": [{"name": "a", "frame": 0, "width": 64, "height": 48, "points": 3}],
    }
    data = io.BytesIO()
    arrays = {
        "about": np.frombuffer(json.dumps(about).encode(), np.uint8),
        "places": np.arange(6, dtype=np.uint16).reshape(3, 2),
        "scales": np.arange(3, dtype=np.uint8),
        "bits": np.zeros((3, DESCRIPTOR_BYTES), np.uint8),
    }
    with zipfile.ZipFile(data, "w") as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, array, allow_pickle=False)
            archive.writestr(f"{name}.npy", member.getvalue())
    return [data.getvalue()]


def _read_fingerprints(data: bytes, folder: Path) -> None:
    from sr_datasets.audit.fingerprints import read_fingerprints

    path = folder / "given.npz"
    path.write_bytes(data)
    pictures, _ = read_fingerprints(path)
    for picture in pictures:
        assert len(picture.points.x) == len(picture.points.sigma) == len(picture.points.bits)


# ---- YouTube ---------------------------------------------------------------------------------------------


def framed(payload: bytes) -> bytes:
    """Return a TFRecord of one payload."""
    from sr_datasets.fetch.youtube.crc import masked_crc32c

    head = struct.pack("<Q", len(payload))
    return head + struct.pack("<I", masked_crc32c(head)) + payload + struct.pack("<I", masked_crc32c(payload))


def _field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2, len(content)]) + content


def _example_seeds(folder: Path) -> list[bytes]:
    record = _field(1, _field(1, b"id") + _field(2, _field(1, _field(1, b"ab_-"))))
    labels = _field(1, _field(1, b"labels") + _field(2, _field(3, _field(1, b"\x07\x8d\x02"))))
    rgb = _field(1, _field(1, b"mean_rgb") + _field(2, _field(2, _field(1, bytes(32)))))
    return [_field(1, record + labels), _field(1, labels + rgb + record)]


def _read_example(data: bytes, folder: Path) -> None:
    from sr_datasets.fetch.youtube.example import parse_example

    video = parse_example(data)
    assert len(video.record_id) == 4
    assert all(0 <= label < 1 << 16 for label in video.labels)


def _read_tfrecord(data: bytes, folder: Path) -> None:
    from sr_datasets.fetch.youtube.tfrecord import iter_records

    path = folder / "given.tfrecord"
    path.write_bytes(data)
    assert b"".join(framed(payload) for payload in iter_records(path)) == data


def _read_vocabulary(data: bytes, folder: Path) -> None:
    from sr_datasets.fetch.youtube.vocabulary import find_label, read_vocabulary

    path = folder / "vocabulary.csv"
    path.write_bytes(data)
    for label in read_vocabulary(path)[:3]:
        try:
            find_label([label], str(label.index))
        except SrDataError:
            continue


def _table_seeds(folder: Path) -> list[bytes]:
    detection = b"AAB6lO-XiKE,238000,0,person,0,present,0.482,0.54,0.372,0.61\nAAB6lO-XiKE,239000,0,person,0,absent,-1,-1,-1,-1\n"
    classes = b"youtube_id,timestamp_ms,class_id,class_name,object_presence\nAARNQeeGCeM,0,23,car,uncertain\n"
    return [detection, classes, gzip.compress(detection, mtime=0)]


def _read_table(data: bytes, folder: Path) -> None:
    from sr_datasets.fetch.youtube.boundingboxes import CLASSES, iter_annotations, segments_of

    path = folder / ("given.csv.gz" if data[:2] == b"\x1f\x8b" else "given.csv")
    path.write_bytes(data)
    for segment in segments_of(iter_annotations(path)):
        assert segment.start_ms <= segment.end_ms
        assert segment.class_id in CLASSES


def _read_answer(data: bytes, folder: Path) -> None:
    from sr_datasets.fetch.youtube.resolver import _parse

    found = _parse(data, "02ab")
    assert found is None or len(found) == 11


def _read_plan(data: bytes, folder: Path) -> None:
    from sr_datasets.fetch.youtube.plans import read_plan

    path = folder / "plan.json"
    path.write_bytes(data)
    for shard in read_plan(path, "train"):
        assert "/" not in shard.local_name


def _ledger_seeds(folder: Path) -> list[bytes]:
    import datetime

    from sr_datasets.fetch.youtube.ledger import Entry, Ledger

    ledger = Ledger(folder / "availability.parquet")
    day = datetime.date(2026, 1, 2)
    ledger.put(
        Entry("a", "02ab", "tvvJFX90eh0", "ok", day, title="T"), Entry("", "", "tvvJFX90eh1", "gone", day)
    )
    return [ledger.path.read_bytes()]


def _read_ledger(data: bytes, folder: Path) -> None:
    from sr_datasets.fetch.youtube.ledger import Ledger

    path = folder / "availability.parquet"
    path.write_bytes(data)
    ledger = Ledger(path)
    if len(ledger.entries()) < 100:
        ledger.by_key()
        ledger.counts()


def _journal_seeds(folder: Path) -> list[bytes]:
    import datetime

    from made import put_clip

    from sr_datasets.fetch.youtube.ledger import Entry, Ledger
    from sr_datasets.journal import journal_of
    from sr_datasets.store import LOCK_NAME, Store

    store, ledger, found = Store(folder), Ledger(folder / "availability.parquet"), []
    day = datetime.date(2026, 1, 2)
    entries = [Entry(f"a{number}", "", f"tvvJFX90eh{number}", "ok", day, start_ms=5) for number in range(4)]
    for number in (0, 1):
        put_clip(store, f"clip{number}", width=16, height=16, num_frames=1, seed=number)
    ledger.put(*entries[:2])
    with store.batch(), ledger.batch():
        for number in (2, 3):
            put_clip(store, f"clip{number}", width=16, height=16, num_frames=1, seed=number)
            ledger.put(entries[number])
        for path in (folder / LOCK_NAME, ledger.path):
            found.append(journal_of(path).read_bytes())
    return found


def _read_journals(data: bytes, folder: Path) -> None:
    from sr_datasets.fetch.youtube.ledger import Ledger
    from sr_datasets.journal import journal_of
    from sr_datasets.store import LOCK_NAME, Store

    lock, table = folder / LOCK_NAME, folder / "availability.parquet"
    failed = []
    for path in (lock, table):
        path.unlink(missing_ok=True)
        journal_of(path).write_bytes(data)
    root = folder.resolve()
    try:
        records = Store(folder).records()
        for record in records:
            for file in record.files:
                assert (root / file.path).resolve().is_relative_to(root), file.path
        with Store(folder).batch():
            pass
        assert not journal_of(lock).exists()
        assert Store(folder).records() == records
    except SrDataError as error:
        failed.append(error)
    try:
        entries = Ledger(table).entries()
        with Ledger(table).batch():
            pass
        assert not journal_of(table).exists()
        assert Ledger(table).entries() == entries
    except SrDataError as error:
        failed.append(error)
    if len(failed) == 2:
        raise failed[0]


def _mended_journal(data: bytes) -> bytes:
    """Put right checksums before the lines."""
    title, *lines = data.split(b"\n")
    lines = [b"%08x %s" % (zlib.crc32(line[9:]), line[9:]) if line else line for line in lines]
    return b"\n".join([title, *lines])


# ---- archives --------------------------------------------------------------------------------------------


def _archive_seeds(folder: Path) -> list[bytes]:
    files = {"a/one.y4m": b"one" * 50, "a/two.y4m": b"two" * 400, "b/note.txt": b"note"}
    found = []
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        data = io.BytesIO()
        with zipfile.ZipFile(data, "w", method) as packed:
            for name, content in files.items():
                packed.writestr(zipfile.ZipInfo(name), content, method)
        found.append(data.getvalue())
    for mode in ("w", "w:gz", "w:xz", "w:bz2"):
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode=mode) as tar:  # type: ignore[call-overload]
            for name, content in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
        found.append(data.getvalue())
    content = b"YUV4MPEG2 " * 100
    found += [gzip.compress(content, mtime=0), lzma.compress(content), bz2.compress(content)]
    try:
        import py7zr
    except ImportError:
        return found
    with py7zr.SevenZipFile(folder / "given.7z", "w") as seven:
        for name, content in files.items():
            seven.writestr(content, name)
    return [*found, (folder / "given.7z").read_bytes()]


def _read_archive(data: bytes, folder: Path) -> None:
    from sr_datasets.fetch.archive import extract, list_members
    from sr_datasets.fetch.unpacked import Limits

    inner = folder / "inner"
    inner.mkdir(exist_ok=True)
    path = inner / "given.y4m.gz"
    path.write_bytes(data)
    before = sorted(folder.rglob("*"))
    try:
        list_members(path)
        files = extract(
            path, ["**/*.y4m", "*"], inner / "out", expected_count=None, limits=Limits(16 * MIB, 250.0)
        )
        assert files
        for file in files:
            assert file.parent == inner / "out"
            assert file.is_file()
            assert not file.is_symlink()
    finally:
        after = [one for one in sorted(folder.rglob("*")) if not one.is_relative_to(inner / "out")]
        assert [one for one in before if not one.is_relative_to(inner / "out")] == after, (
            "nothing lies elsewhere"
        )


# ---- pictures and video ----------------------------------------------------------------------------------


def _y4m_seeds(folder: Path) -> list[bytes]:
    small = [formula_planes("yuv420p", 16, 12, index) for index in range(3)]
    deep = [formula_planes("yuv422p10le", 9, 7, index) for index in range(2)]
    gray = [formula_planes("gray", 8, 8, 0)]
    return [
        y4m_bytes(small, "F30000:1001 Ip A1:1 C420jpeg XYSCSS=420JPEG XCOLORRANGE=LIMITED"),
        y4m_bytes(small, "F25:1", frame_line="FRAME Ip"),
        y4m_bytes(deep, "F25:1 It A128:117 C422p10"),
        y4m_bytes(gray, "F25:1 Cmono"),
    ]


def _read_clip(suffix: str) -> Callable[[bytes, Path], None]:
    def read(data: bytes, folder: Path) -> None:
        from sr_datasets.video import open_clip, probe

        path = folder / f"given{suffix}"
        path.unlink(missing_ok=True)  # the one before may still be mapped
        path.write_bytes(data)
        info = probe(path)
        assert info.num_frames > 0
        with open_clip(path, info) as reader:
            asked = sorted({0, info.num_frames // 2, info.num_frames - 1})
            for frame in reader.frames(asked):
                assert frame.planes[0].shape == (info.height, info.width)
                int(frame.planes[0].sum())  # every mapped byte is there

    return read


def _picture_seeds(folder: Path) -> list[bytes]:
    from PIL import Image

    draws = np.random.default_rng(0)
    pixels = draws.integers(0, 256, (12, 16, 3), np.uint8)
    found = []
    for kind, picture in (
        ("PNG", Image.fromarray(pixels)),
        ("PNG", Image.fromarray(pixels[..., 0])),
        ("PNG", Image.fromarray(pixels).quantize(16)),
        ("JPEG", Image.fromarray(pixels)),
        ("BMP", Image.fromarray(pixels)),
    ):
        data = io.BytesIO()
        picture.save(data, kind)
        found.append(data.getvalue())
    deep = io.BytesIO()
    Image.fromarray(draws.integers(0, 65536, (6, 8), np.uint16)).save(deep, "PNG")
    return [*found, deep.getvalue()]


def _mended_png(data: bytes) -> bytes:
    """Return a PNG whose chunks have right checksums, as far as it is one."""
    import zlib

    if not data.startswith(b"\x89PNG"):
        return data
    parts, at = [data[:8]], 8
    while at + 12 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if at + 12 + size > len(data):
            break
        body = data[at + 4 : at + 8 + size]
        parts += [data[at : at + 4], body, zlib.crc32(body).to_bytes(4, "big")]
        at += 12 + size
    return b"".join([*parts, data[at:]])


def _video_seeds(folder: Path) -> list[bytes]:
    names = []
    for suffix, codec in (
        (".mkv", "ffv1"),
        (".mp4", "mpeg4"),
        (".webm", "libvpx-vp9"),
        (".avi", "mjpeg"),
        (".mov", "libx264"),
    ):
        path = folder / f"seed{suffix}"
        pixel_format = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        formula_clip(path, width=32, height=32, num_frames=4, codec=codec, pixel_format=pixel_format)
        names.append(path)
    return [path.read_bytes() for path in names]


READERS: dict[str, Reader] = {
    "manifest": Reader(lambda _: [_MANIFEST, *_packaged("sources")], _read_manifest, words=_YAML_WORDS),
    "recipe": Reader(lambda _: [_RECIPE, *_packaged("recipes")], _read_recipe, words=_YAML_WORDS),
    "lock": Reader(_lock_seeds, _read_locks, words=(b'"../../../etc/passwd"', b'"made/../../x"', b'"/x"')),
    "set": Reader(_set_seeds, _read_set_json),
    "index": Reader(_index_seeds, _read_foreign_index, memory_bytes=1024 * MIB),
    "shard": Reader(_shard_seeds("raw"), _read_shard, memory_bytes=1024 * MIB),
    "shard-zstd": Reader(_shard_seeds("zstd"), _read_shard, memory_bytes=1024 * MIB),
    "shard-png": Reader(_shard_seeds("png"), _read_shard, memory_bytes=1024 * MIB),
    "shard-foreign": Reader(_foreign_seeds, _read_foreign_shard, memory_bytes=1024 * MIB),
    "pages": Reader(_page_seeds, _read_column, memory_bytes=1024 * MIB),
    "model": Reader(_model_seeds, _read_model),
    "fingerprints": Reader(_fingerprint_seeds, _read_fingerprints),
    "example": Reader(_example_seeds, _read_example),
    "tfrecord": Reader(lambda folder: [framed(one) * 2 for one in _example_seeds(folder)], _read_tfrecord),
    "vocabulary": Reader(
        lambda _: [b'Index,TrainVideoCount,KnowledgeGraphId,Name\n0,788288,/m/03bt1gh,Game\n1,53,/m/0,"Video, ""x"""\n'],
        _read_vocabulary,
    ),
    "boxes": Reader(_table_seeds, _read_table),
    "answer": Reader(lambda _: [b'i("02ab","tvvJFX90eh0");', b'i("02ab","");'], _read_answer),
    "plan": Reader(lambda _: [json.dumps({"files": {"trainaB.tfrecord": "0" * 32}}).encode()], _read_plan),
    "ledger": Reader(_ledger_seeds, _read_ledger, memory_bytes=1024 * MIB),
    "journal": Reader(_journal_seeds, _read_journals, mend=_mended_journal),
    "archive": Reader(_archive_seeds, _read_archive, memory_bytes=1024 * MIB),
    "y4m": Reader(_y4m_seeds, _read_clip(".y4m"), words=(b"FRAME\n", b" C420p16", b" W0", b" H0", b" It", b" F0:0", b" XYSCSS=")),
    "picture": Reader(_picture_seeds, _read_clip(".png"), memory_bytes=2048 * MIB, mend=_mended_png),
    "video": Reader(_video_seeds, _read_clip(".mkv"), memory_bytes=2048 * MIB),
}  # fmt: skip
