"""Text on boards and pages, in the stroke font."""

from sr_datasets.fetch.generated.font import CAPITAL_UNITS, DESCENT_UNITS, LINE_UNITS, advance_units
from sr_datasets.fetch.generated.integers import TURN, UNIT, Draws, cosine, sine
from sr_datasets.fetch.generated.painting import Canvas, Material
from sr_datasets.fetch.generated.stuff import Palette

_WORD_TEXT = (
    "a and as at by for from in into is it its light of on or that the to under was with year "
    "aperture autumn bark branch bridge camera canopy cedar chapter clearing copper detail edge evening fern "
    "field focus forest frame garden glass gravel harbour hazel horizon index ivory Jupiter kernel lantern leaf "
    "linen marble meadow moss morning north oak orchard paper pattern pebble pixel quarry quartz rail rain river "
    "Saxony shadow shutter signal silver slate south stone street texture thread timber tower valley velvet "
    "village water weave willow window winter wool yellow zenith 12 18 35 1904 2025 -7 4/3 60"
)
_WORDS = _WORD_TEXT.split()


def lay_out(
    canvas: Canvas, palette: Palette, draws: Draws, left: int, top: int, right: int, bottom: int
) -> None:
    """Divide a rectangle again and again, into blocks of text and gaps for pictures; sizes in points."""
    width, height = right - left, bottom - top
    if max(width, height) > 900 or (max(width, height) > 420 and draws.chance(70)):
        share = draws.between(30, 70)
        if width > height:
            cut = left + width * share // 100
            lay_out(canvas, palette, draws, left, top, cut, bottom)
            lay_out(canvas, palette, draws, cut, top, right, bottom)
        else:
            cut = top + height * share // 100
            lay_out(canvas, palette, draws, left, top, right, cut)
            lay_out(canvas, palette, draws, left, cut, right, bottom)
        return
    if draws.chance(24):
        return
    paint_sign(
        canvas,
        palette,
        draws,
        (left + right) // 2,
        (top + bottom) // 2,
        width // 2,
        height // 2,
        0,
        framed=False,
    )


def paint_sign(
    canvas: Canvas,
    palette: Palette,
    draws: Draws,
    x: int,
    y: int,
    half_length: int,
    half_width: int,
    angle: int,
    *,
    framed: bool = True,
) -> None:
    """Write some lines, frame them if asked to, and put a board behind; lengths in points."""
    dark_on_light = draws.chance(70)
    paper = palette.colour(draws, 140, 215) if dark_on_light else palette.colour(draws, 45, 95)
    ink = palette.colour(draws, 55, 105) if dark_on_light else palette.colour(draws, 140, 190)
    ink_material = Material(rgb=ink, grain=6)
    _write_lines(canvas, draws, x, y, half_length - 16, half_width - 16, angle, ink_material)
    if framed:
        _frame(canvas, x, y, half_length, half_width, angle, ink_material)
    board = Material(rgb=paper, grain=draws.between(2, 10), slope=draws.between(-40, 40))
    canvas.paint("board", x, y, half_length, half_width, angle, board)


def _write_lines(
    canvas: Canvas,
    draws: Draws,
    x: int,
    y: int,
    half_length: int,
    half_width: int,
    angle: int,
    material: Material,
) -> None:
    """Fill a rectangle with paragraphs, each in a size of its own, and rules between some of them."""
    along, across = cosine(angle), sine(angle)
    base = -half_width
    while True:
        # Capitals of 7 to 40 pixels, mostly small; strokes of 1.25 to 6 pixels.
        capital = max(28, min(draws.radius(36, 160), half_width, half_length // 3))
        pen = max(5, capital * draws.between(9, 15) // 100)
        for _ in range(draws.between(1, 5)):
            base += capital + 4 if base == -half_width else capital * LINE_UNITS // CAPITAL_UNITS
            if base + capital * DESCENT_UNITS // CAPITAL_UNITS > half_width:
                return
            canvas.write(
                _line(draws, 2 * half_length * CAPITAL_UNITS // capital),
                x + (-half_length * along - base * across) // UNIT,
                y + (-half_length * across + base * along) // UNIT,
                capital=capital,
                pen=pen,
                angle=angle,
                material=material,
            )
        if draws.chance(30):
            base += 12 + capital * DESCENT_UNITS // CAPITAL_UNITS
            centre_x, centre_y = x - base * across // UNIT, y + base * along // UNIT
            canvas.paint("board", centre_x, centre_y, half_length, draws.between(1, 3), angle, material)


def _frame(
    canvas: Canvas, x: int, y: int, half_length: int, half_width: int, angle: int, material: Material
) -> None:
    """Draw a thin line around a board."""
    along, across = cosine(angle), sine(angle)
    for side in (-1, 1):
        reach = side * (half_width - 8)
        centre_x, centre_y = x - reach * across // UNIT, y + reach * along // UNIT
        canvas.paint("board", centre_x, centre_y, half_length - 8, 3, angle, material)
        reach = side * (half_length - 8)
        centre_x, centre_y = x + reach * along // UNIT, y + reach * across // UNIT
        canvas.paint("board", centre_x, centre_y, half_width - 8, 3, angle + TURN // 4, material)


def _line(draws: Draws, run: int) -> str:
    """Return words that fill at most so many grid units of the font."""
    line = ""
    while True:
        word = draws.pick(_WORDS)
        if draws.chance(12):
            word = word.upper() if draws.chance(40) else word.capitalize()
        longer = f"{line} {word}" if line else word
        if sum(advance_units(character) for character in longer) > run or draws.chance(3):
            return line
        line = longer
