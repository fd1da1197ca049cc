"""Members come out of archives by pattern, whole, and nowhere else; what is unsafe or damaged is refused."""

import bz2
import contextlib
import gzip
import hashlib
import io
import lzma
import os
import shutil
import stat
import sys
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest

from sr_datasets.errors import FetchError, MissingExtraError, SrDataError
from sr_datasets.fetch import archive as archive_module
from sr_datasets.fetch.archive import Limits, Want, extract, extract_each, list_members

FRAMES = {f"Set/calendar/{index:03d}.png": bytes([index]) * (1000 + index) for index in range(1, 6)}
OTHERS = {"Set/calendar.txt": b"list", "Set/LR/calendar/001.png": b"small", "Set/city/001.png": b"city"}


def make_zip(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.mkdir("Set")
        for name, data in members.items():
            archive.writestr(name, data)
    return path


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return make_zip(tmp_path / "Set.zip", FRAMES | OTHERS)


def test_the_first_pattern_with_the_expected_count_is_used(archive: Path, tmp_path: Path):
    patterns = ["GT/calendar/*.png", "Set/city/*.png", "Set/calendar/*.png", "**/*.png"]
    files = extract(archive, patterns, tmp_path / "out", expected_count=5)

    assert [file.name for file in files] == ["001.png", "002.png", "003.png", "004.png", "005.png"]
    assert [file.read_bytes() for file in files] == list(FRAMES.values())
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [file.name for file in files]


@pytest.mark.parametrize(
    ("pattern", "count"),
    [
        ("Set/*.png", 0),
        ("Set/*/*.png", 6),
        ("Set/**/*.png", 7),
        ("**/001.png", 3),
        ("**", 8),
        ("Set/calendar/00?.png", 5),
        ("Set/calendar/[0].png", 0),
        ("set/calendar/*.png", 0),
    ],
)
def test_a_star_stays_in_its_folder_and_two_stars_do_not(
    archive: Path, tmp_path: Path, pattern: str, count: int
):
    with pytest.raises(FetchError, match=rf"'\S+' fits {count}\. It holds Set/calendar/001.png, "):
        extract(archive, [pattern], tmp_path / "out", expected_count=99)
    assert not (tmp_path / "out").exists()


def test_any_number_is_taken_when_none_is_expected(archive: Path, tmp_path: Path):
    assert len(extract(archive, ["x/*", "Set/calendar/*.png"], tmp_path / "out", expected_count=None)) == 5


def test_a_folder_that_was_there_is_replaced_whole(archive: Path, tmp_path: Path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "006.png").write_bytes(b"old")
    extract(archive, ["Set/calendar/*.png"], tmp_path / "out", expected_count=5)
    assert not (tmp_path / "out" / "006.png").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Set.zip", "out"]


@pytest.mark.parametrize("name", ["../out.png", "a/../../out.png", "/etc/out.png", "a\\out.png", ".."])
def test_a_member_that_points_outside_is_refused(tmp_path: Path, name: str):
    path = make_zip(tmp_path / "bad.zip", {name: b"x"})
    with pytest.raises(FetchError, match=r"points outside its archive"):
        extract(path, ["**"], tmp_path / "inner" / "out", expected_count=1)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["bad.zip"]


def test_members_of_one_name_are_refused(archive: Path, tmp_path: Path):
    with pytest.raises(
        FetchError, match=r"Set/calendar/001.png and Set/LR/calendar/001.png would have the same"
    ):
        extract(archive, ["**/calendar/*.png"], tmp_path / "out", expected_count=6)


def test_links_in_a_zip_are_refused(tmp_path: Path):
    info = zipfile.ZipInfo("a.png")
    info.create_system = 3
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(FetchError, match=r"a.png is a link or a device"):
        extract(tmp_path / "link.zip", ["*"], tmp_path / "out", expected_count=1)


def test_encrypted_members_are_refused(archive: Path, tmp_path: Path):
    data = bytearray(archive.read_bytes())
    directory = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 4)  # the entry behind the folder's
    data[directory + 8] |= 1
    archive.write_bytes(data)
    with pytest.raises(FetchError, match=r"001.png is encrypted"):
        extract(archive, ["Set/calendar/*.png"], tmp_path / "out", expected_count=5)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_members_packed_in_ways_without_a_memory_bound_are_refused(tmp_path: Path, method: int):
    path = make_zip(tmp_path / "rare.zip", {"Set/a.bin": bytes(9000)}, method)
    with pytest.raises(FetchError, match=rf"a.bin is packed by method {method}; only stored and deflated"):
        extract(path, ["Set/a.bin"], tmp_path / "out", expected_count=1)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_damaged_member_is_found_by_its_checksum(tmp_path: Path, method: int):
    body = os.urandom(20_000)
    path = make_zip(tmp_path / "bad.zip", {"Set/a.bin": body}, method)
    assert extract(path, ["Set/a.bin"], tmp_path / "good", expected_count=1)[0].read_bytes() == body
    data = bytearray(path.read_bytes())
    data[10_000] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(FetchError, match=r"bad.zip cannot be unpacked: .*fetch it again"):
        extract(path, ["Set/a.bin"], tmp_path / "out", expected_count=1)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["bad.zip", "good"]


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.999])
def test_a_cut_archive_is_refused(archive: Path, tmp_path: Path, keep: float):
    data = archive.read_bytes()
    archive.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(FetchError, match=r"Set.zip (is not a zip, 7z or tar archive|cannot be unpacked)"):
        extract(archive, ["Set/calendar/*.png"], tmp_path / "out", expected_count=5)
    assert not (tmp_path / "out").exists()


