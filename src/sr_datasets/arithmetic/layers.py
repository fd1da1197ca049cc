"""Layers: which samples of its input a sample of a layer's output is made of, and what that costs."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, TypeAlias

Taps: TypeAlias = list[tuple[int, Fraction]]
"""Indices of the samples that one output sample is made of, and how often, or how much, each counts."""

_ONE = Fraction(1)


@dataclass(frozen=True, slots=True)
class Layer(ABC):
    """One layer. Sizes and indices are along one axis."""

    text: str
    """How it is written."""

    @abstractmethod
    def taps(self, output: int) -> Taps:
        """Return what an output sample is made of, as if the input had no borders; zero weights are left out."""

    @abstractmethod
    def out_size(self, size: int) -> int:
        """Return the samples that come out; none or fewer where the input is too small."""

    @property
    def step(self) -> Fraction:
        """Input samples that lie between two outputs: 2 of a stride of 2, 1/3 of an enlargement by 3."""
        return _ONE

    @property
    def first(self) -> Fraction:
        """Where the centre of the first output lies, in input samples from the centre of the first input."""
        return Fraction(0)

    @property
    def clamps(self) -> bool:
        """Whether the input's border repeats outside; else what is outside is nothing."""
        return False

    def out_maps(self, maps: int) -> int:
        """Return the maps that come out.

        Raises:
            ValueError: The layer cannot take as many maps.
        """
        return maps

    def parameters(self, maps: int) -> int:
        """Return weights and biases of the layer on so many maps."""
        return 0

    def multiply_adds(self, maps: int, pixels_in: int, pixels_out: int) -> int:
        """Return the products of weights and samples."""
        return 0


@dataclass(frozen=True, slots=True)
class Pointwise(Layer):
    """An activation."""

    def taps(self, output: int) -> Taps:
        """Return the sample at the same place."""
        return [(output, _ONE)]

    def out_size(self, size: int) -> int:
        """Return the size."""
        return size

    def parameters(self, maps: int) -> int:
        """Return a slope for each map, of ``prelu``."""
        return maps if self.text == "prelu" else 0


@dataclass(frozen=True, slots=True)
class Window(Layer):
    """A convolution or a pooling: a window that moves by ``stride``."""

    kernel: int
    stride: int
    padding: int
    dilation: int

    def taps(self, output: int) -> Taps:
        """Return the window's samples."""
        first = self.stride * output - self.padding
        return [(first + self.dilation * tap, _ONE) for tap in range(self.kernel)]

    def out_size(self, size: int) -> int:
        """Return rule R15 of the guide; R1 to R7 are its cases."""
        return (size + 2 * self.padding - self.dilation * (self.kernel - 1) - 1) // self.stride + 1

    @property
    def step(self) -> Fraction:
        """The stride."""
        return Fraction(self.stride)

    @property
    def first(self) -> Fraction:
        """The middle of the first window."""
        return Fraction(self.dilation * (self.kernel - 1), 2) - self.padding


@dataclass(frozen=True, slots=True)
class Convolution(Window):
    """A convolution, as networks say it: the kernel is not flipped."""

    maps: int
    groups: int
    bias: bool

    def out_maps(self, maps: int) -> int:
        """Return the layer's maps."""
        return _grouped(self.text, maps, self.maps, self.groups)

    def parameters(self, maps: int) -> int:
        """Return weights and biases."""
        return self.kernel**2 * maps // self.groups * self.maps + self.bias * self.maps

    def multiply_adds(self, maps: int, pixels_in: int, pixels_out: int) -> int:
        """Return one product for each weight and output pixel, those on padding included."""
        return self.kernel**2 * maps // self.groups * self.maps * pixels_out


