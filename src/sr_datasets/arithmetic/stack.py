"""Layers one after another: what comes out, what an output sees, how evenly kernels overlap."""

import math
from dataclasses import dataclass, field
from fractions import Fraction

from sr_datasets.arithmetic.layers import Layer, TransposedConvolution, Unshuffle, Window

_ONE = Fraction(1)
_MOST_PHASES = 4096


@dataclass(frozen=True, slots=True)
class Overlap:
    """How many kernels reach each place, along one axis."""

    counts: tuple[Fraction, ...]
    """Of each place in one period."""

    @property
    def is_even(self) -> bool:
        """Whether every place is reached alike. Even layers can learn a checkerboard, uneven ones begin with one."""
        return len(set(self.counts)) == 1

    @property
    def unevenness(self) -> Fraction | None:
        """Most to least along one axis; None where a place is reached by nothing."""
        return max(self.counts) / min(self.counts) if min(self.counts) > 0 else None

    @property
    def unevenness_2d(self) -> Fraction | None:
        """Most to least in the plane: the axes multiply."""
        return None if self.unevenness is None else self.unevenness**2

    def __str__(self) -> str:
        counts = " ".join(map(str, self.counts))
        if self.is_even:
            return f"{counts}: even"
        if self.unevenness is None or self.unevenness_2d is None:
            return f"{counts}: some places get nothing"
        return f"{counts}: {self.unevenness}:1, in the plane {self.unevenness_2d}:1"


def overlap(kernel: int, stride: int, *, padding: int = 0, dilation: int = 1) -> Overlap:
    """Return how often the kernels of a transposed convolution reach each place of a period, away from borders.

    They do alike exactly when the kernel divides by the stride (dilation 1).

    Example:
        >>> str(overlap(3, 2))
        '2 1: 2:1, in the plane 4:1'
    """
    reached = [
        sum((place + padding - dilation * tap) % stride == 0 for tap in range(kernel))
        for place in range(stride)
    ]
    return Overlap(tuple(map(Fraction, reached)))


@dataclass(frozen=True, slots=True)
class Field:
    """What one output of a stack sees of the input, along one axis."""

    smallest: int
    """Input samples from the first to the last that an output depends on; outputs of one cell may differ."""
    largest: int
    """Of the output that sees most: the receptive field."""
    jump: Fraction
    """Input samples between two outputs."""
    start: Fraction
    """Centre of the first output's field, in input samples from the picture's edge (a sample is 1 wide)."""

    @property
    def shift(self) -> Fraction:
        """How far the output picture lies beside the input, in input samples: 0 when their edges coincide."""
        return self.start - self.jump / 2

    @property
    def size_text(self) -> str:
        """The size, or the sizes of one cell's outputs."""
        return str(self.largest) if self.smallest == self.largest else f"{self.smallest}-{self.largest}"


@dataclass(frozen=True, slots=True)
class Stage:
    """One layer of a stack at work on an input."""

    layer: str
    """How it is written."""
    maps: int
    """Maps out."""
    height: int
    width: int
    parameters: int
    multiply_adds: int
    field: Field
    overlap: Overlap | None
    """Of a transposed convolution: of its kernels on its output. Of a stride: of the gradient on its input."""