def test_an_archive_made_to_fill_disks_is_refused_before_it_is_unpacked(tmp_path: Path):
    path = make_zip(tmp_path / "bomb.zip", {"Set/a.bin": bytes(70 << 20)})
    with pytest.raises(FetchError, match=r"would grow to 73.4 MB, more than 250 times"):
        extract(path, ["Set/a.bin"], tmp_path / "out", expected_count=1)
    with pytest.raises(FetchError, match=r"more than the 1.0 MB that are unpacked"):
        extract(path, ["Set/a.bin"], tmp_path / "out", expected_count=1, limits=Limits(total_bytes=1_000_000))
    assert sorted(one.name for one in tmp_path.iterdir()) == ["bomb.zip"]


def test_a_member_longer_than_its_directory_says_is_refused(tmp_path: Path):
    path = make_zip(tmp_path / "lie.zip", {"Set/a.bin": os.urandom(5000)})
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"PK\x01\x02")
    data[entry + 24 : entry + 28] = (4000).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(FetchError, match=r"lie.zip"):
        extract(path, ["Set/a.bin"], tmp_path / "out", expected_count=1)
    assert not (tmp_path / "out").exists()


def test_a_disk_without_room_is_said_before_anything_is_unpacked(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(
        SrDataError, match=r"unpacking Set.zip needs 5.0 kB, but the disk .* only 1.0 kB free"
    ):
        extract(archive, ["Set/calendar/*.png"], tmp_path / "out", expected_count=5)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["Set.zip"]


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz", "w:bz2"])
def test_tar_files_are_unpacked_the_same_way(tmp_path: Path, mode: str):
    path = tmp_path / "Set.tar"
    with tarfile.open(path, mode) as archive:
        for name, data in (FRAMES | OTHERS).items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("Set/link/a.png")
        link.type = tarfile.SYMTYPE
        link.linkname = "/etc/passwd"
        archive.addfile(link)
    files = extract(path, ["Set/calendar/*.png"], tmp_path / "out", expected_count=5)
    assert [file.read_bytes() for file in files] == list(FRAMES.values())
    with pytest.raises(FetchError, match=r"Set/link/a.png is a link or a device"):
        extract(path, ["Set/link/*"], tmp_path / "out2", expected_count=1)


PACKERS = {"xz": lambda data: lzma.compress(data, preset=0), "gz": gzip.compress, "bz2": bz2.compress}


@pytest.mark.parametrize("kind", PACKERS)
@pytest.mark.parametrize("streams", [1, 3])
def test_a_file_that_is_only_compressed_has_one_member_named_without_the_ending(
    tmp_path: Path, kind: str, streams: int
):
    pieces = [os.urandom(700_000), bytes(900_000), b"end"][:streams]
    path = tmp_path / f"film.y4m.{kind}"
    path.write_bytes(b"".join(PACKERS[kind](piece) for piece in pieces))
    body = b"".join(pieces)
    assert [(one.name, one.size_bytes) for one in list_members(path)] == [("film.y4m", len(body))]
    (file,) = extract(path, ["film.y4m"], tmp_path / "out", expected_count=1)
    assert (file.name, file.read_bytes()) == ("film.y4m", body)


def test_padding_between_the_streams_of_an_xz_file_is_no_data(tmp_path: Path):
    path = tmp_path / "film.y4m.xz"
    path.write_bytes(lzma.compress(b"one") + bytes(8) + lzma.compress(b"two") + bytes(4))
    (file,) = extract(path, ["*"], tmp_path / "out", expected_count=1)
    assert file.read_bytes() == b"onetwo"


@pytest.mark.parametrize("kind", PACKERS)
@pytest.mark.parametrize("keep", [0.1, 0.5, 0.99])
@pytest.mark.parametrize("tar", [False, True], ids=["alone", "tar"])
def test_packed_data_that_is_cut_is_refused(tmp_path: Path, kind: str, keep: float, tar: bool):
    body = io.BytesIO()
    if tar:
        with tarfile.open(fileobj=body, mode="w") as archive:
            info = tarfile.TarInfo("film.y4m")
            info.size = 500_000
            archive.addfile(info, io.BytesIO(os.urandom(500_000)))
    packed = PACKERS[kind](body.getvalue() if tar else os.urandom(500_000))
    path = tmp_path / f"film.y4m.{kind}"
    path.write_bytes(packed[: int(len(packed) * keep)])
    with pytest.raises(FetchError, match=rf"film.y4m.{kind} (ends in the middle|cannot be unpacked)"):
        extract(path, ["film.y4m"], tmp_path / "out", expected_count=1)
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("kind", PACKERS)
def test_packed_data_that_is_damaged_is_refused(tmp_path: Path, kind: str):
    packed = bytearray(PACKERS[kind](os.urandom(300_000)))
    packed[150_000] ^= 0xFF
    path = tmp_path / f"film.y4m.{kind}"
    path.write_bytes(packed)
    with pytest.raises(FetchError, match=rf"film.y4m.{kind} cannot be unpacked"):
        extract(path, ["film.y4m"], tmp_path / "out", expected_count=1)
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("kind", PACKERS)
@pytest.mark.parametrize("tar", [False, True], ids=["alone", "tar"])
def test_packed_data_made_to_fill_disks_is_refused(tmp_path: Path, kind: str, tar: bool):
    size = 70 << 20
    body = bytes(size)
    if tar:
        header = tarfile.TarInfo("film.y4m")
        header.size = size
        body = header.tobuf() + body + bytes(1024)
    path = tmp_path / f"film.y4m.{kind}"
    path.write_bytes(PACKERS[kind](body))
    with pytest.raises(FetchError, match=r"more than 250 times"):
        extract(path, ["film.y4m"], tmp_path / "out", expected_count=1)
    with pytest.raises(FetchError, match=r"1.0 MB that are unpacked of one archive"):
        extract(path, ["film.y4m"], tmp_path / "out", expected_count=1, limits=Limits(total_bytes=1_000_000))
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_an_xz_file_that_asks_for_gigabytes_of_memory_is_refused(tmp_path: Path):
    packed = lzma.compress(b"x" * 100, filters=[{"id": lzma.FILTER_LZMA2, "preset": 1, "dict_size": 1 << 20}])
    head = packed[:12]
    block = bytearray(packed[12:24])
    assert block[2:4] == b"\x21\x01"  # LZMA2, one byte of properties: the size of the dictionary
    block[4] = 39  # 3 GiB
    block[8:12] = zlib.crc32(bytes(block[:8])).to_bytes(4, "little")
    path = tmp_path / "film.y4m.xz"
    path.write_bytes(head + bytes(block) + packed[24:])
    with pytest.raises(FetchError, match=r"asks for more than .* of memory"):
        extract(path, ["*"], tmp_path / "out", expected_count=1)


def test_7z_files_are_unpacked_the_same_way(tmp_path: Path):
    py7zr = pytest.importorskip("py7zr", reason="py7zr is the extra '7z'")
    path = tmp_path / "Set.7z"
    with py7zr.SevenZipFile(path, "w") as archive:
        for name, data in (FRAMES | OTHERS).items():
            archive.writestr(data, name)
    files = extract(path, ["Set/calendar/*.png"], tmp_path / "out", expected_count=5)
    assert [file.read_bytes() for file in files] == list(FRAMES.values())
    assert sorted(one.name for one in (tmp_path / "out").iterdir()) == [file.name for file in files]
    assert len(list_members(path)) == 8

    data = bytearray(path.read_bytes())
    data[60] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(FetchError, match=r"Set.7z"):
        extract(path, ["Set/calendar/*.png"], tmp_path / "out2", expected_count=5)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["Set.7z", "out"]


@pytest.mark.parametrize("place", [*range(6, 120, 7), -30, -5])
def test_a_7z_file_that_is_broken_anywhere_is_a_fetch_error(tmp_path: Path, place: int):
    py7zr = pytest.importorskip("py7zr", reason="py7zr is the extra '7z'")
    path = tmp_path / "Set.7z"
    with py7zr.SevenZipFile(path, "w") as archive:
        archive.writestr(bytes(range(256)) * 8, "a.bin")
    data = bytearray(path.read_bytes())
    data[place] ^= 0xFF
    path.write_bytes(data)
    with contextlib.suppress(FetchError):  # a bit that says nothing can be broken unnoticed
        (file,) = extract(path, ["*"], tmp_path / "out", expected_count=1)
        assert file.read_bytes() == bytes(range(256)) * 8


@pytest.mark.parametrize("header", [False, True])
def test_an_encrypted_7z_file_is_a_fetch_error(tmp_path: Path, header: bool):
    py7zr = pytest.importorskip("py7zr", reason="py7zr is the extra '7z'")
    path = tmp_path / "Set.7z"
    with py7zr.SevenZipFile(path, "w", password="secret", header_encryption=header) as archive:
        archive.writestr(b"data", "a.bin")
    with pytest.raises(FetchError, match=r"Set.7z is encrypted"):
        extract(path, ["*"], tmp_path / "out", expected_count=1)


def test_without_py7zr_a_7z_file_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "py7zr", None)
    (tmp_path / "a.7z").write_bytes(b"7z\xbc\xaf\x27\x1c\x00\x04" + bytes(24))
    with pytest.raises(MissingExtraError, match=r"unpacking a.7z needs the '7z' extra: pip install"):
        extract(tmp_path / "a.7z", ["*"], tmp_path / "out", expected_count=1)


