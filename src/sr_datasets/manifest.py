"""What a manifest says: sources, their clips and files, and the evidence of each fact."""

import re
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, GetJsonSchemaHandler, field_validator, model_validator
from pydantic_core import CoreSchema

from sr_datasets.models import Model, Rate

if TYPE_CHECKING:
    from sr_datasets.color import PlaneLayout

SourceId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
ClipId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
HexSha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
HexSha1 = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
HexMd5 = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Url = Annotated[str, Field(pattern=r"^https?://\S+$")]
Answer = Literal["yes", "no", "unstated"]
Transfer = Literal[
    "bt709",
    "gamma22",
    "gamma28",
    "smpte170m",
    "smpte240m",
    "linear",
    "log100",
    "log316",
    "iec61966-2-4",
    "bt1361e",
    "iec61966-2-1",
    "bt2020-10",
    "bt2020-12",
    "smpte2084",
    "smpte428",
    "arib-std-b67",
]
"""Transfer characteristics of ITU-T H.273 by FFmpeg's names."""


class Status(StrEnum):
    """How a fact of a manifest came to be known."""

    SEEN = "SEEN"
    """The value itself was read in the named evidence."""
    COMPUTED = "COMPUTED"
    """Arithmetic on seen values."""
    COMPOSED = "COMPOSED"
    """A file name and a base URL were seen, and joined here."""
    INFERRED = "INFERRED"
    """Taken from a sibling file: verify before use."""
    UNKNOWN = "UNKNOWN"
    """Not found; the fact is left out."""


class Evidence(Model):
    """Where one fact comes from. In YAML: ``SEEN owner/repo:path``."""

    status: Status
    """How the fact came to be known."""
    where: str = ""
    """``owner/repo:path``, a URL, a formula, or ``public-copy:<id>``; empty for UNKNOWN only."""

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        if isinstance(value, str):
            status, _, where = value.partition(" ")
            return {"status": status, "where": where.strip()}
        return value

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        fields = handler.resolve_ref_schema(handler(schema))
        line = {
            "type": "string",
            "pattern": rf"^(UNKNOWN$|({'|'.join(Status)}) +\S)",
            "description": "In one line, such as `SEEN owner/repo:path`.",
        }
        return {"title": "Evidence", "description": cls.__doc__, "anyOf": [line, fields]}

    @model_validator(mode="after")
    def _names_its_place(self) -> Self:
        if self.status is not Status.UNKNOWN and not self.where:
            raise ValueError(
                f"evidence marked {self.status} must say where, such as '{self.status} owner/repo:path'"
            )
        return self


class Citation(Model):
    """How a paper that uses the source names it."""

    text: str
    """One sentence for a list of references."""
    bibtex: str = ""
    """A BibTeX entry, if there is one."""


class License(Model):
    """What the publisher allows, as data."""

    name: str
    """The licence's name as the publisher writes it; ``none stated``; or ``not known`` where none was read."""
    url: Url | None = None
    """Where its text stands."""
    redistribute_original: Answer = "unstated"
    """May the files be passed on as they are?"""
    redistribute_derived: Answer = "unstated"
    """May patches made of them be passed on?"""
    commercial: Answer = "unstated"
    """May they be used commercially?"""
    attribution: Answer = "unstated"
    """Must the author be named?"""
    share_alike: Answer = "unstated"
    """Must derived work carry the same licence?"""
    terms: str = ""
    """What else it asks, and how that is known."""


class FileFacts(Model):
    """Where a published file lies, and what proves that it is the right one."""

    mirrors: tuple[Url, ...] = ()
    """Addresses of the same bytes, in the order in which they are tried."""
    size_bytes: int | None = Field(default=None, ge=1)
    """Exact size; left out when only arithmetic suggests one."""
    sha256: HexSha256 | None = None
    """SHA-256 as somebody published it."""
    sha1: HexSha1 | None = None
    """SHA-1 as somebody published it."""
    md5: HexMd5 | None = None
    """MD5 as somebody published it."""
    evidence: dict[str, Evidence] = Field(default_factory=dict)
    """For each fact that is given, where it comes from; a fact left out is UNKNOWN.
    ``width height: SEEN ...`` names several facts at once."""

    @field_validator("evidence", mode="before")
    @classmethod
    def _one_entry_per_fact(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        facts = [(fact, evidence) for names, evidence in value.items() for fact in str(names).split()]
        names = [fact for fact, _ in facts]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"evidence of {', '.join(twice)} is given twice")
        return dict(facts)

    def evidence_of(self, fact: str) -> Evidence:
        """Return how a fact is known; UNKNOWN when nothing is said."""
        return self.evidence.get(fact, Evidence(status=Status.UNKNOWN))


