"""Steps that draw which steps are taken: one of several, all in some order, or none."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence

from sr_datasets.degrade.step import Context, Region, Samples, Scope, Step, StepDraws

_SCOPES: tuple[Scope, ...] = ("window", "frame", "clip")


class _Mixed(Step):
    """Runs a sequence of inner steps that is drawn for the row.

    The record says which were taken, in their order: place among all inner steps, kind, and what each drew.
    """

    draws = True

    def __init__(self, inner: Sequence[tuple[str, Step]], context: Context) -> None:
        """Take the inner steps with their kinds.

        Raises:
            ValueError: For ``yuv420``, some take planes one by one and some do not.
        """
        self._inner = list(inner)
        steps = [step for _, step in inner]
        self.scope = max((step.scope for step in steps), key=_SCOPES.index)
        self.planewise = all(step.planewise for step in steps)
        self.ratio = max(step.ratio for step in steps)
        if context.color == "yuv420" and any(step.planewise for step in steps) != self.planewise:
            kinds = ", ".join(kind for kind, _ in inner)
            raise ValueError(
                f"yuv420: {kinds} cannot stand in one choice, since codecs take all planes together"
            )

    @abstractmethod
    def _drawn(self, draws: StepDraws) -> list[int]:
        """Return which inner steps run, in their order."""

    def apply(
        self,
        frames: Sequence[Samples],
        *,
        at: Region,
        height: int,
        width: int,
        out: Region,
        numbers: Sequence[int],
        draws: StepDraws,
    ) -> list[Samples]:
        """Run the drawn steps, each on the region that the next one needs."""
        taken = self._taken(draws)
        sizes, regions = [(height, width)], [out]
        for step, _ in taken[:-1]:
            sizes.append(step.out_size(*sizes[-1]))
        for (step, _), size in zip(reversed(taken), reversed(sizes), strict=True):
            regions.insert(0, step.needs(regions[0], *size))
        samples = [regions[0].cut(frame, at) for frame in frames]
        for turn, (step, inside) in enumerate(taken):
            samples = step.apply(
                samples,
                at=regions[turn],
                height=sizes[turn][0],
                width=sizes[turn][1],
                out=regions[turn + 1],
                numbers=numbers,
                draws=inside,
            )
        self._note(draws, taken)
        return samples

    def whole(
        self, frames: Sequence[Samples], *, target: tuple[int, int], numbers: Sequence[int], draws: StepDraws
    ) -> list[Samples]:
        """Run the drawn steps on whole frames."""
        taken, samples = self._taken(draws), list(frames)
        for step, inside in taken:
            samples = step.whole(samples, target=target, numbers=numbers, draws=inside)
        self._note(draws, taken)
        return samples

    def stream(
        self, frames: Iterator[Samples], *, height: int, width: int, draws: StepDraws
    ) -> Iterator[Samples]:
        """Run the drawn steps on a clip."""
        taken = self._taken(draws)
        for step, inside in taken:
            frames = step.stream(frames, height=height, width=width, draws=inside)
            height, width = step.out_size(height, width)
        yield from frames
        self._note(draws, taken)

    def _taken(self, draws: StepDraws) -> list[tuple[Step, StepDraws]]:
        return [
            (step, draws.inside(place, kind))
            for place in self._drawn(draws)
            for kind, step in self._inner[place : place + 1]
        ]

    def _note(self, draws: StepDraws, taken: Sequence[tuple[Step, StepDraws]]) -> None:
        draws.record["taken"] = [
            {"step": inside.key[-2], "kind": inside.key[-1], **inside.record} for _, inside in taken
        ]


class OneOfStep(_Mixed):
    """Runs one of its steps."""

    def __init__(
        self, inner: Sequence[tuple[str, Step]], weights: Sequence[float] | None, context: Context
    ) -> None:
        super().__init__(inner, context)
        self._weights = weights or [1.0] * len(inner)

    def _drawn(self, draws: StepDraws) -> list[int]:
        return [draws.shared("choice").choice(self._weights)]

    def needs(self, out: Region, height: int, width: int) -> Region:
        """Return which part of the input frame the widest of the steps needs."""
        regions = [step.needs(out, height, width) for _, step in self._inner]
        needed = regions[0]
        for region in regions[1:]:
            needed = needed.union(region)
        return needed


class ShuffleStep(_Mixed):
    """Runs all of its steps, the groups in a drawn order."""

    def __init__(self, groups: Sequence[Sequence[tuple[str, Step]]], context: Context) -> None:
        super().__init__([pair for group in groups for pair in group], context)
        self._lengths = [len(group) for group in groups]

    def _drawn(self, draws: StepDraws) -> list[int]:
        keyed = draws.shared("order")
        first = [sum(self._lengths[:group]) for group in range(len(self._lengths))]
        left = list(range(len(self._lengths)))
        places: list[int] = []
        while left:
            group = left.pop(keyed.below(len(left)))
            places += range(first[group], first[group] + self._lengths[group])
        return places

    def needs(self, out: Region, height: int, width: int) -> Region:
        """Return which part of the input frame is needed in any order: all steps' reaches, one after the other."""
        # No step changes the size, and border rules only ever shrink what lies beyond the frame: adding the
        # reaches of all steps holds each order's need.
        for _, step in self._inner:
            out = out.union(step.needs(out, height, width))
        return out


class MaybeStep(Step):
    """Runs a step for some rows, and hands the frames on for the others."""

    draws = True

    def __init__(self, step: Step, probability: float) -> None:
        self._step, self._probability = step, probability
        self.scope, self.planewise, self.ratio = step.scope, step.planewise, step.ratio

    def _is_taken(self, draws: StepDraws) -> bool:
        taken = draws.shared("probability").uniform() < self._probability
        if not taken:
            draws.record["left_out"] = True
        return taken

    def needs(self, out: Region, height: int, width: int) -> Region:
        """Return what the step needs when it is taken."""
        return out.union(self._step.needs(out, height, width))

    def apply(
        self,
        frames: Sequence[Samples],
        *,
        at: Region,
        height: int,
        width: int,
        out: Region,
        numbers: Sequence[int],
        draws: StepDraws,
    ) -> list[Samples]:
        """Run the step, or cut the part out."""
        if not self._is_taken(draws):
            return [out.cut(frame, at) for frame in frames]
        place = {"at": at, "out": out}
        return self._step.apply(frames, **place, height=height, width=width, numbers=numbers, draws=draws)

    def whole(
        self, frames: Sequence[Samples], *, target: tuple[int, int], numbers: Sequence[int], draws: StepDraws
    ) -> list[Samples]:
        """Run the step, or hand the frames on."""
        if not self._is_taken(draws):
            return list(frames)
        return self._step.whole(frames, target=target, numbers=numbers, draws=draws)

    def stream(
        self, frames: Iterator[Samples], *, height: int, width: int, draws: StepDraws
    ) -> Iterator[Samples]:
        """Run the step on a clip, or hand its frames on."""
        if not self._is_taken(draws):
            return frames
        return self._step.stream(frames, height=height, width=width, draws=draws)