@dataclass(frozen=True, slots=True)
class TransposedConvolution(Layer):
    """The transpose of a convolution: each input sample strikes a kernel onto the output, ``stride`` apart."""

    kernel: int
    stride: int
    padding: int
    dilation: int
    output_padding: int
    maps: int
    groups: int
    biases: Literal["none", "map", "cell"]

    def taps(self, output: int) -> Taps:
        """Return the samples whose kernels reach the output: none, where the stride leaves gaps."""
        places = (output + self.padding - self.dilation * tap for tap in range(self.kernel))
        return [(place // self.stride, _ONE) for place in places if place % self.stride == 0]

    def out_size(self, size: int) -> int:
        """Return torch's rule, which with a dilation of 1 is R14 of the guide."""
        struck = self.stride * (size - 1) + self.dilation * (self.kernel - 1) + 1
        return struck - 2 * self.padding + self.output_padding

    @property
    def step(self) -> Fraction:
        """1 / stride."""
        return Fraction(1, self.stride)

    @property
    def first(self) -> Fraction:
        """The input whose kernel would have its middle on the first output."""
        return (self.padding - Fraction(self.dilation * (self.kernel - 1), 2)) / self.stride

    def out_maps(self, maps: int) -> int:
        """Return the layer's maps."""
        return _grouped(self.text, maps, self.maps, self.groups)

    def parameters(self, maps: int) -> int:
        """Return weights and biases."""
        biases = {"none": 0, "map": 1, "cell": self.stride**2}[self.biases]
        return self.kernel**2 * maps * self.maps // self.groups + biases * self.maps

    def multiply_adds(self, maps: int, pixels_in: int, pixels_out: int) -> int:
        """Return one product for each weight and input pixel, those that fall outside the output included."""
        return self.kernel**2 * maps * self.maps // self.groups * pixels_in


@dataclass(frozen=True, slots=True)
class Enlargement(Layer):
    """A layer that makes ``factor`` outputs of each input along an axis, where the input was."""

    factor: int

    def out_size(self, size: int) -> int:
        """Return the enlarged size."""
        return size * self.factor

    @property
    def step(self) -> Fraction:
        """1 / factor."""
        return Fraction(1, self.factor)

    @property
    def first(self) -> Fraction:
        """The first output's centre, half a small pixel from the common edge."""
        return Fraction(1 - self.factor, 2 * self.factor)


@dataclass(frozen=True, slots=True)
class Shuffle(Enlargement):
    """The periodic shuffle: ``factor ** 2`` maps become the pixels of one cell."""

    def taps(self, output: int) -> Taps:
        """Return the cell's place."""
        return [(output // self.factor, _ONE)]

    def out_maps(self, maps: int) -> int:
        """Return the maps that are left."""
        if maps % self.factor**2:
            raise ValueError(f"{self.text}: {maps} maps do not divide by {self.factor**2}")
        return maps // self.factor**2


@dataclass(frozen=True, slots=True)
class Unshuffle(Layer):
    """The inverse of the shuffle: the pixels of a cell become maps."""

    factor: int

    def taps(self, output: int) -> Taps:
        """Return the cell's samples, which lie in different maps."""
        return [(self.factor * output + place, _ONE) for place in range(self.factor)]

    def out_size(self, size: int) -> int:
        """Return the number of cells; none when the size does not divide."""
        return size // self.factor if size % self.factor == 0 else 0

    @property
    def step(self) -> Fraction:
        """The factor."""
        return Fraction(self.factor)

    @property
    def first(self) -> Fraction:
        """The centre of the first cell."""
        return Fraction(self.factor - 1, 2)

    def out_maps(self, maps: int) -> int:
        """Return ``factor ** 2`` times as many maps."""
        return maps * self.factor**2


@dataclass(frozen=True, slots=True)
class Resize(Enlargement):
    """An enlargement by a whole factor, half-pixel centres, borders repeated."""

    method: Literal["nearest", "bilinear", "bicubic"]

    def taps(self, output: int) -> Taps:
        """Return the samples around the output's centre, with their weights."""
        if self.method == "nearest":
            return [(output // self.factor, _ONE)]
        centre = Fraction(2 * output + 1, 2 * self.factor) - Fraction(1, 2)
        floor = math.floor(centre)
        around = range(floor, floor + 2) if self.method == "bilinear" else range(floor - 1, floor + 3)
        kernel = _triangle if self.method == "bilinear" else _keys
        weighted = [(place, kernel(abs(centre - place))) for place in around]
        return [(place, weight) for place, weight in weighted if weight]

    @property
    def clamps(self) -> bool:
        """Borders repeat."""
        return True


def _grouped(text: str, maps_in: int, maps_out: int, groups: int) -> int:
    if maps_in % groups or maps_out % groups:
        raise ValueError(
            f"{text}: {maps_in} maps in and {maps_out} out do not both divide by {groups} groups"
        )
    return maps_out


def _triangle(distance: Fraction) -> Fraction:
    return max(Fraction(0), 1 - distance)


def _keys(distance: Fraction) -> Fraction:
    a = Fraction(-3, 4)  # torch's; MATLAB has -1/2
    if distance <= 1:
        return (a + 2) * distance**3 - (a + 3) * distance**2 + 1
    if distance < 2:
        return a * (distance**3 - 5 * distance**2 + 8 * distance - 4)
    return Fraction(0)