class RemoteFile(FileFacts):
    """A file that clips are taken out of, such as a zip."""

    id: ClipId
    """Its name inside the source; also its file name in the store."""


class AddressPattern(Model):
    """Where files lie that are too many to list."""

    mirrors: tuple[Url, ...] = Field(min_length=1)
    """Addresses with ``{parts}`` to fill in, in the order in which they are tried."""
    evidence: Evidence
    """How they are known."""


class ClipFacts(FileFacts):
    """What is said of one clip, or of each clip of a series.

    Size and checksums are those of the file at its own ``mirrors``; of a clip in an archive, those of the
    member as it is unpacked.
    """

    media: Literal["video", "raw", "frames", "image"] = "video"
    """What lies in the store: a video file, headerless planes, a folder of pictures, or one picture."""
    pixels_sha256: HexSha256 | None = None
    """SHA-256 of an image's decoded 8-bit samples (rows from the top, R, G, B interleaved): the same for
    every lossless file of it."""
    archive: ClipId | None = None
    """The source's file that holds this clip, when it has no address of its own."""
    members: tuple[str, ...] = ()
    """Glob patterns of the clip's members of the archive; the first that fits is used. ``*`` stays within a
    folder, ``**/`` is any number of folders. Of frames, as many must fit as ``num_frames`` says."""
    width: int | None = Field(default=None, ge=1)
    """Luma samples per row."""
    height: int | None = Field(default=None, ge=1)
    """Luma rows."""
    frame_rate: Rate | None = None
    """Frames per second, exact."""
    num_frames: int | None = Field(default=None, ge=1)
    """Frames that are shown."""
    pixel_format: str | None = None
    """FFmpeg's name, such as yuv420p or yuv420p10le."""
    matrix: Literal["bt601", "bt709", "bt2020nc", "rgb"] | None = None
    """Colour matrix as the publisher declares it."""
    range: Literal["limited", "full"] | None = None
    """Quantisation range as the publisher declares it."""
    transfer: Transfer | None = None
    """Transfer characteristic as the publisher declares it, by FFmpeg's name."""
    siting: Literal["left", "center", "topleft"] | None = None
    """Where subsampled chroma lies, as the publisher declares it."""
    field_order: Literal["top", "bottom"] | None = None
    """Which field of an interlaced frame was taken first, as the publisher declares it."""
    pristine: Answer = "unstated"
    """Is the clip free of lossy coding?"""
    license: str | None = None
    """A key of the source's ``licenses``; the source's own ``license`` when left out."""
    notes: str = ""
    """Traps that a user must know."""


class Clip(ClipFacts):
    """One video of a source: a video file, raw frames, a folder of frames, or one image."""

    id: ClipId
    """Its name inside the source, unique without regard to case."""


class ClipSeries(ClipFacts):
    """Clips that differ by their names only, such as the pictures of an archive that are numbered through.

    In ``mirrors``, ``members`` and ``notes``, ``{id}`` stands for the clip's id and ``{part}`` for what stands in
    place of the braces of ``ids``. Size and checksums cannot be given: each clip has its own.
    """

    ids: tuple[str, ...] = Field(min_length=1)
    """Ids, ranges such as ``train-{000..239}`` and lists such as ``{bear,bus}-full``: one clip each, in order."""

    def clips(self) -> Iterator[Clip]:
        """Yield the clips that it stands for.

        Raises:
            ValueError: A range is wrong, as ``names_of_range`` says.
        """
        facts = {name: getattr(self, name) for name in self.model_fields_set - {"ids"}}
        for clip_id, part in (name for ids in self.ids for name in names_of(ids)):
            put_in = {
                name: _put_in(facts[name], clip_id, part)
                for name in ("mirrors", "members", "notes")
                if name in facts
            }
            yield Clip.model_validate({**facts, **put_in, "id": clip_id})


