"""Reads the id and the labels of a serialised ``tf.train.Example``, and nothing else of it.

Of protocol buffers that takes four nested messages: ``Example.features`` (1) holds ``Features.feature`` (1), a map
whose entries have a key (1) and a ``Feature`` (2), which is a list of bytes (1), floats (2) or integers (3), each with
its values in field 1, packed or not. Entries come in any order; unknown fields are passed over; of an entry that
stands twice the last counts. Every length is held against what is left, so that no input takes more memory than a
small multiple of its own size.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from sr_datasets.errors import FetchError

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
RECORD_ID = re.compile(r"[A-Za-z0-9_-]{4}")
"""What stands for a video in the data set, in place of YouTube's own id."""
# Class numbers of all releases are below 5000.
_MAX_LABEL = 1 << 16


@dataclass(frozen=True, slots=True)
class LabelledVideo:
    """One record of a video-level shard."""

    record_id: str
    """Four characters that stand for the video."""
    labels: tuple[int, ...]
    """Numbers of the vocabulary, in the record's order."""


def parse_example(payload: bytes) -> LabelledVideo:
    """Read the id and the labels of one record.

    Raises:
        FetchError: It is no ``tf.train.Example``, or its ``id`` or ``labels`` are missing or not what they must be.
    """
    record_id: str | None = None
    labels: tuple[int, ...] | None = None
    for features in _submessages(memoryview(payload), 1):
        for entry in _submessages(features, 1):
            key, feature = b"", memoryview(b"")
            for number, wire, value in _fields(entry):
                if wire == _BYTES and isinstance(value, memoryview):
                    if number == 1:
                        # No key that matters is longer, and a long one need not be copied.
                        key = bytes(value[:64])
                    elif number == 2:
                        feature = value
            if key == b"id":
                record_id = _record_id(feature)
            elif key == b"labels":
                labels = _labels(feature)
    if record_id is None or labels is None:
        missing = "id" if record_id is None else "labels"
        raise FetchError(
            f"a record has no '{missing}': it is no video-level record of YouTube-8M with labels"
        )
    return LabelledVideo(record_id, labels)


def _record_id(feature: memoryview) -> str:
    values = [value for values in _submessages(feature, 1) for value in _submessages(values, 1)]
    text = bytes(values[0][:64]).decode("ascii", "replace") if len(values) == 1 else ""
    if not RECORD_ID.fullmatch(text):
        raise FetchError(
            f"a record has the id {text!r}, expected one of four characters of A-Z, a-z, 0-9, _ and -"
        )
    return text


def _labels(feature: memoryview) -> tuple[int, ...]:
    labels: list[int] = []
    for values in _submessages(feature, 3):
        for number, wire, value in _fields(values):
            if number != 1:
                continue
            if wire == _VARINT and isinstance(value, int):
                labels.append(value)
            elif wire == _BYTES and isinstance(value, memoryview):
                place = 0
                while place < len(value):
                    label, place = _varint(value, place)
                    labels.append(label)
    # A negative number has its sign in bit 63, so it is large here.
    if wrong := [label for label in labels if label >= _MAX_LABEL]:
        raise FetchError(f"a record has the label {wrong[0]}, expected numbers below {_MAX_LABEL}")
    return tuple(labels)


def _submessages(message: memoryview, wanted: int) -> Iterator[memoryview]:
    for number, wire, value in _fields(message):
        if number == wanted and wire == _BYTES and isinstance(value, memoryview):
            yield value


def _fields(message: memoryview) -> Iterator[tuple[int, int, int | memoryview]]:
    """Yield field number, wire type and value; a view of a length-delimited one, without a copy."""
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        number, wire = key >> 3, key & 7
        if number == 0:
            raise FetchError("a record has a field of number 0: it is no protocol buffer")
        if wire == _VARINT:
            value, place = _varint(message, place)
            yield number, wire, value
            continue
        if wire == _BYTES:
            length, place = _varint(message, place)
        elif wire in (_FIXED64, _FIXED32):
            length = 8 if wire == _FIXED64 else 4
        else:
            # Groups (3, 4) were given up before tf.train.Example was made; 6 and 7 never were anything.
            raise FetchError(f"a record has a field of wire type {wire}: it is no tf.train.Example")
        if length > len(message) - place:
            raise FetchError(
                f"a record has a field of {length} bytes where {len(message) - place} are left: it is damaged"
            )
        yield number, wire, message[place : place + length]
        place += length


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    """Return a variable-length integer (64 bits at most) and the place behind it."""
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(message):
            raise FetchError("a record ends inside a number: it is damaged")
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, place
    raise FetchError("a record has a number of more than 64 bits: it is damaged")
