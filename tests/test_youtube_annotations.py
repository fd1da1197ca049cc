"""The annotations of YouTube-8M and YouTube-BoundingBoxes: what is read, chosen and refused."""

import contextlib
import csv
import gzip
import json
import random
import shutil
import struct
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sr_datasets.errors import FetchError, SelectionError, SrDataError
from sr_datasets.fetch.youtube.boundingboxes import CLASSES, find_class, iter_annotations, segments_of
from sr_datasets.fetch.youtube.crc import crc32c, masked_crc32c
from sr_datasets.fetch.youtube.example import LabelledVideo, parse_example
from sr_datasets.fetch.youtube.names import Piece, piece_of
from sr_datasets.fetch.youtube.outcome import is_open, may_pass, plain, verdict_of
from sr_datasets.fetch.youtube.plans import Shard, in_keyed_order, read_plan
from sr_datasets.fetch.youtube.tfrecord import iter_records
from sr_datasets.fetch.youtube.vocabulary import find_label, read_vocabulary

SAMPLE = "youtube8m/validate0017_first12.tfrecord"
TABLE = "youtube_bb/ytbb_subset.csv"


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def feature(key: str, kind: int, values: bytes) -> bytes:
    return field(1, field(1, key.encode()) + field(2, field(kind, values)))


def example(record_id: bytes = b"ab_-", labels: bytes = field(1, b"\x07\x8d\x02")) -> bytes:
    return field(1, feature("id", 1, field(1, record_id)) + feature("labels", 3, labels))


def framed(payload: bytes) -> bytes:
    head = struct.pack("<Q", len(payload))
    crcs = [struct.pack("<I", masked_crc32c(part)) for part in (head, payload)]
    return head + crcs[0] + payload + crcs[1]


# ---- CRC-32C ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "crc"),
    [
        # RFC 3720, appendix B.4, and the check value that catalogues of CRCs print.
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
        (b"123456789", 0xE3069283),
        (b"", 0),
    ],
)
def test_crc32c_gives_the_published_values(data: bytes, crc: int):
    assert crc32c(data) == crc


def bit_by_bit(data: bytes) -> int:
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)
    return register ^ 0xFFFFFFFF


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 1023, 1024, 1025, 1026, 1027, 1028, 2047, 2051, 5000])
def test_crc32c_of_any_length_is_that_of_the_definition(length: int):
    data = random.Random(length).randbytes(length)

    assert crc32c(data) == bit_by_bit(data)


# ---- TFRecord and tf.train.Example -----------------------------------------------------------------------


def test_the_real_shard_gives_twelve_records_with_ids_and_labels(real_data: Path):
    videos = [parse_example(payload) for payload in iter_records(real_data / SAMPLE)]

    assert len(videos) == 12
    assert all(len(video.record_id) == 4 and video.labels for video in videos)
    assert len({video.record_id for video in videos}) == 12
    assert all(0 <= label < 3862 for video in videos for label in video.labels)
    # Read by eye in a dump of the third record: varints 58, b8 01, b3 02, b9 02, fc 02, a0 03, 82 04, e6 04.
    assert videos[2].labels == (88, 184, 307, 313, 380, 416, 514, 614)


def test_a_flipped_bit_anywhere_in_a_real_record_is_found(real_data: Path, tmp_path: Path):
    whole = (real_data / SAMPLE).read_bytes()[: 16 + 4694]
    draws = random.Random(1)
    places = [*range(24), *(draws.randrange(len(whole)) for _ in range(60)), len(whole) - 1]

    for place in places:
        wrong = bytearray(whole)
        wrong[place] ^= 1 << draws.randrange(8)
        path = tmp_path / "wrong.tfrecord"
        path.write_bytes(wrong)
        with pytest.raises(FetchError, match=r"record 0 at byte 0: .*CRC-32C"):
            list(iter_records(path))


def test_a_shard_that_ends_early_gives_what_is_whole_and_then_says_where_it_ends(
    real_data: Path, tmp_path: Path
):
    whole = (real_data / SAMPLE).read_bytes()
    second = 16 + 4694
    path = tmp_path / "cut.tfrecord"

    for length in (second + 3, second + 12, second + 13, 2 * second - 10):
        path.write_bytes(whole[:length])
        records = iter_records(path)
        assert len(next(records)) == 4694
        with pytest.raises(FetchError, match=rf"record 1 at byte {second}: .*the file ends"):
            next(records)


