"""Scores of a network, or of bicubic, on pictures and clips, under a protocol that stands beside every number."""

import math
import textwrap
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, get_args

import numpy as np
import torch

from sr_datasets import catalog
from sr_datasets.color import Floats, Pixels, window
from sr_datasets.degrade import EvaluationPair, evaluation_pair
from sr_datasets.errors import DecodeError, ModelError, SelectionError
from sr_datasets.espcn.checkpoint import load_model
from sr_datasets.espcn.model import Espcn
from sr_datasets.espcn.upscale import upscale_luma, upscale_rgb
from sr_datasets.manifest import Clip, VideoInfo
from sr_datasets.metrics import Protocol, Score, mean_score
from sr_datasets.progress import Progress, Silent
from sr_datasets.recipe import Degradation, Scale
from sr_datasets.store import Store
from sr_datasets.video import Frame, open_clip, probe

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
                }
                for item in self.items
            ],
            "mean": _score_json(self.mean),
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
        if self.protocol.channel == "rgb" and self.method != BICUBIC:
            head.append("The network makes luma; chroma (Cb, Cr) is bicubic")
        if self.frame_step > 1:
            head.append(f"one frame in {self.frame_step}")
        width = max(12, *(len(item.name) for item in self.items))
        rows = [
            f"{item.name:<{width}}  {f'{item.width}x{item.height}':>11} {item.num_frames:>7} {_score_text(item.score)}"
            for item in self.items
        ]
        return "\n".join(
            [
                *(line for text in head for line in textwrap.wrap(text, 80, subsequent_indent="  ")),
                "",
                f"{'item':<{width}}  {'size':>11} {'frames':>7} {'PSNR':>7} {'SSIM':>7}",
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
    progress: Progress | None = None,
) -> EvaluationReport:
    """Score a method on pictures and clips.

    LR is made of each frame as the protocol says. A luma network gets the luma of LR; on the paths of 8-bit RGB
    its colour differences are bicubic's, and the R'G'B' picture that comes out is rounded and scored. Luma of
    Y'CbCr video is the decoder's own plane under protocols on luma, and R'G'B' by our arithmetic under those on RGB.

    Args:
        method: ``"bicubic"``, a model (a file, or the folder of a run), or a network.
        items: Paths, or selections of clips of the store. A folder whose pictures are all alike is one clip; of any
            other folder each picture and video is an item. What exists as a path is taken as such.
        protocol: The convention.
        scale: HR-to-LR ratio; needed for bicubic, a model knows its own.
        degradation: How LR is made; None for bicubic as the protocol rounds it.
        store: Where selections are looked up; the default store when left out.
        frame_step: Score every n-th of the frames that the protocol counts.
        device: Where the network runs.
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
    found = [each for item in items for each in _resolve(item, store)]
    frames = [_frames_of(each, protocol, scale)[::frame_step] for each in found]

    scores: list[list[Score]] = []
    with progress.bar(f"evaluate {name}", total=sum(map(len, frames)), unit="frames") as bar:
        for item, counted in zip(found, frames, strict=True):
            bar.note(item.name)
            scores.append([])
            with open_clip(item.path, item.info, clip=item.clip) as clip:
                for frame in clip.frames(counted):
                    pair = evaluation_pair(
                        _picture(frame, item.info, protocol),
                        scale,
                        protocol,
                        degradation=degradation,
                        bit_depth=item.info.bit_depth,
                    )
                    scores[-1].append(pair.score(_upscaled(pair, model)))
                    bar.advance(1)

    return EvaluationReport(
        method=name,
        scale=scale,
        protocol=protocol,
        degradation=degradation,
        frame_step=frame_step,
        items=tuple(
            ItemScore(item.name, item.info.width, item.info.height, len(each), mean_score([each], protocol))
            for item, each in zip(found, scores, strict=True)
        ),
        mean=mean_score(scores, protocol),
        seconds=time.perf_counter() - started,
    )


def _upscaled(pair: EvaluationPair, model: Espcn | None) -> Floats:
    """Return what the method makes of LR: as many planes, of HR size."""
    if model is None:
        return pair.upscale_bicubic()
    if pair.lr.shape[0] == 1:
        return upscale_luma(model, pair.lr, bit_depth=pair.bit_depth)
    return upscale_rgb(model, pair.lr, bit_depth=pair.bit_depth, bicubic=pair.upscale_bicubic())


def _method(method: str | Path | Espcn, device: Literal["auto", "cpu", "cuda"]) -> tuple[str, Espcn | None]:
    if method == BICUBIC:
        return BICUBIC, None
    if isinstance(method, Espcn):
        return f"ESPCN ({method.num_parameters} parameters)", method
    path = Path(method)
    model, header = load_model(path)
    if device == "cuda" or (device == "auto" and torch.cuda.is_available()):
        model = model.cuda()
    preset = header.train.preset if header.train else "custom"
    return f"{path.name} (ESPCN {preset}, {model.num_parameters} parameters, step {header.step})", model


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
        raise DecodeError(
            f"{folder}: no pictures and no videos in this folder. Name the folder that holds them."
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


def _picture(frame: Frame, info: VideoInfo, protocol: Protocol) -> Pixels:
    """Return a frame as the planes that a protocol begins with: luma of gray and of Y'CbCr, or R'G'B'."""
    wanted: Literal["y", "rgb"] = "rgb" if protocol.channel == "rgb" or info.model == "rgb" else "y"
    height, width = frame.planes[0].shape
    picture = window(frame.planes, info.layout, color=wanted, top=0, left=0, height=height, width=width)
    return np.ascontiguousarray(picture)


def _score_json(score: Score) -> dict[str, float | None]:
    return {"psnr": None if math.isinf(score.psnr) else score.psnr, "ssim": score.ssim}


def _score_text(score: Score) -> str:
    return f"{score.psnr:7.2f} {score.ssim:7.4f}"
