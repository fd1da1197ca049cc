"""What things are made of: the colours of a clip, and shaded, grainy, striped and woven materials."""

from sr_datasets.fetch.generated.integers import Draws
from sr_datasets.fetch.generated.painting import Material


class Palette:
    """The few hues that a clip's colours gather about.

    Args:
        draws: Where the hues come from.
    """

    def __init__(self, draws: Draws) -> None:
        self._hues = [(draws.between(-26, 36), draws.between(-12, 18)) for _ in range(4)]

    def colour(self, draws: Draws, darkest: int, lightest: int) -> tuple[int, int, int]:
        """Return a colour of modest saturation whose luma lies between the two, more often about the middle."""
        span = lightest - darkest
        luma = darkest + (draws.between(0, span) + draws.between(0, span)) // 2
        reach = min(luma, 255 - luma)
        warm, green = self._hues[draws.below(len(self._hues))]
        warm = reach * (warm + draws.between(-12, 12)) // 100
        green = reach * (green + draws.between(-8, 8)) // 100
        return luma + warm - green // 2, luma + green // 2, luma - warm - green // 2

    def material(self, draws: Draws, radius: int, oversample: int, *, striped: int = 14) -> Material:
        """Return a stuff for a shape of so many points: shaded, grainy, now and then striped or woven.

        Args:
            draws: Where all choices come from.
            radius: Half of the shape's longer axis, in points.
            oversample: Points per pixel and axis.
            striped: How many shapes of a hundred have stripes, if they are large enough.
        """
        stripes, periods, hard = (0, 0), (64, 64), False
        if radius >= 10 * oversample and draws.chance(striped):
            # Lines of 6 to 24 pixels: a third of the size can just hold the finest.
            finest, coarsest = 6 * oversample, min(24 * oversample, radius)
            periods = draws.radius(finest, coarsest), draws.radius(finest, coarsest)
            strength = draws.between(15, 55)
            stripes = (strength, strength if draws.chance(35) else 0)
            hard = draws.chance(55)
        return Material(
            rgb=self.colour(draws, 22, 232),
            grain=draws.between(2, 26),
            grain_zoom=(draws.between(50, 256), draws.between(200, 330)),
            slope=draws.between(-70, 70),
            dome=draws.between(0, 80),
            stripes=stripes,
            periods=periods,
            hard=hard,
        )