@pytest.mark.parametrize("length", [1 << 22 | 1, 1 << 40, (1 << 64) - 1])
def test_a_hostile_length_with_a_right_crc_takes_no_memory(length: int, tmp_path: Path):
    head = struct.pack("<Q", length)
    path = tmp_path / "hostile.tfrecord"
    path.write_bytes(head + struct.pack("<I", masked_crc32c(head)) + bytes(1000))
    masked_crc32c(b"warm")

    tracemalloc.start()
    with pytest.raises(FetchError, match=f"it says that it has {length} bytes"):
        list(iter_records(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 1 << 20


def test_labels_may_be_packed_or_not_and_keys_in_any_order():
    unpacked = b"".join(varint(1 << 3 | 0) + varint(label) for label in (7, 269))
    swapped = field(
        1, feature("labels", 3, unpacked) + feature("x", 2, bytes(8)) + feature("id", 1, field(1, b"ab_-"))
    )

    assert parse_example(example()) == parse_example(swapped) == LabelledVideo("ab_-", (7, 269))


def test_of_a_key_that_stands_twice_the_last_counts():
    twice = field(
        1,
        feature("id", 1, field(1, b"aaaa")) + feature("labels", 3, b"") + feature("id", 1, field(1, b"bbbb")),
    )

    assert parse_example(twice) == LabelledVideo("bbbb", ())


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (b"", "has no 'id'"),
        (field(1, feature("id", 1, field(1, b"ab_-"))), "has no 'labels'"),
        (example(b"../x"), "has the id"),
        (example(b"toolong"), "has the id"),
        (example(b"\xff\xfe\xfd\xfc"), "has the id"),
        (example(labels=field(1, varint((1 << 64) - 1))), "has the label 18446744073709551615"),
        (example(labels=field(1, b"\x80")), "ends inside a number"),
        (example(labels=field(1, b"\x80" * 11)), "more than 64 bits"),
        (example()[:-1], "bytes are left|are left"),
        (b"\x0a\xff\xff\xff\xff\x7f", "where 0 are left"),
        (b"\x0b", "wire type 3"),
        (b"\x00\x01", "field of number 0"),
    ],
)
def test_what_is_no_record_is_refused_with_the_reason(payload: bytes, words: str):
    with pytest.raises(FetchError, match=words):
        parse_example(payload)


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_a_record_or_an_error_of_ours(payload: bytes):
    with contextlib.suppress(SrDataError):
        assert len(parse_example(payload).record_id) == 4


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_a_record_with_changed_bytes_is_a_record_or_an_error_of_ours(data: st.DataObject):
    payload = bytearray(example())
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(SrDataError):
        assert len(parse_example(bytes(payload)).record_id) == 4


def test_a_record_that_is_all_labels_takes_a_bounded_multiple_of_its_size():
    payload = example(labels=field(1, b"\x01" * 1_000_000))

    tracemalloc.start()
    video = parse_example(payload)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert len(video.labels) == 1_000_000
    assert peak < 40 * len(payload)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.binary(max_size=200))
def test_any_bytes_are_a_tfrecord_file_or_an_error_of_ours(tmp_path: Path, content: bytes):
    path = tmp_path / "any.tfrecord"
    path.write_bytes(content)
    with contextlib.suppress(SrDataError):
        assert content == b"" or list(iter_records(path))


def test_a_record_of_any_size_is_read_back(tmp_path: Path):
    payloads = [bytes(size) for size in (0, 1, 3, 1024, 5000)]
    path = tmp_path / "ours.tfrecord"
    path.write_bytes(b"".join(framed(payload) for payload in payloads))

    assert list(iter_records(path)) == payloads


# ---- plans -----------------------------------------------------------------------------------------------


