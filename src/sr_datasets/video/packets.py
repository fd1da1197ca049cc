"""The packets of a stream as a table: which frames they show, and from where each can be decoded."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass

from av.video.frame import VideoFrame

from sr_datasets.video.stream import LostError, Packet, VideoFile


@dataclass(frozen=True, slots=True)
class PacketIndex:
    """The time stamps of a clip's packets, in the order of coding, and of its frames, as shown."""

    stamps: list[tuple[int, int | None]]
    """pts and dts of each packet."""
    keys: list[int]
    """Which packets are keyframes."""
    shown: list[int]
    """pts of each shown frame, ascending."""
    packet_of: list[int]
    """The packet of each shown frame."""
    number_of: dict[int, int]
    """The number of the frame with this pts."""
    place_of_key: dict[int, int]
    """The keyframe with this pts; dts are not the same after a seek in every container."""

    def key_for(self, wanted: int) -> int:
        """Return the last keyframe that is coded and shown no later than a frame.

        Frames that are shown before a keyframe and coded after it (open GOP) may need frames from
        before it, and so have the keyframe before.

        Raises:
            LostError: There is none.
        """
        at = bisect_right(self.keys, self.packet_of[wanted]) - 1
        while at >= 0 and self.stamps[self.keys[at]][0] > self.shown[wanted]:
            at -= 1
        if at < 0:
            raise LostError
        return self.keys[at]

    def first_shown(self, key: int) -> int:
        """Return the first frame that is shown no earlier than a keyframe."""
        pts = self.stamps[key][0]
        number = self.number_of.get(pts)
        return number if number is not None else bisect_right(self.shown, pts)


def container_index(source: VideoFile, num_frames: int) -> PacketIndex | None:
    """Return the container's own index as the table, without reading the packets.

    It is enough where every packet is a frame of its own (raw, ProRes, motion JPEG in AVI or MOV);
    such files are large. The reader checks each frame's pts against it.
    """
    if not source.stream.codec_context.codec.intra_only or source.reorders:
        return None
    entries = source.stream.index_entries
    if len(entries) != num_frames:
        return None
    stamps: list[int] = []
    for entry in entries:
        if not entry.is_keyframe or entry.is_discard or (stamps and entry.timestamp <= stamps[-1]):
            return None
        stamps.append(entry.timestamp)
    places = list(range(num_frames))
    number_of = {pts: number for number, pts in enumerate(stamps)}
    return PacketIndex([(pts, pts) for pts in stamps], places, stamps, places, number_of, number_of)


def list_packets(source: VideoFile, num_frames: int) -> tuple[PacketIndex | None, bool]:
    """List a clip's packets, without decoding.

    Returns:
        The table, or None when the packets cannot stand for the frames (some have no time or share
        one, or their number is another); and whether the time stamps mean nothing.
    """
    codec = source.stream.codec_context.name
    if codec in ("gif", "apng"):
        return None, False  # each frame is painted over the ones before, whatever the packets' flags say
    stamps: list[tuple[int, int | None]] = []
    keys: list[int] = []
    shown: list[tuple[int, int]] = []
    for packet in source.packets():
        if packet.size == 0:
            continue
        if packet.pts is None:
            return None, False
        if packet.is_keyframe:
            keys.append(len(stamps))
        if not packet.is_discard and not _is_hidden(codec, packet):
            shown.append((packet.pts, len(stamps)))
        stamps.append((packet.pts, packet.dts))
    if lacks_pts(source, [pts for pts, _ in stamps]):
        return None, True
    shown.sort()
    number_of = {pts: number for number, (pts, _) in enumerate(shown)}
    place_of_key = {stamps[place][0]: place for place in keys}
    if not len(shown) == len(number_of) == num_frames or len(place_of_key) != len(keys):
        return None, False
    index = PacketIndex(
        stamps, keys, [pts for pts, _ in shown], [place for _, place in shown], number_of, place_of_key
    )
    return index, False


def _is_hidden(codec: str, packet: Packet) -> bool:
    """Tell a packet that holds only a frame for reference, never shown, as VP8 and VP9 have them.

    RFC 6386 section 9.1: bit 4 of the first byte is show_frame. VP9 bitstream specification 6.2:
    frame_marker (2 bits), profile (2, and a zero after profile 3), show_existing_frame, frame_type,
    show_frame; a superframe ends with a byte 110xxxxx and shows its last frame.
    """
    data = memoryview(packet)
    if codec in ("vp8", "libvpx"):
        return not data[0] & 0x10
    if codec not in ("vp9", "libvpx-vp9"):
        return False
    if data[-1] & 0xE0 == 0xC0:
        return False
    bits = data[0] << (1 if data[0] & 0x30 == 0x30 else 0)
    return not bits & 0x08 and not bits & 0x02


def start_at(
    source: VideoFile, index: PacketIndex, key: int, *, needed: Container[int] | None = None
) -> tuple[Iterator[VideoFrame], int]:
    """Decode from a keyframe or an earlier one; return the frames and the number of the first to trust.

    Args:
        source: The open file.
        index: Its packets.
        key: Which of them is the keyframe.
        needed: As ``VideoFile.decode`` takes it.

    Raises:
        LostError: No seek lands there.
    """
    pts, dts = index.stamps[key]
    earlier = index.stamps[index.keys[max(0, index.keys.index(key) - 1)]][0]
    for target in (pts, dts, earlier):
        if target is None:
            continue
        source.seek(target)
        packets = source.packets()
        for packet in packets:
            if not packet.is_keyframe:
                continue
            place = index.place_of_key.get(packet.pts) if packet.pts is not None else None
            if place is not None and place <= key:
                frames = source.decode(_behind(packet, packets), needed=needed)
                return frames, index.first_shown(place)
            break
    raise LostError


def _behind(first: Packet, rest: Iterator[Packet]) -> Iterator[Packet]:
    yield first
    yield from rest


def noting_pts(packets: Iterator[Packet], packet_pts: list[int | None]) -> Iterator[Packet]:
    """Pass packets on and note the pts of each."""
    for packet in packets:
        if packet.size:
            packet_pts.append(packet.pts)
        yield packet


def lacks_pts(source: VideoFile, packet_pts: Sequence[int | None]) -> bool:
    """Tell whether a container stores no pts and FFmpeg made some up in the order of coding.

    AVI is such a container: where frames are reordered, the decoder's order is right and the stamps
    are not (the ffmpeg command sees it by their going backwards, and falls back on dts).
    """
    if source.container.format.name != "avi" or not source.reorders:
        return False
    stamps = [pts for pts in packet_pts if pts is not None]
    return all(a < b for a, b in itertools.pairwise(stamps))