def _put_in(value: str | Sequence[str], clip_id: str, part: str) -> str | tuple[str, ...]:
    if not isinstance(value, str):
        return tuple(text.replace("{id}", clip_id).replace("{part}", part) for text in value)
    return value.replace("{id}", clip_id).replace("{part}", part)


_BRACES = re.compile(r"([^{}]*)\{([^{}]*)\}([^{}]*)")
_RANGE = re.compile(r"(\d{1,9})\.\.(\d{1,9})")
_LONGEST_RANGE = 100_000


def names_of(ids: str) -> list[tuple[str, str]]:
    """Return the ids that a text stands for, each with what stands in place of its braces (empty without).

    Numbers of a range that are written with leading zeros keep their width.

    Raises:
        ValueError: It has other braces than those of one range ``{first..last}``, ascending, or of one list
            ``{a,b}``.

    Example:
        >>> names_of("clip_{08..10}"), names_of("{bear,bus}-full")
        ([('clip_08', '08'), ('clip_09', '09'), ('clip_10', '10')], [('bear-full', 'bear'), ('bus-full', 'bus')])
    """
    if not re.search(r"[{}]", ids):
        return [(ids, "")]
    whole = _BRACES.fullmatch(ids)
    if whole is None:
        raise ValueError("has other braces than those of one range or list, such as {001..240} or {bear,bus}")
    before, within, after = whole.groups()
    limits = _RANGE.fullmatch(within)
    parts = [part.strip() for part in within.split(",")] if limits is None else _numbers(limits[1], limits[2])
    if limits is None and (len(parts) < 2 or not all(parts)):
        raise ValueError(
            f"has {{{within}}}, which is no range such as {{001..240}} and no list such as {{bear,bus}}"
        )
    return [(f"{before}{part}{after}", part) for part in parts]


def _numbers(first: str, last: str) -> list[str]:
    if len(first) != len(last) and first.startswith("0"):
        raise ValueError(f"has a range from {first} to {last}: write both with as many digits")
    if not 0 <= int(last) - int(first) < _LONGEST_RANGE:
        raise ValueError(
            f"has a range from {first} to {last}: it must ascend, and hold at most {_LONGEST_RANGE} numbers"
        )
    width = len(first) if len(first) == len(last) else 1
    return [f"{number:0{width}}" for number in range(int(first), int(last) + 1)]


