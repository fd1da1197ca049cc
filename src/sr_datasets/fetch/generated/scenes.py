"""What the generated clips show: six kinds of scenes, each a function of a seed, a size and a length."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from sr_datasets.fetch.generated.camera import PIXEL, Layer, Motion
from sr_datasets.fetch.generated.integers import TURN, UNIT, Draws, cosine, sine
from sr_datasets.fetch.generated.pages import lay_out, paint_sign
from sr_datasets.fetch.generated.painting import Canvas, Material, Shape
from sr_datasets.fetch.generated.stuff import Palette

_DEGREE = TURN // 360
_OVERSAMPLE = 4


@dataclass(frozen=True, slots=True)
class ClipSpec:
    """What makes a clip."""

    scene: str
    """Kind of scene: a key of ``SCENES``."""
    seed: int
    """Key of every draw of the clip."""
    width: int
    """Luma samples per row, even."""
    height: int
    """Luma rows, even."""
    frame_rate: Fraction
    """Frames per second."""
    num_frames: int
    """Number of frames."""

    @property
    def header(self) -> bytes:
        """The clip's y4m header: 8-bit 4:2:0 with chroma sited left, limited range, square pixels."""
        rate = f"{self.frame_rate.numerator}:{self.frame_rate.denominator}"
        size = f"W{self.width} H{self.height}"
        return f"YUV4MPEG2 {size} F{rate} Ip A1:1 C420mpeg2 XCOLORRANGE=LIMITED\n".encode()

    @property
    def size_bytes(self) -> int:
        """Exact size of the clip's y4m file."""
        return len(self.header) + self.num_frames * (len(b"FRAME\n") + self.width * self.height * 3 // 2)


def build_layers(spec: ClipSpec) -> list[Layer]:
    """Paint a clip's layers, from the back to the front."""
    draws = Draws(spec.seed)
    return SCENES[spec.scene](spec, Palette(draws.fork()), draws)


def _leaves(spec: ClipSpec, palette: Palette, draws: Draws) -> list[Layer]:
    """Dead leaves under a camera that pans, turns a little and moves nearer or away."""
    motion = _camera(spec, draws, speed=450, zoom=60, turn=30)
    canvas = _canvas(spec, motion, draws)
    _scatter(canvas, palette, draws, smallest=3, largest=110)
    return [_whole(canvas, motion)]


def _depth(spec: ClipSpec, palette: Palette, draws: Draws) -> list[Layer]:
    """Three depths that move at different speeds: the back and the nearest one out of focus."""
    speed = draws.between(350, 600)
    back_motion = _camera(spec, draws, speed=speed // 3, zoom=20, turn=0)
    back = _canvas(spec, back_motion, draws, oversample=2)
    _scatter(back, palette, draws, smallest=6, largest=120, oversample=2)
    motion = _camera(spec, draws, speed=speed, zoom=40, turn=25)
    middle = _canvas(spec, motion, draws)
    _scatter(middle, palette, draws, smallest=4, largest=80, coverage=55)
    layers = [
        Layer(back.render(), oversample=2, motion=back_motion, blur=(2, 2)),
        _whole(middle, motion),
    ]
    near = Canvas(280, 280, draws=draws.fork())
    near.paint("leaf", 140, 140, 120, 44, draws.below(TURN), palette.material(draws, 120, 2))
    layers.append(
        Layer(near.render(), oversample=2, motion=_mover(spec, draws, speed=1100), blur=(3, 3), whole=False)
    )
    return layers


def _print(spec: ClipSpec, palette: Palette, draws: Draws) -> list[Layer]:
    """Pages of thin text between pictures, scrolled by under a camera that is not quite level."""
    motion = _camera(spec, draws, speed=300, zoom=24, turn=8, tilt=7)
    canvas = _canvas(spec, motion, draws)
    lay_out(canvas, palette, draws, 0, 0, canvas.width, canvas.height)
    _scatter(canvas, palette, draws, smallest=6, largest=80)
    return [_whole(canvas, motion)]


def _signs(spec: ClipSpec, palette: Palette, draws: Draws) -> list[Layer]:
    """Boards with text and lines at all angles among leaves, under a camera that moves nearer."""
    motion = _camera(spec, draws, speed=250, zoom=90, turn=25)
    canvas = _canvas(spec, motion, draws)
    for _ in range(canvas.width * canvas.height // 170_000):
        x, y = draws.below(canvas.width), draws.below(canvas.height)
        half_length = 4 * draws.radius(28, 80)
        half_width = half_length * draws.between(35, 75) // 100
        angle = draws.between(-50, 50) * _DEGREE
        paint_sign(canvas, palette, draws, x, y, half_length, half_width, angle)
    _scatter(canvas, palette, draws, smallest=5, largest=90)
    return [_whole(canvas, motion)]


def _fabric(spec: ClipSpec, palette: Palette, draws: Draws) -> list[Layer]:
    """Patches of woven, striped and fibrous stuff that turn slowly under the camera."""
    motion = _camera(spec, draws, speed=300, zoom=50, turn=70)
    canvas = _canvas(spec, motion, draws)
    _scatter(canvas, palette, draws, smallest=6, largest=140, striped=70)
    return [_whole(canvas, motion)]


def _movers(spec: ClipSpec, palette: Palette, draws: Draws) -> list[Layer]:
    """A camera that hardly moves, and things that cross its view and turn."""
    motion = _camera(spec, draws, speed=25, zoom=0, turn=0)
    canvas = _canvas(spec, motion, draws)
    _scatter(canvas, palette, draws, smallest=4, largest=130)
    layers = [_whole(canvas, motion)]
    for number in range(6):
        half = 4 * draws.between(22, 56)
        side = 2 * half + 48
        thing = Canvas(side, side, draws=draws.fork())
        if number % 2:
            paint_sign(thing, palette, draws, side // 2, side // 2, half * 3 // 4, half // 2, 0)
        else:
            shape: Shape = "ellipse" if draws.chance(50) else "leaf"
            striped = 60 if number == 2 else 0
            half_width = half * draws.between(45, 95) // 100
            thing.paint(
                shape,
                side // 2,
                side // 2,
                half,
                half_width,
                0,
                palette.material(draws, half, 4, striped=striped),
            )
        layers.append(
            Layer(
                thing.render(),
                oversample=_OVERSAMPLE,
                motion=_mover(spec, draws, speed=draws.between(200, 1300)),
                blur=_LENS,
                whole=False,
            )
        )
    return layers


SCENES: dict[str, Callable[[ClipSpec, Palette, Draws], list[Layer]]] = {
    "leaves": _leaves,
    "depth": _depth,
    "print": _print,
    "signs": _signs,
    "fabric": _fabric,
    "movers": _movers,
}
"""Kinds of scenes."""

_LENS = (1, 1)
"""A lens that spreads a point over half a pixel, so that nearly all that is left is below the Nyquist frequency."""


def _whole(canvas: Canvas, motion: Motion) -> Layer:
    return Layer(canvas.render(), oversample=_OVERSAMPLE, motion=motion, blur=_LENS)


def _camera(spec: ClipSpec, draws: Draws, *, speed: int, zoom: int, turn: int, tilt: int = 4) -> Motion:
    """Return a camera's way: about ``speed`` / 256 pixels a frame, with a hand's unrest.

    Args:
        spec: The clip.
        draws: Where direction and all else come from.
        speed: 1/256 pixels a frame.
        zoom: Largest change of magnification a frame, in 1/4096 of it.
        turn: Largest turn a frame, in ``TURN`` units.
        tilt: Largest angle in frame 0, in degrees.
    """
    angle = draws.below(TURN)
    step = speed * cosine(angle) // UNIT, speed * sine(angle) // UNIT
    last = spec.num_frames - 1
    zoom_step = draws.between(zoom // 2, zoom) * (1 if draws.chance(50) else -1)
    return Motion(
        start=(spec.width * PIXEL // 2 - step[0] * last // 2, spec.height * PIXEL // 2 - step[1] * last // 2),
        step=step,
        sway=(draws.between(20, 200), draws.between(20, 200)),
        sway_period=draws.between(9, 23),
        turn=draws.between(-tilt * _DEGREE, tilt * _DEGREE),
        turn_step=draws.between(-turn, turn),
        zoom=4096 - zoom_step * last // 2,
        zoom_step=zoom_step,
    )


def _mover(spec: ClipSpec, draws: Draws, *, speed: int) -> Motion:
    """Return the way of a thing that crosses the view and is inside it halfway through the clip."""
    angle = draws.below(TURN)
    step = speed * cosine(angle) // UNIT, speed * sine(angle) // UNIT
    half = spec.num_frames // 2
    return Motion(
        start=(
            spec.width * PIXEL * draws.between(15, 85) // 100 - step[0] * half,
            spec.height * PIXEL * draws.between(15, 85) // 100 - step[1] * half,
        ),
        step=step,
        turn=draws.below(TURN),
        turn_step=draws.between(-400, 400),
    )


def _canvas(spec: ClipSpec, motion: Motion, draws: Draws, *, oversample: int = _OVERSAMPLE) -> Canvas:
    """Return a canvas that the camera cannot look beyond."""
    reach_x = reach_y = 0
    for frame_index in range(spec.num_frames):
        a, b = motion.matrix(frame_index)
        centre_x, centre_y = motion.centre(frame_index)
        for corner_x in (0, spec.width * PIXEL):
            for corner_y in (0, spec.height * PIXEL):
                dx, dy = corner_x - centre_x, corner_y - centre_y
                reach_x = max(reach_x, abs(dx * a + dy * b) >> 16)
                reach_y = max(reach_y, abs(dy * a - dx * b) >> 16)
    margin = 3
    return Canvas(
        2 * (reach_y // PIXEL + margin) * oversample,
        2 * (reach_x // PIXEL + margin) * oversample,
        draws=draws.fork(),
    )


def _scatter(
    canvas: Canvas,
    palette: Palette,
    draws: Draws,
    *,
    smallest: int,
    largest: int,
    coverage: int = 100,
    striped: int = 14,
    oversample: int = _OVERSAMPLE,
) -> None:
    """Let leaves of radius ``smallest`` to ``largest`` pixels fall until they cover so many percent.

    Radii follow r^-3 and places are even over all from which a leaf can touch the canvas (Lee, Mumford and Huang,
    2001). The last third of a percent of a full cover, seen through pinholes, is one plain ground.
    """
    goal = canvas.width * canvas.height * (1000 - 10 * coverage + 3) // 1000
    low, high = smallest * oversample, largest * oversample
    while canvas.num_free > goal:
        radius = draws.radius(low, high)
        x, y = draws.between(-high, canvas.width + high), draws.between(-high, canvas.height + high)
        if not (-radius < x < canvas.width + radius and -radius < y < canvas.height + radius):
            continue
        if not canvas.has_room(x, y, radius):
            continue
        half_width = radius * draws.between(30, 100) // 100
        kind = draws.below(100)
        shape: Shape = "leaf" if kind < 40 else "ellipse" if kind < 75 else "board"
        if shape == "board":
            radius, half_width = radius * 4 // 5, half_width * 4 // 5
        material = palette.material(draws, radius, oversample, striped=striped)
        canvas.paint(shape, x, y, radius, half_width, draws.below(TURN), material)
    if coverage == 100:
        side = max(canvas.width, canvas.height)
        ground = Material(rgb=(40, 38, 34))
        canvas.paint("board", canvas.width // 2, canvas.height // 2, side, side, 0, ground)
