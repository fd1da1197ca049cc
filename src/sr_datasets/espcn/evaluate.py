"""Scores of a network, or of bicubic, on pictures and clips, under a protocol that stands beside every number."""

import math
import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal, get_args

import numpy as np
import torch

from sr_datasets import catalog
from sr_datasets.color import Floats, Pixels, window
from sr_datasets.degrade import EvaluationPair, evaluation_pair
from sr_datasets.errors import DecodeError, ModelError, SelectionError, StoreError
from sr_datasets.espcn import published
from sr_datasets.espcn.model import Espcn
from sr_datasets.espcn.perceptual import Extra, lpips_of, require_extras, vmaf_of
from sr_datasets.espcn.pretrained import open_model
from sr_datasets.espcn.upscale import upscale_luma, upscale_rgb
from sr_datasets.manifest import Clip, VideoInfo
from sr_datasets.metrics import Protocol, Score, mean_score
from sr_datasets.progress import Progress, Silent
from sr_datasets.recipe import Degradation, Scale
from sr_datasets.store import Store
from sr_datasets.video import ClipReader, Frame, open_clip, probe

BICUBIC: Final = "bicubic"
"""The method that needs no model: MATLAB's imresize, along the protocol's path."""

SCALES: Final = get_args(Scale)
"""Ratios that can be scored."""

_VIDEO_SUFFIXES = frozenset({".avi", ".gif", ".m4v", ".mkv", ".mov", ".mp4", ".mpg", ".webm", ".y4m"})
_PICTURE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png"})
_SSIM_SIDES = {"gaussian11": 11, "uniform7": 7}