@dataclass(frozen=True, slots=True)
class Stack:
    """Layers, one after another."""

    layers: tuple[Layer, ...]
    channels: int = 1
    """Maps of the input."""
    _maps: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        maps = [self.channels]
        for layer in self.layers:
            maps.append(layer.out_maps(maps[-1]))
        object.__setattr__(self, "_maps", tuple(maps))
        if self.num_phases > _MOST_PHASES:
            raise ValueError(
                f"the stack enlarges {self.num_phases} times on its way, this arithmetic goes to {_MOST_PHASES}"
            )

    def __str__(self) -> str:
        return " ".join(layer.text for layer in self.layers)

    @property
    def out_maps(self) -> int:
        """Maps that come out."""
        return self._maps[-1]

    @property
    def magnification(self) -> Fraction:
        """Outputs per input sample and axis, but for what padding adds."""
        return 1 / math.prod((layer.step for layer in self.layers), start=_ONE)

    @property
    def num_parameters(self) -> int:
        """Weights and biases."""
        return sum(layer.parameters(maps) for layer, maps in zip(self.layers, self._maps, strict=False))

    @property
    def num_phases(self) -> int:
        """Outputs after which the pattern of what they see repeats, or a multiple of that."""
        return math.prod(layer.step.denominator for layer in self.layers)

    def sizes(self, size: int) -> list[int]:
        """Return the size after each layer, the input's first.

        Raises:
            ValueError: Nothing comes out of a layer.
        """
        sizes = [size]
        for layer in self.layers:
            sizes.append(layer.out_size(sizes[-1]))
            if sizes[-1] < 1:
                what = "does not divide" if isinstance(layer, Unshuffle) else "is too small"
                raise ValueError(f"{layer.text}: a size of {sizes[-2]} {what}")
        return sizes

    def sources(self, output: int, size: int | None = None) -> frozenset[int]:
        """Return the input samples that an output depends on, along one axis.

        Args:
            output: Index of the output sample.
            size: Of the input, where borders count: padding is nothing, an enlargement repeats the border. None for
                a picture without borders.

        Raises:
            ValueError: There is no such output, or nothing comes out of a layer.
        """
        sizes = None if size is None else self.sizes(size)
        if sizes is not None and not 0 <= output < sizes[-1]:
            raise ValueError(f"there is no output {output}: {sizes[-1]} come out, counted from 0")
        places = {output}
        for number in reversed(range(len(self.layers))):
            layer = self.layers[number]
            found: dict[int, set[int]] = {place: set() for place in places}
            for place in places:
                weights: dict[int, Fraction] = {}
                for source, weight in layer.taps(place):
                    if sizes is not None and layer.clamps:
                        source = min(max(source, 0), sizes[number] - 1)
                    if sizes is None or 0 <= source < sizes[number]:
                        weights[source] = weights.get(source, Fraction(0)) + weight
                found[place] = {source for source, weight in weights.items() if weight}
            places = set().union(*found.values())
        return frozenset(places)

    def region(self, output: int, size: int) -> tuple[int, int] | None:
        """Return the first and the last input sample that an output depends on; None when there is none.

        Raises:
            ValueError: As ``sources``.
        """
        seen = self.sources(output, size)
        return (min(seen), max(seen)) if seen else None

    def field(self) -> Field:
        """Return the receptive field, away from borders."""
        spans = []
        for phase in range(self.num_phases):
            seen = self.sources(phase)
            spans.append(max(seen) - min(seen) + 1 if seen else 0)
        jump, start = _ONE, Fraction(1, 2)
        for layer in self.layers:
            start += layer.first * jump
            jump *= layer.step
        return Field(smallest=min(spans), largest=max(spans), jump=jump, start=start)

    def path_counts(self) -> Overlap:
        """Return on how many paths each output of one period is reached, away from borders.

        That is the output of the stack with all weights 1 on a picture of ones: where it is uneven, an untrained stack
        shows a checkerboard. Layers behind an uneven one may dampen it or make it worse.
        """
        counts = [_ONE]
        for layer in self.layers:
            before = counts
            counts = [
                sum(
                    (before[source % len(before)] * weight for source, weight in layer.taps(place)),
                    Fraction(0),
                )
                for place in range(len(before) * layer.step.denominator)
            ]
        return Overlap(tuple(counts))

    def stages(self, height: int, width: int) -> list[Stage]:
        """Return what each layer makes of an input.

        Raises:
            ValueError: Nothing comes out of a layer.
        """
        heights, widths = self.sizes(height), self.sizes(width)
        stages = []
        for number, layer in enumerate(self.layers):
            before, after = heights[number] * widths[number], heights[number + 1] * widths[number + 1]
            stages.append(
                Stage(
                    layer=layer.text,
                    maps=self._maps[number + 1],
                    height=heights[number + 1],
                    width=widths[number + 1],
                    parameters=layer.parameters(self._maps[number]),
                    multiply_adds=layer.multiply_adds(self._maps[number], before, after),
                    field=Stack(self.layers[: number + 1], self.channels).field(),
                    overlap=_overlap_of(layer),
                )
            )
        return stages


def _overlap_of(layer: Layer) -> Overlap | None:
    match layer:
        case TransposedConvolution() | Window() if layer.stride > 1:
            # The gradient of a strided window is its transpose: input i gets what output o gets of the other.
            return overlap(layer.kernel, layer.stride, padding=layer.padding, dilation=layer.dilation)
        case _:
            return None