class Source(Model):
    """A publisher of video."""

    format: Literal[1]
    """Version of the manifest format."""
    id: SourceId
    """Its name in every command."""
    title: str
    """Its name for people."""
    homepage: Url | None = None
    """The publisher's page."""
    description: str
    """What it holds, in a sentence or two."""
    access: Literal["download", "manual", "generated", "youtube"]
    """``download``: fetched; ``manual``: a person brings the files; ``generated``: made here; ``youtube``: chosen by
    label out of published annotations, then fetched from YouTube."""
    how_to_get: str = ""
    """For manual sources: the steps to take, one a line."""
    open_ended: bool = False
    """Whether clips that the manifest does not list may be imported."""
    terms: str = ""
    """What a user must accept before anything of it is fetched, in the publisher's words or close to them; empty when
    nothing. It is asked once, and again when this text changes."""
    year: int | None = Field(default=None, ge=1900, le=2100)
    """Year of the publication that introduced it."""
    citation: Citation
    """How to cite it."""
    licenses: dict[str, License]
    """Licences by key."""
    license: str
    """The key of the licence that holds where a clip names none."""
    groups: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Named lists of clip ids or glob patterns: ``xiph:hd``."""
    archives: tuple[RemoteFile, ...] = ()
    """Files that hold several clips."""
    addresses: dict[str, AddressPattern] = Field(default_factory=dict)
    """Addresses of files that are too many to list, by purpose."""
    clips: tuple[Clip, ...] = ()
    """What the source offers."""
    series: tuple[ClipSeries, ...] = ()
    """Clips that differ by name only; when a manifest is loaded they follow ``clips``, and this is empty."""

    def expanded(self) -> Self:
        """Return it with its series written out as clips."""
        if not self.series:
            return self
        clips = (*self.clips, *(clip for series in self.series for clip in series.clips()))
        return self.model_copy(update={"clips": clips, "series": ()})


class ColorTags(Model):
    """What the samples mean, and how each of the four is known."""

    matrix: Literal["bt601", "bt709", "bt2020nc", "rgb"]
    """Y'CbCr matrix: ITU-R BT.601-7, BT.709-6, BT.2020-2 non-constant luminance; ``rgb`` for none."""
    range: Literal["limited", "full"]
    """Quantisation: studio (16..235 at 8 bits) or full."""
    transfer: str
    """Transfer characteristic by FFmpeg's name, such as bt709, smpte2084, iec61966-2-1."""
    siting: Literal["left", "center", "topleft", "none"]
    """Where 4:2:0 and 4:2:2 chroma samples lie; ``none`` without subsampling."""
    matrix_from: Literal["declared", "tagged", "guessed"]
    """By the manifest, by the stream, or by our rule (docs/shards.md)."""
    range_from: Literal["declared", "tagged", "guessed"]
    """As ``matrix_from``."""
    transfer_from: Literal["declared", "tagged", "guessed"]
    """As ``matrix_from``."""
    siting_from: Literal["declared", "tagged", "guessed"]
    """As ``matrix_from``."""


class VideoInfo(Model):
    """What a clip says of itself when it is probed."""

    media: Literal["video", "raw", "frames", "image"]
    """As ``Clip.media``."""
    container: str
    """``y4m``, ``raw``, ``png``, or FFmpeg's name of the demuxer."""
    codec: str
    """FFmpeg's name of the decoder; ``rawvideo`` for y4m and raw."""
    width: int
    """Luma samples per row, after the stream's own cropping."""
    height: int
    """Luma rows."""
    num_frames: int
    """Frames shown, counted exactly."""
    frame_rate: Rate | None
    """Nominal frames per second; None for images."""
    pixel_format: str
    """FFmpeg's name of the samples that the reader hands out."""
    bit_depth: int
    """Bits per sample."""
    model: Literal["gray", "yuv", "rgb"]
    """Which planes a frame has: Y; Y, U, V; or R, G, B."""
    chroma_log2_x: int
    """0 when chroma is as wide as luma, 1 when half."""
    chroma_log2_y: int
    """0 when chroma is as high as luma, 1 when half."""
    time_base: Rate
    """Seconds of one tick of ``pts``, exact."""
    scan: Literal["progressive", "interlaced", "unknown"]
    """How its lines were taken: each frame at one moment, or its odd and even rows at two."""
    scan_from: Literal["tagged", "detected", "unknown"] = "unknown"
    """How that is known: by the stream, or by a look at the frames (``video.scan``)."""
    field_order: Literal["top", "bottom", "unknown"] = "unknown"
    """Which field of an interlaced frame was taken first, by the stream."""
    color: ColorTags
    """What the samples mean."""

    @property
    def layout(self) -> "PlaneLayout":
        """What the planes of its frames mean, as ``color.window`` wants it."""
        # NumPy loads when pixels are first looked at, not when a manifest is.
        from sr_datasets.color import PlaneLayout

        return PlaneLayout(
            model=self.model,
            log2_x=self.chroma_log2_x,
            log2_y=self.chroma_log2_y,
            bit_depth=self.bit_depth,
            siting=self.color.siting,
            matrix=self.color.matrix,
            range=self.color.range,
        )

    @model_validator(mode="before")
    @classmethod
    def _tagged_unless_said(cls, value: object) -> object:
        # Every reader that knows a scan has it from the stream; so had all lock files of earlier versions.
        if isinstance(value, dict) and "scan_from" not in value and value.get("scan") != "unknown":
            return {**value, "scan_from": "tagged"}
        return value