def test_local_names_of_all_shards_differ_on_a_disk_without_case_and_are_those_of_the_publisher(
    tmp_path: Path,
):
    characters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    names = [f"train{a}{b}.tfrecord" for a in characters for b in characters]
    plan = tmp_path / "video_train.json"
    plan.write_text(json.dumps({"files": dict.fromkeys(names, "A" * 32)}))

    shards = read_plan(plan, "train")

    assert len({name.lower() for name in names}) < 3844
    assert len({shard.local_name.lower() for shard in shards}) == 3844
    assert [shard.local_name for shard in shards] == [f"train{number:04d}.tfrecord" for number in range(3844)]
    assert shards[0] == Shard("trainaa.tfrecord", "a" * 32)


@pytest.mark.parametrize(
    "content",
    [
        b"<html>", b"[]", b"{}", b'{"files": {}}', b'{"files": []}', b"[" * 100_000, b"\xff\xfe",
        b'{"files": {"../../x": "%s"}}' % (b"0" * 32), b'{"files": {"validateaa.tfrecord": "%s"}}' % (b"0" * 32),
        b'{"files": {"trainaa.tfrecord": "xyz"}}', b'{"files": {"trainaa.tfrecord": 7}}',
        b'{"files": {"trainaaa.tfrecord": "%s"}}' % (b"0" * 32),
    ],
)  # fmt: skip
def test_what_is_no_download_plan_is_refused(content: bytes, tmp_path: Path):
    plan = tmp_path / "video_train.json"
    plan.write_bytes(content)

    with pytest.raises(FetchError, match=r"video_train\.json"):
        read_plan(plan, "train")


def test_the_keyed_order_is_the_same_on_every_machine_and_keeps_when_names_go():
    names = [f"trainA{character}.tfrecord" for character in "abcdefgh"]
    order = in_keyed_order(names, "youtube-8m", "shard", 7)

    assert "".join(name[6] for name in order) == "ecgfbhad"
    assert in_keyed_order(reversed(names), "youtube-8m", "shard", 7) == order
    assert in_keyed_order(names[:5], "youtube-8m", "shard", 7) == [
        name for name in order if name in names[:5]
    ]
    assert in_keyed_order(names, "youtube-8m", "shard", 8) != order


# ---- vocabulary ------------------------------------------------------------------------------------------

VOCABULARY = """Index,TrainVideoCount,KnowledgeGraphId,Name,WikiUrl,Vertical1,Vertical2,Vertical3,WikiDescription
0,788288,/m/03bt1gh,Game,https://en.wikipedia.org/wiki/Game,Games,,,"A game is play, ""structured""
over several lines"
1,539945,/m/01mw1,Video game,https://en.wikipedia.org/wiki/Video_game,Games,,,"x"
2,100,/m/0a,,,(Unknown),,,
3,90,/m/0b,Rock (music),,Arts,,,
4,80,/m/0c,Rock (music),,Arts,,,
"""


def test_labels_are_found_by_name_number_and_knowledge_graph_id(tmp_path: Path):
    path = tmp_path / "vocabulary.csv"
    path.write_text(VOCABULARY)
    labels = read_vocabulary(path)

    assert [label.index for label in labels] == [0, 1, 2, 3, 4]
    assert {find_label(labels, text).index for text in ("Video game", "video GAME ", "1", "/m/01mw1")} == {1}
    with pytest.raises(SelectionError, match=r"no label 'Vidoe game'\. Did you mean Video game"):
        find_label(labels, "Vidoe game")
    with pytest.raises(SelectionError, match=r"several labels .* by its number: 3 \(/m/0b\), 4"):
        find_label(labels, "rock (music)")
    with pytest.raises(SelectionError, match="no label ''"):
        find_label(labels, "")


@pytest.mark.parametrize(
    "content", [b"a,b\n1,2\n", VOCABULARY.encode() + b"x,1,/m/0d,N,,,,,\n", b"\xff\xfe\n", b""]
)
def test_what_is_no_vocabulary_is_refused(content: bytes, tmp_path: Path):
    path = tmp_path / "vocabulary.csv"
    path.write_bytes(content)

    with pytest.raises(FetchError, match=r"vocabulary\.csv"):
        read_vocabulary(path)


