"""What is known of one clip, in one line, and conditions on it: ``height>=1080 license=CC*``.

One grammar for ``sr-data list --where``, for the Python catalog and for the ``where`` of recipes. A fact that is not
known fits no condition but ``=unknown``.
"""

import fnmatch
import operator
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import Any

from sr_datasets.errors import SelectionError, nearest_names
from sr_datasets.manifest import Clip, License, Source, VideoInfo

OBLIGATIONS = ("redistribute_original", "redistribute_derived", "commercial", "attribution", "share_alike")
"""The fields of a licence that say yes, no or unstated."""

_PLANAR = re.compile(r"(?:yuv[aj]?(4\d\d)p|(gray)|(gbra?p))(\d+)?(?:[lb]e)?")
_PACKED = {
    **dict.fromkeys(("nv12", "nv21"), (8, "420")),
    **dict.fromkeys(("uyvy422", "yuyv422", "yvyu422", "nv16"), (8, "422")),
    **dict.fromkeys(("nv24", "nv42"), (8, "444")),
    **dict.fromkeys(("rgb24", "bgr24", "rgba", "bgra", "argb", "abgr", "rgb0", "bgr0"), (8, "rgb")),
    **dict.fromkeys(("rgb48le", "rgb48be", "rgba64le", "rgba64be"), (16, "rgb")),
    **dict.fromkeys(("p010le", "p010be"), (10, "420")),
    **dict.fromkeys(("p210le", "y210le"), (10, "422")),
}


def depth_and_chroma(pixel_format: str | None) -> tuple[int | None, str | None]:
    """Return bits per sample and chroma of a pixel format by FFmpeg's name; None for what is not known.

    Chroma is ``420``, ``422``, ``440``, ``444``, ``rgb``, or ``400`` for grey.

    Example:
        >>> depth_and_chroma("yuv420p10le"), depth_and_chroma("gray"), depth_and_chroma(None)
        ((10, '420'), (8, '400'), (None, None))
    """
    if pixel_format in _PACKED:
        return _PACKED[pixel_format]
    parts = _PLANAR.fullmatch(pixel_format or "")
    if parts is None:
        return None, None
    chroma, gray, _, bits = parts.groups()
    return int(bits or 8), chroma or ("400" if gray else "rgb")


@dataclass(frozen=True, slots=True)
class ClipFacts:
    """One clip in one line; None where a fact is not known."""

    source: str
    """Source id."""
    clip: str
    """Clip id."""
    media: str
    """As ``Clip.media``."""
    width: int | None
    """Luma samples per row."""
    height: int | None
    """Luma rows."""
    frames: int | None
    """Frames that are shown."""
    rate: Fraction | None
    """Frames per second."""
    bit_depth: int | None
    """Bits per sample."""
    chroma: str | None
    """``420``, ``422``, ``440``, ``444``, ``rgb`` or ``400``."""
    bytes: int | None
    """Size of its files: as they are here, else as published."""
    pristine: str | None
    """Is it free of lossy coding: yes or no?"""
    license: str
    """The licence's name."""
    license_key: str
    """Its key in the manifest."""
    redistribute_original: str
    """May the files be passed on: yes, no or unstated?"""
    redistribute_derived: str
    """May patches be passed on?"""
    commercial: str
    """May they be used commercially?"""
    attribution: str
    """Must the author be named?"""
    share_alike: str
    """Must derived work carry the same licence?"""
    year: int | None
    """Year of the publication that introduced the source."""
    access: str
    """As ``Source.access``, or ``unknown address``."""
    here: str
    """Is it in the store: yes or no?"""

    @property
    def id(self) -> str:
        """The name in every command, such as ``xiph/akiyo_cif``."""
        return f"{self.source}/{self.clip}"


def facts_of(
    source: Source, clip: Clip, *, info: VideoInfo | None = None, num_bytes: int | None = None
) -> ClipFacts:
    """Return what is known of a clip: what its probe found, else what the manifest says.

    Args:
        source: Its publisher.
        clip: The clip.
        info: Its probe, when it is in the store.
        num_bytes: The size of its files in the store.
    """
    key = clip.license or source.license
    license_ = source.licenses.get(key) or License(name="not known")
    depth, chroma = depth_and_chroma(clip.pixel_format)
    if info is not None:
        depth = info.bit_depth
        chroma = depth_and_chroma(info.pixel_format)[1] or chroma
    addressed = clip.archive is not None or clip.mirrors or source.access != "download"
    return ClipFacts(
        source=source.id,
        clip=clip.id,
        media=info.media if info else clip.media,
        width=info.width if info else clip.width,
        height=info.height if info else clip.height,
        frames=info.num_frames if info else clip.num_frames,
        rate=info.frame_rate if info else clip.frame_rate,
        bit_depth=depth,
        chroma=chroma,
        bytes=num_bytes if num_bytes is not None else clip.size_bytes,
        pristine=None if clip.pristine == "unstated" else clip.pristine,
        license=license_.name,
        license_key=key,
        redistribute_original=license_.redistribute_original,
        redistribute_derived=license_.redistribute_derived,
        commercial=license_.commercial,
        attribution=license_.attribution,
        share_alike=license_.share_alike,
        year=source.year,
        access=source.access if addressed else "unknown address",
        here="yes" if info is not None else "no",
    )


