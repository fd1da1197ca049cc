"""Stacks of layers as words.

A stack is written as words, from input to output::

    conv5:64 tanh conv3:32 tanh conv3:9 shuffle3
    conv5:56 prelu conv1:12 prelu conv3:12 prelu conv1:56 prelu tconv9:1:s3

``conv5:64`` is a convolution of 5x5 to 64 maps, ``tconv`` a transposed one. Behind further colons stand stride ``s2``,
padding ``p1``, dilation ``d2``, groups ``g4``, ``nobias`` and, of a transposed convolution, output padding ``a1`` and
``cellbias`` (a bias for each place in a cell of stride x stride). Padding that is left out keeps the size: a convolution
of stride ``s`` makes ``ceil(size / s)``, a transposed one ``size * s``. ``maxpool2`` and ``avgpool2`` have their kernel as
stride and no padding unless said. ``shuffle3`` and ``unshuffle2`` move samples between maps and space, ``nearest2``,
``bilinear2`` and ``bicubic2`` (half-pixel centres, Keys' a = -0.75, as torch) enlarge. ``tanh``, ``relu``, ``gelu``,
``sigmoid``, ``leakyrelu`` and ``prelu`` change no size.
"""

import re
from collections.abc import Sequence
from typing import Final

from sr_datasets.arithmetic.layers import (
    Convolution,
    Layer,
    Pointwise,
    Resize,
    Shuffle,
    TransposedConvolution,
    Unshuffle,
    Window,
)
from sr_datasets.arithmetic.stack import Stack


def espcn_stack(
    scale: int,
    *,
    body: str = "published",
    colors: int = 1,
    frames: int = 1,
    upsampling: str = "subpixel",
    activation: str = "tanh",
) -> Stack:
    """Return ESPCN's layers (``espcn.model``), by the names of its options.

    The residual path is none of them: what it sees, a pixel or four, the layers see too.

    Raises:
        ValueError: There is no such upsampling.
    """
    last = {
        "subpixel": f"conv3:{colors * scale**2} shuffle{scale}",
        "transposed": f"tconv{3 * scale}:{colors}:s{scale}:p{scale}:cellbias",
        "resize-nearest": f"nearest{scale} conv3:{colors}",
        "resize-bilinear": f"bilinear{scale} conv3:{colors}",
    }
    if upsampling not in last:
        raise ValueError(f"there is no upsampling '{upsampling}'; known are {', '.join(last)}")
    layers = {"published": ["conv5:64", "conv3:32"], "deep": ["conv3:16"] * 9}[body]
    return parse_stack(
        " ".join([*(f"{layer} {activation}" for layer in layers), last[upsampling]]), channels=frames * colors
    )


POINTWISE: Final = ("tanh", "relu", "gelu", "sigmoid", "leakyrelu", "prelu")
_NAMES: Final = (
    "conv", "tconv", "maxpool", "avgpool", "shuffle", "unshuffle", "nearest", "bilinear", "bicubic",
)  # fmt: skip
_OPTIONS: Final = {
    "conv": {"s", "p", "d", "g", "nobias"},
    "tconv": {"s", "p", "d", "g", "a", "nobias", "cellbias"},
    "maxpool": {"s", "p", "d"},
    "avgpool": {"s", "p"},
}


def parse_stack(text: str, *, channels: int = 1) -> Stack:
    """Return the stack that words describe (see the module).

    Args:
        text: Layers, separated by spaces.
        channels: Maps of the input.

    Raises:
        ValueError: A word is no layer, or a layer cannot take what the one before makes.
    """
    words = text.split()
    if not words:
        raise ValueError("a stack has at least one layer, such as conv3:64")
    if channels < 1:
        raise ValueError(f"channels is {channels}, must be at least 1")
    return Stack(tuple(map(_parse_layer, words)), channels)