# ---- YouTube-BoundingBoxes -------------------------------------------------------------------------------


def as_published(real_data: Path, path: Path) -> Path:
    """Write the real rows as the publisher does: without a header line, gzip."""
    rows = (real_data / TABLE).read_bytes().split(b"\n", 1)[1]
    with gzip.open(path, "wb") as file:
        file.write(rows)
    return path


def test_real_rows_are_the_same_with_and_without_a_header_line_packed_or_not(real_data: Path, tmp_path: Path):
    plain_rows = list(iter_annotations(real_data / TABLE))
    packed = list(iter_annotations(as_published(real_data, tmp_path / "yt_bb_detection_validation.csv.gz")))

    assert len(plain_rows) == 322
    assert packed == plain_rows
    assert {row.presence for row in packed} == {"present", "absent", "uncertain"}


def test_segments_of_real_rows_are_those_that_the_rows_say(real_data: Path):
    with (real_data / TABLE).open() as file:
        rows = list(csv.DictReader(file))
    times: dict[tuple[str, int, int], list[int]] = {}
    for row in rows:
        key = (row["youtube_id"], int(row["class_id"]), int(row["object_id"]))
        times.setdefault(key, []).append(int(row["timestamp_ms"]))

    segments = segments_of(iter_annotations(real_data / TABLE))

    assert [(s.youtube_id, s.class_id, s.object_id, s.start_ms, s.end_ms) for s in segments] == [
        (*key, min(mine), max(mine)) for key, mine in sorted(times.items())
    ]
    assert len(segments) == 17
    assert all(15_000 <= segment.end_ms - segment.start_ms <= 21_000 for segment in segments)
    (plant,) = segments_of(iter_annotations(real_data / TABLE), class_id=find_class("potted plant"))
    assert (plant.youtube_id, plant.num_present) == ("9Z4sOQvwAes", 4)


def detection(*times: int, youtube_id: str = "AAAAAAAAAAA") -> str:
    return "".join(f"{youtube_id},{ms},7,cat,0,present,0.1,0.2,0.3,0.4\n" for ms in times)


def test_a_gap_of_more_than_three_seconds_begins_a_new_chunk(tmp_path: Path):
    path = tmp_path / "t.csv"
    path.write_text(detection(9000, 0, 1000, 4000, 7001, 8000))

    segments = segments_of(iter_annotations(path))

    assert [(segment.start_ms, segment.end_ms) for segment in segments] == [(0, 4000), (7001, 9000)]
    assert len({segment.key for segment in segments}) == 2


def test_classification_tables_have_five_columns(tmp_path: Path):
    path = tmp_path / "c.csv"
    path.write_text("AAAAAAAAAAA,0,7,cat,present\nAAAAAAAAAAA,1000,7,cat,uncertain\n")

    (segment,) = segments_of(iter_annotations(path))

    assert (segment.end_ms, segment.num_present) == (1000, 1)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("AAAAAAAAAAA,0,7,cat", "4 columns"),
        ("../../../etc,0,7,cat,present", "video id"),
        ("AAAAAAAAAAA,-1,7,cat,present", "timestamp_ms"),
        ("AAAAAAAAAAA,99999999999,7,cat,present", "timestamp_ms"),
        ("AAAAAAAAAAA,0,24,lion,present", "class 24"),
        ("AAAAAAAAAAA,0,7,dog,present", "expected 'cat'"),
        ("AAAAAAAAAAA,0,7,cat,here", "the presence"),
        ("x" * 100_000, "columns"),
    ],
)
def test_a_row_that_cannot_be_is_named_with_its_line(line: str, words: str, tmp_path: Path):
    path = tmp_path / "t.csv"
    path.write_text("AAAAAAAAAAA,0,7,cat,present\n" + line + "\n")

    with pytest.raises(FetchError, match=rf"t\.csv:2: .*{words}"):
        list(iter_annotations(path))


def test_a_table_that_was_cut_or_is_no_gzip_is_an_error_and_not_a_shorter_table(
    real_data: Path, tmp_path: Path
):
    path = as_published(real_data, tmp_path / "t.csv.gz")
    whole = path.read_bytes()

    for content in (whole[:-20], whole[:40], b"<html>", whole[:100] + bytes(8) + whole[108:]):
        path.write_bytes(content)
        with pytest.raises(SrDataError):
            list(iter_annotations(path))