def test_what_is_no_archive_is_named_with_its_first_bytes(tmp_path: Path):
    (tmp_path / "a.zip").write_bytes(b"<html>no</html>" * 50)
    with pytest.raises(
        FetchError, match=r"a.zip is not a zip, 7z or tar archive, nor .* bzip2: it begins with b'<html>no'"
    ):
        extract(tmp_path / "a.zip", ["*"], tmp_path / "out", expected_count=1)


def test_a_real_frame_survives_the_way_through_an_archive(tmp_path: Path, real_data: Path):
    frames = sorted((real_data / "vid4" / "calendar" / "GT").glob("*.png"))
    members = {f"Vid4/calendar/{frame.name}": frame.read_bytes() for frame in frames}
    path = make_zip(tmp_path / "Vid4.zip", members, zipfile.ZIP_STORED)
    files = extract(path, ["Vid4/calendar/*.png"], tmp_path / "calendar", expected_count=len(frames))
    assert [hashlib.sha256(file.read_bytes()).digest() for file in files] == [
        hashlib.sha256(frame.read_bytes()).digest() for frame in frames
    ]


# ---- several groups at once --------------------------------------------------------------------------------


def packed(path: Path, members: dict[str, bytes]) -> Path:
    """Write an archive of the kind that its name says."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as opened:
            for name, body in members.items():
                opened.writestr(name, body)
    elif path.suffix == ".7z":
        py7zr = pytest.importorskip("py7zr")
        with py7zr.SevenZipFile(path, "w") as opened_7z:
            for name, body in members.items():
                opened_7z.writestr(body, name)
    else:
        with tarfile.open(path, "w:gz" if path.suffix == ".tgz" else "w") as opened_tar:
            for name, body in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(body)
                opened_tar.addfile(info, io.BytesIO(body))
    return path


CLIPS = {f"all/{clip}/{frame}.png": f"{clip}{frame}".encode() * 50 for clip in "cab" for frame in range(3)}


def wants(tmp_path: Path, clips: str = "abc", count: int = 3) -> list[Want]:
    return [Want([f"all/{clip}/*.png"], tmp_path / f"{clip}.out", count, f"clip {clip}") for clip in clips]


@pytest.mark.parametrize("batch_bytes", [1, 400, 1 << 20])
@pytest.mark.parametrize("kind", ["zip", "tar", "tgz", "7z"])
def test_groups_come_in_the_order_asked_each_with_its_own_files(tmp_path: Path, kind: str, batch_bytes: int):
    path = packed(tmp_path / f"all.{kind}", CLIPS)

    found = [
        (want.name, [file.read_bytes() for file in files])
        for want, files in extract_each(path, wants(tmp_path), batch_bytes=batch_bytes)
    ]

    assert found == [
        (f"clip {clip}", [CLIPS[f"all/{clip}/{frame}.png"] for frame in range(3)]) for clip in "abc"
    ]
    assert {entry.name for entry in tmp_path.iterdir()} == {path.name, "a.out", "b.out", "c.out"}


@pytest.mark.parametrize("kind", ["zip", "tar", "tgz", "7z"])
def test_two_groups_may_want_the_same_member(tmp_path: Path, kind: str):
    path = packed(tmp_path / f"all.{kind}", CLIPS)
    both = [Want(["**/0.png", "all/a/0.png"], tmp_path / out, 1, out) for out in ("x", "y")]

    found = [files[0].read_bytes() for _, files in extract_each(path, both)]

    assert found == [CLIPS["all/a/0.png"]] * 2


def test_a_compressed_tar_is_read_twice_for_hundreds_of_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    members = {f"{number:03}.png": bytes([number % 251]) * 9 for number in range(300)}
    path = packed(tmp_path / "all.tgz", members)
    looks = []
    entries = archive_module._PackedTar._entries
    monkeypatch.setattr(
        archive_module._PackedTar, "_entries", lambda self: (looks.append(1), entries(self))[1]
    )
    several = [Want([f"{number:03}.png"], tmp_path / f"{number}", 1, "x") for number in range(300)]

    assert sum(len(files) for _, files in extract_each(path, several)) == 300
    assert len(looks) == 2


def test_a_group_that_no_member_fits_does_not_keep_the_others_from_coming(tmp_path: Path):
    path = packed(tmp_path / "all.zip", CLIPS)
    came = []
    groups = extract_each(path, [*wants(tmp_path, "a"), *wants(tmp_path, "bx", 4), *wants(tmp_path, "c")])

    with pytest.raises(FetchError) as caught:
        came.extend(want.name for want, _ in groups)

    assert came == ["clip a", "clip c"]
    assert "clip b: expected 4 member(s)" in str(caught.value)
    assert "clip x: expected 4 member(s)" in str(caught.value)


def test_what_nobody_took_is_deleted_when_the_work_ends(tmp_path: Path):
    path = packed(tmp_path / "all.zip", CLIPS)

    groups = extract_each(path, wants(tmp_path))
    next(groups)
    groups.close()

    assert {entry.name for entry in tmp_path.iterdir()} == {"all.zip", "a.out"}