@dataclass(frozen=True, slots=True)
class ItemScore:
    """The score of one picture or clip."""

    name: str
    """What was scored: a selection, or a file's name without its suffix."""
    width: int
    """HR columns, before mod-crop."""
    height: int
    """HR rows, before mod-crop."""
    num_frames: int
    """Frames that count; 1 for a picture."""
    score: Score
    """Mean over its frames."""
    group: str = ""
    """Which of the names that were asked for it belongs to."""
    extras: Mapping[str, float] = field(default_factory=dict)
    """``vmaf`` and ``lpips``, where they were asked for."""


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """Scores, and everything that they depend on."""

    method: str
    """``bicubic``, or the model's name."""
    scale: int
    """HR-to-LR ratio."""
    protocol: Protocol
    """The convention."""
    degradation: Degradation | None
    """How LR was made; None for the protocol's bicubic."""
    frame_step: int
    """Every n-th of the protocol's frames was scored."""
    items: tuple[ItemScore, ...]
    """Each picture or clip, in the order given."""
    mean: Score
    """Over all, averaged as the protocol says."""
    seconds: float
    """Time that it took, reading and scoring included."""
    notes: tuple[str, ...] = ()
    """How the method met the protocol, where that is not plain."""

    @property
    def groups(self) -> dict[str, Score]:
        """The mean of each name that was asked for, such as ``set5``."""
        found: dict[str, list[ItemScore]] = {}
        for item in self.items:
            found.setdefault(item.group, []).append(item)
        return {name: self._mean(items) for name, items in found.items()}

    def _mean(self, items: Sequence[ItemScore]) -> Score:
        weights = [item.num_frames if self.protocol.averaging == "frames" else 1 for item in items]
        total = sum(weights)
        return Score(
            sum(weight * item.score.psnr for weight, item in zip(weights, items, strict=True)) / total,
            sum(weight * item.score.ssim for weight, item in zip(weights, items, strict=True)) / total,
        )

    def _set_names(self) -> dict[str, str]:
        """Return for each group the name by which printed figures know it."""
        return {
            group: published.set_of(group, [item.name for item in self.items if item.group == group])
            for group in self.groups
        }

    def _single_items(self) -> dict[str, Score]:
        """Return the scores of single items, by the name by which printed figures know each, beside those of sets."""
        sets = self._set_names()
        named = {published.item_of(sets[item.group], item.name): item.score for item in self.items}
        return {name: score for name, score in named.items() if name not in sets.values()}

    def beside_published(self) -> str:
        """Return tables of our figures among printed ones, a sentence where nothing is known of a set.

        Sets by their mean, then pictures and clips of which figures of their own were printed.
        """
        groups = self.groups
        tables = [
            published.beside(name, self.scale, self.method, groups[group], self.protocol)
            or f"{name} x{self.scale}: no printed figures are known here"
            for group, name in self._set_names().items()
        ]
        singles = published.items_beside(self._single_items(), self.scale, self.protocol)
        return "\n\n".join([*tables, *([singles] if singles else [])])

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain JSON values; an infinite PSNR (equal pictures) is null."""
        return {
            "method": self.method,
            "scale": self.scale,
            "protocol": {name: getattr(self.protocol, name) for name in Protocol.__dataclass_fields__},
            "degradation": self.degradation.model_dump() if self.degradation else None,
            "frame_step": self.frame_step,
            "items": [
                {
                    "name": item.name,
                    "width": item.width,
                    "height": item.height,
                    "frames": item.num_frames,
                    **_score_json(item.score),
                    **item.extras,
                }
                for item in self.items
            ],
            "mean": _score_json(self.mean),
            "groups": {name: _score_json(score) for name, score in self.groups.items()},
            "published": {
                **{
                    name: rows
                    for name in self._single_items()
                    if (rows := published.to_json(name, self.scale, self.protocol))
                },
                **{
                    name: published.to_json(name, self.scale, self.protocol)
                    for name in self._set_names().values()
                },
            },
            "notes": list(self.notes),
            "seconds": round(self.seconds, 2),
        }

    def to_text(self) -> str:
        """Return the report as text of at most 80 columns where names allow it."""
        head = [f"{self.method} x{self.scale}", str(self.protocol)]
        if self.degradation is not None:
            head.append(f"LR by {self.degradation.kind}: {self.degradation.model_dump_json()}")
        else:
            head.append(
                f"LR by bicubic, antialiased as MATLAB's imresize, rounded as {self.protocol.name} says"
            )
        head += self.notes
        if self.frame_step > 1:
            head.append(f"one frame in {self.frame_step}")
        width = max(12, *(len(item.name) for item in self.items))
        extras = list(self.items[0].extras)
        rows = [
            f"{item.name:<{width}}  {f'{item.width}x{item.height}':>11} {item.num_frames:>7} {_score_text(item.score)}"
            + "".join(f" {item.extras[name]:7.3f}" for name in extras)
            for item in self.items
        ]
        if len(self.groups) > 1:
            rows += [
                f"{f'mean of {name}':<{width}}  {'':>11} {'':>7} {_score_text(score)}"
                for name, score in self.groups.items()
            ]
        return "\n".join(
            [
                *(line for text in head for line in textwrap.wrap(text, 80, subsequent_indent="  ")),
                "",
                f"{'item':<{width}}  {'size':>11} {'frames':>7} {'PSNR':>7} {'SSIM':>7}"
                + "".join(f" {name.upper():>7}" for name in extras),
                *rows,
                f"{f'mean of {len(self.items)}':<{width}}  {'':>11} {'':>7} {_score_text(self.mean)}",
            ]
        )


@dataclass(frozen=True, slots=True)
class _Item:
    name: str
    path: Path
    info: VideoInfo
    clip: Clip | None = None
    group: str = ""


def evaluate(
    method: str | Path | Espcn,
    items: Sequence[str | Path],
    *,
    protocol: Protocol,
    scale: int | None = None,
    degradation: Degradation | None = None,
    store: Store | None = None,
    frame_step: int = 1,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    extras: Sequence[Extra] = (),
    progress: Progress | None = None,
) -> EvaluationReport:
    """Score a method on pictures and clips.

    LR is made of each frame as the protocol says. A luma network gets the luma of LR; on the paths of 8-bit RGB
    its colour differences are bicubic's, and the R'G'B' picture that comes out is rounded and scored. Luma of
    Y'CbCr video is the decoder's own plane under protocols on luma, and R'G'B' by our arithmetic under those on RGB.
    A network of R'G'B' gets and makes R'G'B', on the paths that have it; of grey it gets three equal planes, and the
    mean of its three is scored. A network of several frames gets the LR of the neighbours, the frame at an end again.

    Args:
        method: ``"bicubic"``, a model (a file, the folder of a run, or weights of the package), or a network.
        items: Paths, or selections of clips of the store. A folder whose pictures are all alike is one clip; of any
            other folder each picture and video is an item. What exists as a path is taken as such.
        protocol: The convention.
        scale: HR-to-LR ratio; needed for bicubic, a model knows its own.
        degradation: How LR is made; None for bicubic as the protocol rounds it.
        store: Where selections are looked up; the default store when left out.
        frame_step: Score every n-th of the frames that the protocol counts.
        device: Where the network runs.
        extras: ``vmaf`` (an ffmpeg with libvmaf) and ``lpips`` (its package; protocols with R'G'B' LR).
        progress: Where to report, silent by default.

    Raises:
        ModelError: The model is missing, damaged or foreign, or has another scale.
        SelectionError: An item is neither a path nor a selection.
        StoreError: A selected clip is not in the store, or its files were changed.
        DecodeError: A picture or clip cannot be read, or is too small for the protocol.
        ValueError: There are no items, bicubic comes without a scale, the scale is not 2, 3, 4 or 8, or ``frame_step`` is below 1.
    """
    if not items:
        raise ValueError("there is nothing to evaluate: name pictures, folders, clips or selections")
    if frame_step < 1:
        raise ValueError(f"frame_step is {frame_step}, must be at least 1")
    started = time.perf_counter()
    progress = progress or Silent()
    name, model = _method(method, device)
    scale = _scale(scale, model)
    require_extras(extras, protocol)
    notes = _notes(model, protocol)
    found = [replace(each, group=str(item)) for item in items for each in _resolve(item, store)]
    frames = [_frames_of(each, protocol, scale)[::frame_step] for each in found]

    scores: list[list[Score]] = []
    added: list[dict[str, float]] = []
    with progress.bar(f"evaluate {name}", total=sum(map(len, frames)), unit="frames") as bar:
        for item, counted in zip(found, frames, strict=True):
            bar.note(item.name)
            scores.append([])
            pictures: list[tuple[EvaluationPair, Floats]] = []
            with open_clip(item.path, item.info, clip=item.clip) as clip:
                for pair, neighbours in _pairs(clip, counted, item, protocol, scale, degradation, model):
                    sr = _upscaled(pair, neighbours, model)
                    scores[-1].append(pair.score(sr))
                    if extras:
                        pictures.append((pair, sr))
                    bar.advance(1)
            added.append({})
            if "vmaf" in extras:
                added[-1]["vmaf"] = vmaf_of(pictures)
            if "lpips" in extras:
                added[-1]["lpips"] = lpips_of(pictures)

    return EvaluationReport(
        method=name,
        scale=scale,
        protocol=protocol,
        degradation=degradation,
        frame_step=frame_step,
        items=tuple(
            ItemScore(
                item.name,
                item.info.width,
                item.info.height,
                len(each),
                mean_score([each], protocol),
                item.group,
                more,
            )
            for item, each, more in zip(found, scores, added, strict=True)
        ),
        mean=mean_score(scores, protocol),
        seconds=time.perf_counter() - started,
        notes=notes,
    )


def _pairs(
    clip: ClipReader,
    counted: range,
    item: _Item,
    protocol: Protocol,
    scale: int,
    degradation: Degradation | None,
    model: Espcn | None,
) -> Iterator[tuple[EvaluationPair, list[Floats]]]:
    """Yield what is scored of each frame that counts, and the LR of the frames around it."""
    half, last = (model.config.frames // 2 if model else 0), item.info.num_frames - 1
    wanted = {
        index: [min(max(index + step, 0), last) for step in range(-half, half + 1)] for index in counted
    }
    waiting = list(counted)
    pairs: dict[int, EvaluationPair] = {}
    for frame in clip.frames(sorted({each for around in wanted.values() for each in around})):
        pairs[frame.index] = evaluation_pair(
            _picture(frame, item.info, protocol, model),
            scale,
            protocol,
            degradation=degradation,
            bit_depth=item.info.bit_depth,
        )
        while waiting and wanted[waiting[0]][-1] <= frame.index:
            around = wanted[waiting.pop(0)]
            yield pairs[around[half]], [pairs[each].lr for each in around]
            for old in [each for each in pairs if not waiting or each < wanted[waiting[0]][0]]:
                del pairs[old]


def _upscaled(pair: EvaluationPair, neighbours: Sequence[Floats], model: Espcn | None) -> Floats:
    """Return what the method makes of LR: as many planes, of HR size."""
    if model is None:
        return pair.upscale_bicubic()
    lr = np.stack(neighbours) if model.config.frames > 1 else pair.lr
    if model.config.colors == 3 and pair.lr.shape[0] == 1:  # grey
        gray = upscale_rgb(model, np.repeat(lr, 3, axis=-3), bit_depth=pair.bit_depth)
        return np.asarray(gray.mean(axis=0, keepdims=True), np.float64)
    if pair.lr.shape[0] == 1:
        return upscale_luma(model, lr, bit_depth=pair.bit_depth)
    bicubic = pair.upscale_bicubic() if model.config.colors == 1 else None
    return upscale_rgb(model, lr, bit_depth=pair.bit_depth, bicubic=bicubic)


def _notes(model: Espcn | None, protocol: Protocol) -> tuple[str, ...]:
    """Say how a network meets a protocol.

    Raises:
        ModelError: The network takes R'G'B', of which the protocol makes no LR.
    """
    if model is None:
        return ()
    notes = []
    if model.config.colors == 3:
        if protocol.lr_path == "y64":
            raise ModelError(
                f"the network takes R'G'B', and {protocol.name} makes LR of luma alone: take --protocol y-8bit, vid4 or rgb."
            )
        notes.append("The network makes R'G'B'; Y'CbCr video is turned into it first")
    elif protocol.channel == "rgb":
        notes.append("The network makes luma; chroma (Cb, Cr) is bicubic")
    if model.config.frames > 1:
        notes.append(
            f"The network sees {model.config.frames} frames; the frame at an end of the clip is repeated"
        )
    return tuple(notes)


def _method(method: str | Path | Espcn, device: Literal["auto", "cpu", "cuda"]) -> tuple[str, Espcn | None]:
    if method == BICUBIC:
        return BICUBIC, None
    if isinstance(method, Espcn):
        return f"ESPCN ({method.num_parameters} parameters)", method
    shown, model, header = open_model(method)
    if device == "cuda" or (device == "auto" and torch.cuda.is_available()):
        model = model.cuda()
    preset = header.train.preset if header.train else "custom"
    return f"{shown} (ESPCN {preset}, {model.num_parameters} parameters, step {header.step})", model


def _scale(scale: int | None, model: Espcn | None) -> int:
    if scale is not None and scale not in SCALES:
        raise ValueError(f"scale is {scale}, must be 2, 3, 4 or 8")
    if model is None:
        if scale is None:
            raise ValueError("bicubic needs a scale: 2, 3, 4 or 8")
        return scale
    if scale is not None and scale != model.config.scale:
        raise ModelError(
            f"the model is for x{model.config.scale}, asked is x{scale}. Train one for x{scale}, or leave out the scale."
        )
    return model.config.scale


def _resolve(item: str | Path, store: Store | None) -> Iterator[_Item]:
    """Yield the pictures and clips that a path or a selection names."""
    path = Path(item)
    if path.is_dir():
        yield from _items_of_folder(path)
    elif path.exists():
        yield _Item(path.stem, path, probe(path))
    elif isinstance(item, Path):
        raise DecodeError(
            f"{item} is not there. Name a picture, a folder, a video, or a selection such as set5."
        )
    else:
        yield from _items_of_store(item, store or Store())


def _items_of_folder(folder: Path) -> Iterator[_Item]:
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    pictures = [path for path in files if path.suffix.lower() in _PICTURE_SUFFIXES]
    videos = [path for path in files if path.suffix.lower() in _VIDEO_SUFFIXES]
    if not pictures and not videos:
        inside = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
        named = f": {', '.join(str(path) for path in inside[:3])}" if inside else ""
        raise DecodeError(
            f"{folder}: no pictures and no videos in this folder. Name the folder that holds them{named}."
        )
    infos = [probe(path) for path in pictures]
    if len(pictures) > 1 and all(info == infos[0] for info in infos):
        yield _Item(_folder_name(folder), folder, probe(folder))
    else:
        yield from (_Item(path.stem, path, info) for path, info in zip(pictures, infos, strict=True))
    yield from (_Item(path.stem, path, probe(path)) for path in videos)


def _folder_name(folder: Path) -> str:
    """Return the last two names of a folder's path: clips often lie in folders that are all called GT."""
    return "/".join(folder.resolve().parts[-2:])


def _items_of_store(pattern: str, store: Store) -> Iterator[_Item]:
    try:
        selected = catalog.select([pattern], imported=catalog.imported_clips(store.records()))
    except SelectionError as error:
        raise SelectionError(f"{error} (And {pattern} is no file or folder.)") from error
    missing = [each.id for each in selected if store.find(each.source.id, each.clip.id) is None]
    if len(missing) > 1:
        named = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise StoreError(
            f"{len(missing)} of the {len(selected)} clips of {pattern} are not in the store {store.root}: {named}. "
            f"Bring them in with: sr-data fetch {pattern}"
        )
    for each in selected:
        record = store.get(each.source.id, each.clip.id)
        store.check(record)
        yield _Item(each.id, store.path_of(record), record.info, each.clip)


def _frames_of(item: _Item, protocol: Protocol, scale: int) -> range:
    """Return the frames of an item that count.

    Raises:
        DecodeError: The protocol leaves nothing of the item to score.
    """
    try:
        sides = protocol.cropped(item.info.height, item.info.width, scale)
        least = _SSIM_SIDES[protocol.ssim_window]
        if min(sides) - 2 * protocol.border_at(scale) < least:
            raise ValueError(f"SSIM needs {least}x{least} pixels inside the border")
        return protocol.frames_of(item.info.num_frames)
    except ValueError as error:
        raise DecodeError(
            f"{item.name} ({item.info.width}x{item.info.height}, frames: {item.info.num_frames}) is too small for "
            f"{protocol.name} at x{scale}: {error}. Leave it out."
        ) from error


def _picture(frame: Frame, info: VideoInfo, protocol: Protocol, model: Espcn | None) -> Pixels:
    """Return a frame as the planes that a protocol begins with: luma of gray and of Y'CbCr, or R'G'B'."""
    of_rgb = model is not None and model.config.colors == 3 and info.model == "yuv"
    wanted: Literal["y", "rgb"] = "rgb" if protocol.channel == "rgb" or info.model == "rgb" or of_rgb else "y"
    height, width = frame.planes[0].shape
    picture = window(frame.planes, info.layout, color=wanted, top=0, left=0, height=height, width=width)
    return np.ascontiguousarray(picture)


def _score_json(score: Score) -> dict[str, float | None]:
    return {"psnr": None if math.isinf(score.psnr) else score.psnr, "ssim": score.ssim}


def _score_text(score: Score) -> str:
    return f"{score.psnr:7.2f} {score.ssim:7.4f}"