FACT_NAMES = tuple(field.name for field in fields(ClipFacts) if field.name != "license_key")
"""What conditions may ask for."""
_NUMBERS = {"width", "height", "frames", "rate", "bit_depth", "bytes", "year"}
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_START = re.compile(r"(?P<name>[A-Za-z_]\w*)\s*(?P<sign>>=|<=|!=|==|=|>|<)\s*")
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition, such as ``height>=1080``."""

    name: str
    """One of ``FACT_NAMES``."""
    sign: str
    """``=``, ``!=``, ``>=``, ``<=``, ``>`` or ``<``."""
    values: tuple[str | Fraction, ...]
    """What the fact is compared with: numbers, or glob patterns in lower case; any of them is enough."""
    text: str
    """As it was written."""

    def judge(self, facts: ClipFacts) -> bool | None:
        """Tell whether a clip fits; None when the fact is not known."""
        fact = getattr(facts, self.name)
        if self.values == ("unknown",):
            return (fact is None) == (self.sign == "=")
        if fact is None:
            return None
        if self.name in _NUMBERS:
            if self.sign in _COMPARE:
                return _COMPARE[self.sign](fact, self.values[0])
            return any(_same(fact, value) for value in self.values) == (self.sign == "=")
        names = [str(fact).lower()]
        if self.name == "license":
            names.append(facts.license_key.lower())
        fits = any(fnmatch.fnmatchcase(name, str(value)) for name in names for value in self.values)
        return fits == (self.sign == "=")


def _same(fact: int | Fraction, value: str | Fraction) -> bool:
    # 29.97 stands for 30000/1001, and 23.98 for 24000/1001.
    return value != "unknown" and abs(Fraction(fact) - Fraction(value)) < Fraction(1, 200)


def parse_where(texts: str | Iterable[str]) -> tuple[Condition, ...]:
    """Read conditions, such as ``height>=1080 frames>=300 chroma=420|422 license=CC BY*``.

    A value ends where the next condition begins. ``|`` stands between values of which any will do. Texts are compared
    without regard to case, ``*`` and ``?`` stand for any characters; a licence by its name or its key. Numbers may be
    written as ``1080p``, ``29.97``, ``30000/1001``, ``1.5GB``.

    Raises:
        SelectionError: A text is no condition; the message has every such text.

    Example:
        >>> [condition.text for condition in parse_where("height>=1080 license=CC BY 4.0, chroma=420")]
        ['height>=1080', 'license=CC BY 4.0', 'chroma=420']
    """
    conditions, wrong = [], []
    for text in [texts] if isinstance(texts, str) else texts:
        starts = list(_START.finditer(text))
        before = text[: starts[0].start()] if starts else text
        if before.strip():
            wrong.append(
                f"'{before.strip()}' is no condition. Write a fact, a sign and a value, such as height>=1080."
            )
        ends = [start.start() for start in starts[1:]] + [len(text)]
        for start, end in zip(starts, ends, strict=False):
            value = re.sub(r"(\s+and|,|&)*\s*$", "", text[start.end() : end]).strip()
            try:
                conditions.append(_condition(start["name"].lower(), start["sign"], value))
            except SelectionError as error:
                wrong.append(str(error))
    if wrong:
        raise SelectionError("\n".join(wrong))
    return tuple(conditions)


def _condition(name: str, sign: str, value: str) -> Condition:
    text = f"{name}{sign}{value}"
    sign = "=" if sign == "==" else sign
    if name not in FACT_NAMES:
        raise SelectionError(
            f"'{text}': there is no fact '{name}'.{nearest_names(name, FACT_NAMES)} Facts: "
            f"{', '.join(FACT_NAMES)}."
        )
    if not value:
        raise SelectionError(f"'{text}': found no value, expected one such as {name}{sign}{_example(name)}")
    if value.lower() in ("unknown", "?"):
        if sign not in ("=", "!="):
            raise SelectionError(f"'{text}': what is not known is neither more nor less: write = or !=")
        return Condition(name, sign, ("unknown",), text)
    parts = [part.strip() for part in value.split("|")]
    if name not in _NUMBERS:
        if sign not in ("=", "!="):
            raise SelectionError(f"'{text}': {name} is a text: compare it with = or !=")
        if name == "chroma":
            parts = [part.replace(":", "") for part in parts]
        return Condition(name, sign, tuple(part.lower() for part in parts), text)
    if sign in _COMPARE and len(parts) > 1:
        raise SelectionError(f"'{text}': found {len(parts)} values, expected one with {sign}")
    numbers = [_number(part) for part in parts]
    if None in numbers:
        raise SelectionError(f"'{text}': found '{value}', expected a number such as {_example(name)}")
    return Condition(name, sign, tuple(number for number in numbers if number is not None), text)


def _example(name: str) -> str:
    examples = {
        "height": "1080",
        "width": "1920",
        "rate": "29.97",
        "bytes": "1GB",
        "license": "CC*",
        "year": "2020",
    }
    return examples.get(name, "10" if name in _NUMBERS else "yes" if name in (*OBLIGATIONS, "here") else "*")


def _number(text: str) -> Fraction | None:
    parts = re.fullmatch(r"(\d{1,15}(?:\.\d{1,9})?|\d{1,9}/[1-9]\d{0,8})\s*([kmgt]?)b?p?", text.lower())
    return None if parts is None else Fraction(parts[1]) * _UNITS[parts[2]]


def judge(conditions: Iterable[Condition], facts: ClipFacts) -> bool | None:
    """Tell whether a clip fits all conditions; None when none fails, but some facts are not known."""
    found = [condition.judge(facts) for condition in conditions]
    if False in found:
        return False
    return None if None in found else True
