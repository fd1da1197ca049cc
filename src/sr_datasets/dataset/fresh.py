"""LR made when it is loaded, of HR that a set keeps with a halo (``degradation: none``)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter, ValidationError

from sr_datasets.degrade import Degrader, Drawn, Key, Region, cut
from sr_datasets.errors import ShardError
from sr_datasets.recipe.chains import Degradation

FACTS = (
    "source",
    "clip",
    "row",
    "top",
    "left",
    "frame_height",
    "frame_width",
    "scale",
    "color",
    "bit_depth",
    "degradation",
    "frame_indices",
)
"""Columns that making LR of a row needs."""

_FAR = 1 << 16
_Pixels = npt.NDArray[Any]


class _Kind(NamedTuple):
    scale: int
    color: Any
    bit_depth: int
    degradation: str
    """What the set says of LR, as JSON."""


@dataclass(frozen=True, slots=True)
class _Ready:
    degrader: Degrader
    halo: int


class FreshLr:
    """How LR is made of each row, and from which draws.

    The draws of a row are keyed by (seed, epoch, source, clip, row): other ones in each epoch, the same in any process.
    With ``every_epoch=False`` the key is a build's, (seed, source, clip, row): LR is then equal, bit for bit, to that
    of a set built with this degradation and seed, of the same places. Noise is drawn by its place in the frame, so rows
    must say how large that is, which those of the first sets do not (chains ``of: crop`` may have noise there too).
    """

    def __init__(
        self, degradation: Degradation | Mapping[str, Any] | str, *, seed: int = 0, every_epoch: bool = True
    ) -> None:
        """Read the degradation.

        Args:
            degradation: As in a recipe: the name of a preset or of a downscaler, a mapping, or a model.
            seed: What the draws are keyed by.
            every_epoch: Draw anew in each epoch; as a build does when False.

        Raises:
            ValueError: It is no degradation.
        """
        adapter: TypeAdapter[Degradation] = TypeAdapter(Degradation)
        value = dict(degradation) if isinstance(degradation, Mapping) else degradation
        try:
            self.degradation = adapter.validate_python(value)
        except ValidationError as error:
            raise ValueError(
                f"degrade={degradation!r}: {'; '.join(e['msg'] for e in error.errors())}"
            ) from None
        self.text = self.degradation.model_dump_json()
        """What the column ``degradation`` says of its rows."""
        self.seed, self.every_epoch = seed, every_epoch
        self._ready: dict[_Kind, _Ready] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_ready": {}}

    def check(self, row: Mapping[str, Any], name: str) -> None:
        """Make sure that LR of rows can be made.

        Args:
            row: Their ``scale``, ``color``, ``bit_depth``, ``degradation``, ``frame_height`` and ``frame_width``.
            name: What the set is called in messages.

        Raises:
            ShardError: The set keeps LR; its halo is too small; the degradation needs a whole frame or clip; or the key is
                a build's and rows do not say how large the frame is by which noise is drawn.
        """
        kept = json.loads(row["degradation"])
        if kept.get("kind") != "none":
            raise ShardError(
                f"{name}: its rows hold LR already ({kept.get('kind')}), so none is made anew. Build a set with "
                "`degradation: none`, or leave degrade= out."
            )
        try:
            degrader = self._ready_for(row).degrader
        except ValueError as error:  # not for this scale, depth or colour
            raise ShardError(f"{name}: {error}. Choose a degradation that can be of these rows.") from error
        if degrader.scope in ("frame", "clip"):
            raise ShardError(
                f"{name}: {' and '.join(degrader.wide_steps)} must see the whole {degrader.scope}, of which a row holds a "
                "patch. Choose a degradation that sees a window, a chain `of: crop`, or build LR into the set."
            )
        if (
            not self.every_epoch
            and degrader.scope == "window"
            and '-noise"' in self.text
            and not row["frame_height"]
        ):
            raise ShardError(
                f"{name}: a build draws noise by its place in the frame, and this set was built before rows said how large "
                "that is. Draw anew in each epoch, or build the set again."
            )
        scale, size = row["scale"], row["scale"] * _FAR
        # Far from every border: a multiple of 2 * scale, where chroma begins too.
        lr = Region(_FAR // 2, _FAR // 2, 16, 16)
        needed, hr = degrader.hr_region(lr, size, size), lr.times(scale)
        reach = max(
            hr.top - needed.top, hr.left - needed.left, needed.bottom - hr.bottom, needed.right - hr.right
        )
        if reach > kept["halo"]:
            raise ShardError(
                f"{name}: {reach} HR pixels around a patch are needed, the set keeps {kept['halo']}. Build it with "
                f"`degradation: {{kind: none, halo: {reach + reach % 2}}}`, into another folder."
            )

    def pair(self, hr: _Pixels, row: Mapping[str, Any], epoch: int) -> tuple[_Pixels, _Pixels, str]:
        """Return LR and HR of a row.

        Args:
            hr: HR with its halo, ``(C, H, W)`` or ``(T, C, H, W)``.
            row: Its ``FACTS``.
            epoch: The epoch.

        Returns:
            LR, HR without its halo, and what was drawn as JSON, as the column ``drawn`` has it.
        """
        ready = self._ready_for(row)
        degrader, scale, halo = ready.degrader, row["scale"], ready.halo
        height, width = hr.shape[-2:]
        if row["color"] == "yuv420":
            height = height * 2 // 3
        lr = Region(row["top"], row["left"], (height - 2 * halo) // scale, (width - 2 * halo) // scale)
        inner = lr.times(scale)
        at = inner.grown(halo)
        frames = list(hr) if hr.ndim == 4 else [hr]
        shown = [cut(frame, at, inner, color=row["color"]) for frame in frames]
        numbers = [int(number) for number in row["frame_indices"]]
        key = self._key(row, epoch)
        # Where the size is not known, the border is far: the halo keeps patches from it, and nothing but noise goes by it.
        size = {
            "height": row["frame_height"] or scale * _FAR,
            "width": row["frame_width"] or scale * _FAR,
        }
        made: list[_Pixels] = []
        drawn: Drawn = []
        if degrader.scope == "crop":
            # Its parameters may walk over the frames of a row, which therefore go together, as in a build.
            found, drawn = degrader.degrade(shown, at=inner, **size, lr=lr, key=key, numbers=numbers)
            made += found
        else:
            for frame, number in zip(frames, numbers, strict=True):
                (one,), drawn = degrader.degrade([frame], at=at, **size, lr=lr, key=key, numbers=[number])
                made.append(one)
        text = json.dumps({"steps": drawn}) if drawn else "{}"
        if hr.ndim == 4:
            return np.stack(made), np.stack(shown), text
        return made[0], np.ascontiguousarray(shown[0]), text

    def _key(self, row: Mapping[str, Any], epoch: int) -> Key:
        place = (row["source"], row["clip"], row["row"])
        return (self.seed, epoch, *place) if self.every_epoch else (self.seed, *place)

    def _ready_for(self, row: Mapping[str, Any]) -> _Ready:
        kind = _Kind(row["scale"], row["color"], row["bit_depth"], row["degradation"])
        found = self._ready.get(kind)
        if found is None:
            degrader = Degrader(self.degradation, kind.scale, bit_depth=kind.bit_depth, color=kind.color)
            found = self._ready[kind] = _Ready(degrader, json.loads(kind.degradation)["halo"])
        return found
