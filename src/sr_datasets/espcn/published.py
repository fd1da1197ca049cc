"""Figures that others printed, beside ours: matched by set, scale and protocol, each with its source."""

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from sr_datasets.errors import ModelError
from sr_datasets.metrics import Protocol, Score, SsimWindow
from sr_datasets.models import Model
from sr_datasets.yamlfile import load_model

_SET5 = frozenset({"baby", "bird", "butterfly", "head", "woman"})
_VID4 = frozenset({"calendar", "city", "foliage", "walk"})
_SET14 = frozenset(
    {
        "baboon",
        "barbara",
        "bridge",
        "coastguard",
        "comic",
        "face",
        "flowers",
        "foreman",
        "lenna",
        "man",
        "monarch",
    }
    | {"pepper", "ppt3", "zebra"}
)
_MEMBERS = {"set5": _SET5, "set14": _SET14, "vid4": _VID4}


class _Block(Model):
    source: str
    mark: Literal["read", "measured"]
    protocol: Literal["y-double", "y-8bit", "vid4", "rgb", "unstated"]
    ssim_window: SsimWindow = "gaussian11"
    rows: tuple[tuple[str, int, str, float] | tuple[str, int, str, float, float], ...]


class _File(Model):
    blocks: tuple[_Block, ...]


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """One printed figure."""

    set: str
    """A selection: ``set5``, ``bsd:bsd100``, ``vid4/calendar``."""
    scale: int
    """HR-to-LR ratio."""
    method: str
    """What was measured."""
    psnr: float
    """dB."""
    ssim: float | None
    """Where it was printed."""
    source: str
    """Where it stands."""
    mark: Literal["read", "measured"]
    """``read`` in the source, or ``measured`` by this project on public frames."""
    protocol: str
    """The convention that gives the source's bicubic row, or ``unstated``."""
    ssim_window: SsimWindow
    """Of its SSIM."""

    def differs(self, protocol: Protocol) -> str:
        """Return what of the convention is not ours, or not known to be; empty when all is."""
        parts = []
        if self.protocol != protocol.name:
            parts.append(f"protocol {self.protocol}")
        if self.ssim is not None and self.ssim_window != protocol.ssim_window:
            parts.append(f"SSIM {self.ssim_window}")
        return ", ".join(parts)


@lru_cache
def published_rows() -> tuple[PublishedRow, ...]:
    """Return all figures, in the order of the file."""
    path = Path(str(resources.files("sr_datasets") / "espcn" / "published.yaml"))
    file = load_model(path, _File, ModelError, check=lambda _: ())
    return tuple(
        PublishedRow(
            *row[:4],
            row[4] if len(row) > 4 else None,
            block.source,
            block.mark,
            block.protocol,
            block.ssim_window,
        )
        for block in file.blocks
        for row in block.rows
    )


def set_of(group: str, names: list[str]) -> str:
    """Return the name of a set by which its figures are known.

    Args:
        group: What was asked for: a selection or a path.
        names: Of its items; Set5, Set14 and Vid4 are known by them, wherever they lie.
    """
    stems = frozenset(map(_stem, names))
    for known, members in _MEMBERS.items():
        if stems == members:
            return known
    if len(stems) == 1 and stems <= _VID4:
        return f"vid4/{next(iter(stems))}"
    return group


def item_of(set_name: str, name: str) -> str:
    """Return the name by which the figures of one picture or clip are known.

    Args:
        set_name: Of its set, as ``set_of`` tells.
        name: Its own: a selection (``xiph/aspen_1080p``), or of a file.

    Example:
        >>> item_of("set14", "baboon_GT"), item_of("xiph:espcn-8", "xiph/aspen_1080p")
        ('set14/baboon', 'xiph/aspen_1080p')
    """
    return f"{set_name}/{_stem(name)}" if set_name in _MEMBERS else name


def _stem(name: str) -> str:
    return name.removesuffix("/GT").rpartition("/")[2].removesuffix("_GT").lower()


def rows_for(name: str, scale: int) -> list[PublishedRow]:
    """Return the figures of a set at a scale."""
    return [row for row in published_rows() if row.set == name and row.scale == scale]


def beside(name: str, scale: int, method: str, ours: Score, protocol: Protocol) -> str:
    """Return a table of printed figures and ours, by PSNR; empty when nothing is known of the set."""
    rows = rows_for(name, scale)
    if not rows:
        return ""
    lines: list[tuple[float, str]] = [
        (ours.psnr, f"> {ours.psnr:6.2f} {ours.ssim:7.4f}  {method} (this run)")
    ]
    sources: list[str] = []
    for row in rows:
        said = f"{row.source} ({row.mark})"
        if said not in sources:
            sources.append(said)
        ssim = f"{row.ssim:7.4f}" if row.ssim is not None else "      -"
        other = row.differs(protocol)
        note = f"  * {other}" if other else ""
        lines.append((row.psnr, f"  {row.psnr:6.2f} {ssim}  {row.method} [{sources.index(said) + 1}]{note}"))
    lines.sort(key=lambda line: line[0])
    starred = any("  * " in line for _, line in lines)
    return "\n".join(
        [
            f"{name} x{scale}, beside printed figures:",
            *(line for _, line in lines),
            *(
                ["  * another convention than this run's, or one that is not stated: no fair comparison"]
                if starred
                else []
            ),
            *(f"  [{number}] {source}" for number, source in enumerate(sources, 1)),
        ]
    )


def items_beside(items: Mapping[str, Score], scale: int, protocol: Protocol) -> str:
    """Return single pictures and clips beside their printed figures, a line for each; empty when none is known.

    Args:
        items: Our scores, by the names that ``item_of`` gives.
        scale: HR-to-LR ratio.
        protocol: Of our scores.
    """
    known = {name: rows for name in items if (rows := rows_for(name, scale))}
    if not known:
        return ""
    sources = list(dict.fromkeys(_source_text(row, protocol) for rows in known.values() for row in rows))
    width = max(map(len, known))
    lines = []
    for name, rows in known.items():
        parts = [f"{name:<{width}} > {items[name].psnr:.2f} this run"]
        for said in sources:
            figures = [f"{row.psnr:.2f} {row.method}" for row in rows if _source_text(row, protocol) == said]
            if figures:
                parts.append(f"{', '.join(figures)} [{sources.index(said) + 1}]")
        lines += textwrap.wrap("; ".join(parts), 80, initial_indent="  ", subsequent_indent=" " * (width + 5))
    return "\n".join(
        [
            f"Single items x{scale}, PSNR beside printed figures:",
            *lines,
            *(f"  [{number}] {source}" for number, source in enumerate(sources, 1)),
        ]
    )


def _source_text(row: PublishedRow, protocol: Protocol) -> str:
    other = row.differs(protocol)
    return f"{row.source} ({row.mark})" + (f"; no fair comparison: {other}" if other else "")


def to_json(name: str, scale: int, protocol: Protocol) -> list[dict[str, Any]]:
    """Return the figures of a set as plain JSON values."""
    return [
        {
            "method": row.method,
            "psnr": row.psnr,
            "ssim": row.ssim,
            "source": row.source,
            "mark": row.mark,
            "protocol": row.protocol,
            "same_protocol": not row.differs(protocol),
        }
        for row in rows_for(name, scale)
    ]