def _parse_layer(word: str) -> Layer:
    if word in POINTWISE:
        return Pointwise(word)
    name_and_number, *fields = word.split(":")
    match = re.fullmatch(r"([a-z]+)([1-9]\d{0,3})", name_and_number)
    if match is None or match[1] not in _NAMES:
        known = ", ".join([*(f"{name}K" for name in _NAMES), *POINTWISE])
        raise ValueError(f"'{word}' is no layer. Known are {known}, with a whole number for K")
    name, number = match[1], int(match[2])
    maps = 0
    if name in ("conv", "tconv"):
        if not fields or not re.fullmatch(r"[1-9]\d{0,5}", fields[0]):
            raise ValueError(
                f"{word}: behind the kernel stands the number of maps, such as {name}{number}:64"
            )
        maps = int(fields.pop(0))
    options = _parse_options(word, name, fields)
    match name:
        case "conv":
            return _convolution(word, number, maps, options)
        case "tconv":
            return _transposed(word, number, maps, options)
        case "maxpool" | "avgpool":
            padding = options.get("p", 0)
            if padding > number // 2:
                raise ValueError(f"{word}: padding {padding} is more than half of the kernel")
            return Window(word, number, options.get("s", number), padding, options.get("d", 1))
        case "shuffle":
            return Shuffle(word, number)
        case "unshuffle":
            return Unshuffle(word, number)
        case "nearest":
            return Resize(word, number, "nearest")
        case "bilinear":
            return Resize(word, number, "bilinear")
        case _:
            return Resize(word, number, "bicubic")


def _parse_options(word: str, name: str, fields: Sequence[str]) -> dict[str, int]:
    known = _OPTIONS.get(name, set())
    options: dict[str, int] = {}
    for each in fields:
        match = re.fullmatch(r"([spdga])(\d{1,4})|(nobias|cellbias)", each)
        key = "" if match is None else match[1] or match[3]
        if match is None or key not in known:
            raise ValueError(
                f"{word}: '{each}' is no option of {name}. "
                + (f"Known are {', '.join(sorted(known))}" if known else f"{name} has none")
            )
        if key in options:
            raise ValueError(f"{word}: {key} is said twice")
        options[key] = int(match[2]) if match[2] else 1
        if key in "sdg" and options[key] < 1:
            raise ValueError(f"{word}: {each} must be at least 1")
    return options


def _convolution(word: str, kernel: int, maps: int, options: dict[str, int]) -> Convolution:
    dilation = options.get("d", 1)
    reach = dilation * (kernel - 1)
    if "p" not in options and reach % 2:
        raise ValueError(f"{word}: no padding keeps the size with an even kernel. Say one, such as {word}:p0")
    return Convolution(
        text=word,
        kernel=kernel,
        stride=options.get("s", 1),
        padding=options.get("p", reach // 2),
        dilation=dilation,
        maps=maps,
        groups=options.get("g", 1),
        bias="nobias" not in options,
    )


def _transposed(word: str, kernel: int, maps: int, options: dict[str, int]) -> TransposedConvolution:
    stride, dilation = options.get("s", 1), options.get("d", 1)
    # What the kernel adds beyond stride * size is cropped, evenly where that is possible.
    beyond = dilation * (kernel - 1) + 1 - stride
    padding = options.get("p", max(0, -(-beyond // 2)))
    more = options.get("a", 0 if "p" in options else 2 * padding - beyond)
    if more >= max(stride, dilation) and "a" not in options:
        raise ValueError(f"{word}: no padding makes {stride} times the size. Say one, such as {word}:p0")
    if more >= max(stride, dilation):
        raise ValueError(f"{word}: output padding {more} must be less than stride or dilation")
    if {"nobias", "cellbias"} <= set(options):
        raise ValueError(f"{word}: nobias and cellbias exclude each other")
    return TransposedConvolution(
        text=word,
        kernel=kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
        output_padding=more,
        maps=maps,
        groups=options.get("g", 1),
        biases="none" if "nobias" in options else "cell" if "cellbias" in options else "map",
    )