def test_classes_are_found_by_name():
    assert CLASSES[find_class("Cat")] == "cat"
    with pytest.raises(SelectionError, match="Did you mean zebra"):
        find_class("zebar")


# ---- names and outcomes ----------------------------------------------------------------------------------


@given(st.from_regex(r"[A-Za-z0-9_-]{11}", fullmatch=True), st.none() | st.integers(0, 10**8))
def test_names_of_clips_say_which_piece_they_are(youtube_id: str, start: int | None):
    piece = Piece(youtube_id) if start is None else Piece(youtube_id, start, start + 19_000)

    assert piece_of(piece.clip_id) == piece


def test_ids_that_differ_in_case_only_have_names_that_differ_without_case():
    names = {
        Piece(text).clip_id.lower() for text in ("abcdefghijk", "Abcdefghijk", "abcdefghijK", "ABCDEFGHIJK")
    }

    assert len(names) == 4


@pytest.mark.parametrize(
    "name", ["yt-abcdefghijk.001", "yt-abcdefghijk", "akiyo_cif", "yt-abcdefghijk.000.1-", ""]
)
def test_other_names_stand_for_no_piece(name: str):
    assert piece_of(name) is None


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        ("[youtube] x: Video unavailable", "gone"),
        ("[youtube] x: Video unavailable. This video has been removed by the uploader", "gone"),
        ("[youtube] x: Video unavailable. This video is no longer available because the YouTube account associated with "
         "this video has been terminated.", "gone"),
        ("[youtube] x: Private video. Sign in if you've been granted access to this video", "private"),
        ("[youtube] x: Video unavailable. The uploader has not made this video available in your country", "blocked"),
        ("[youtube] x: Sign in to confirm your age. This video may be inappropriate for some users.", "blocked"),
        ("[youtube] x: Join this channel to get access to members-only content", "blocked"),
        ("[youtube] x: This video is DRM protected", "blocked"),
        ("[youtube] x: Video unavailable. This video contains content from SME, who has blocked it on copyright grounds",
         "blocked"),
        ("[youtube] x: Sign in to confirm you're not a bot. Use --cookies-from-browser", "stop"),
        ("[youtube] x: Video unavailable. This content isn't available, try again later. The current session has been "
         "rate-limited by YouTube for up to an hour.", "stop"),
        ("unable to download video data: HTTP Error 429: Too Many Requests", "stop"),
        ("[generic] none: Unable to download webpage: HTTP Error 404: Not Found", "gone"),
        ("[youtube] x: Requested format is not available", "failed"),
        ("unable to download video data: HTTP Error 403: Forbidden", "failed"),
        ("ffmpeg exited with code 1", "failed"),
    ],
)  # fmt: skip
def test_what_the_site_says_has_one_meaning(said: str, verdict: str):
    assert verdict_of(said) == verdict


def test_words_of_yt_dlp_become_one_plain_line():
    said = (
        "\x1b[0;31mERROR:\x1b[0m [youtube] x: Broken\n  here; please report this issue on https://example.org"
    )

    assert plain(said) == "[youtube] x: Broken here"
    assert may_pass("HTTP Error 403: Forbidden")
    assert not may_pass("Requested format is not available")


@pytest.mark.parametrize(
    ("claimed", "free"),
    [
        ("Creative Commons Attribution license (reuse allowed)", True),
        ("Standard YouTube License", False),
        ("", False),
        ("CC BY 4.0", True),
        ("soccer by me", False),
    ],
)
def test_only_a_creative_commons_licence_is_an_open_one(claimed: str, free: bool):
    assert is_open(claimed) is free


def test_the_real_sample_is_the_file_that_the_tests_were_written_for(real_data: Path, tmp_path: Path):
    copy = tmp_path / "copy.tfrecord"
    shutil.copyfile(real_data / SAMPLE, copy)

    assert copy.stat().st_size == 56540
    assert sum(16 + len(payload) for payload in iter_records(copy)) == 56540
