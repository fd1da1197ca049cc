"""Finds where patches stand in other pictures: descriptors that are alike, then one scale and place for all of them.

1. Points whose descriptors agree in one of eight choices of bits are candidates (locality-sensitive hashing, P. Indyk
   and R. Motwani, STOC 1998); those that differ in at most ``SEED_BITS`` of 128 bits are seeds.
2. A seed says where the patch would lie in the other picture: its scale is the ratio of the two points' scales. The seeds
   of a patch and a picture that agree with the best of them give scale and place by least squares.
3. Then every point of the patch is asked: is there a point in the other picture where that pose puts it, of the right
   scale, with a like descriptor? How unlikely these answers are by chance, in bits, is the evidence.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from sr_datasets.audit.points import INSET, SIGMA, Points, mirror_mask

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

SEED_BITS: Final = 26
"""Most bits in which the descriptors of a seed differ."""
POINT_BITS: Final = 44
"""Most bits in which two descriptors differ where the pose says that they are of one point."""
LEAST_SCORE: Final = 40.0
"""Least score of what is reported, in bits; set by what unrelated pictures reach (docs/audit.md)."""
_PAIRS = 100_000  # that LEAST_SCORE is meant for
LEAST_POINTS: Final = 3
"""Least points of the patch that the other picture must have: two always agree on some scale and place."""
LEAST_FRACTION: Final = 0.12
"""Least part of the patch's points that the other picture must have."""

_TABLES = 8
_FIRST_BIT, _LAST_BIT = (
    5,
    69,
)  # of the hashed bits: the lowest are nearly constant at an extremum, the highest fragile
_BUCKET = 64  # candidates of a bucket that are looked at: a still picture repeated a thousand times fills one
_CHUNK_POINTS = 1 << 15
_POSITION = 0.6  # tolerance of a place, in units of the point's sigma
_OCTAVES = 0.45  # tolerance of a scale
_MAX_OCTAVES = 1.7  # largest change of scale that is believed
# Seeds of a patch and a picture that agree need so many bits to be looked at closely, the more the patch has points.
_WORTH_BITS, _WORTH_BITS_PER_POINT, _WORTH_BITS_AT_MOST = 18.0, 0.5, 30.0
_BITS_OF_A_POINT = 22.0  # at most: the tail of real descriptors is heavier than any formula
_WINDOW = 4.0  # sigmas from a point within which another shows much of the same
_LEAST_SPREAD = (
    0.5  # of matched points against expected ones, as a ratio of standard deviations; less costs bits
)
_CLEAR_SCORE = 150.0  # ends the search for a better pose
_HYPOTHESES = 3  # seeds of a patch and picture that are tried as the pose, best first

_POINT_ARRAYS = ("picture", "x", "y", "sigma", "bits")
_GALLERY_ARRAYS = ("widths", "heights", "ranks", "first", "words", "keys", "orders")

# Unrelated descriptors differ in 64 +- 8.9 bits (benchmarks/audit_rates.py): as 52 fair coins would, not as 128.
_MEAN, _DEVIATION = 64.0, 8.9


@dataclass(frozen=True, slots=True, eq=False)
class Gallery:
    """Pictures in which patches are looked for: points sorted by picture, and hash tables over them."""

    points: Points
    """Every point; ``points.picture`` numbers the pictures from 0 and ascends."""
    widths: Ints
    """Columns of each picture."""
    heights: Ints
    """Rows of each picture."""
    ranks: Ints
    """Of each picture: patches of this rank or below are not looked for in it."""
    first: Ints
    """First point of each picture, and the number of points behind the last."""
    words: npt.NDArray[np.uint64]
    """``(points, 2)``: the descriptors."""
    keys: npt.NDArray[np.uint32]
    """``(tables, points)``: the hashes of each table in ascending order."""
    orders: npt.NDArray[np.uint32]
    """``(tables, points)``: which points they are of."""


@dataclass(frozen=True, slots=True)
class Match:
    """A patch found in a picture of the gallery."""

    patch: int
    """Number of the patch."""
    picture: int
    """Number of the picture in the gallery."""
    mirrored: bool
    """Whether left and right are exchanged."""
    scale: float
    """Samples of the picture for one sample of the patch."""
    x: float
    """Column of the picture where the centre of the patch's first (mirrored: last) column lies."""
    y: float
    """Row of the picture where the centre of the patch's first row lies."""
    matched: int
    """Points of the patch that the picture has too."""
    expected: int
    """Points of the patch that the picture should have."""
    score: float
    """How unlikely that is by chance, in bits (``score_of``)."""


def build_gallery(points: Points, *, widths: Ints, heights: Ints, ranks: Ints) -> Gallery:
    """Make the hash tables of a gallery; ``points.picture`` must ascend."""
    words = _words(points.bits)
    count = len(points)
    keys = np.empty((_TABLES, count), np.uint32)
    orders = np.empty((_TABLES, count), np.uint32)
    for table in range(_TABLES):
        hashed = _hashes(points.bits, table, _key_bits(count))
        order = np.argsort(hashed, kind="stable")
        keys[table], orders[table] = hashed[order], order
    first = np.searchsorted(points.picture, np.arange(len(widths) + 1))
    return Gallery(points, widths, heights, ranks, first.astype(np.int64), words, keys, orders)


def _words(bits: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
    words: npt.NDArray[np.uint64] = np.ascontiguousarray(bits).view("<u8").astype(np.uint64, copy=False)
    return words


def _key_bits(count: int) -> int:
    """Return how many bits a hash has: a bucket of a random choice of them holds about one point."""
    return min(max(count.bit_length(), 14), 22)


def _hashes(bits: npt.NDArray[np.uint8], table: int, key_bits: int) -> npt.NDArray[np.uint32]:
    span = _LAST_BIT - _FIRST_BIT
    # 64 bits in strides of odd length: each table visits other bits, spread over the frequencies.
    chosen = _FIRST_BIT + (np.arange(key_bits) * (2 * table + 3) + 7 * table) % span
    spread = np.unpackbits(bits, axis=1, bitorder="little")[:, chosen].astype(np.uint32)
    hashed: npt.NDArray[np.uint32] = (spread << np.arange(key_bits, dtype=np.uint32)).sum(1, dtype=np.uint32)
    return hashed


def find_matches(
    patches: Points, gallery: Gallery, *, widths: Ints, ranks: Ints, least: float = LEAST_SCORE
) -> Iterator[Match]:
    """Yield where patches stand in the gallery, patch by patch; of each picture the best place.

    Args:
        patches: Points of the patches; ``picture`` numbers them from 0 and ascends.
        gallery: Where they are looked for.
        widths: Columns of each patch.
        ranks: Rank of each patch: it is looked for in the pictures of lower rank only.
        least: Least score that is yielded, in bits.
    """
    if not len(gallery.points) or not len(patches):
        return
    first = np.searchsorted(patches.picture, np.arange(len(ranks) + 1))
    start = 0
    while start < len(ranks):
        end = int(np.searchsorted(first, first[start] + _CHUNK_POINTS, side="right")) - 1
        end = min(max(end, start + 1), len(ranks))
        yield from _chunk(patches, gallery, slice(start, end), first, widths, ranks, least)
        start = end


def _chunk(
    patches: Points,
    gallery: Gallery,
    part: slice,
    first: Ints,
    widths: Ints,
    ranks: Ints,
    least: float,
) -> Iterator[Match]:
    here = slice(first[part.start], first[part.stop])
    found: dict[tuple[int, int], Match] = {}
    for mirrored in (False, True):
        own = _View(patches, here, widths, mirrored)
        query, target, distance = _seeds(own, gallery, ranks)
        if not len(query):
            continue
        pair = own.picture[query].astype(np.int64) * len(gallery.widths) + gallery.points.picture[target]
        order = np.lexsort((target, query, distance, pair))
        order = order[_promising(own, gallery, query[order], target[order], distance[order], pair[order])]
        bounds = np.flatnonzero(np.diff(pair[order], prepend=-1, append=-1))
        for begin, end in itertools.pairwise(bounds.tolist()):
            group = order[begin:end]
            patch, picture = divmod(int(pair[group[0]]), len(gallery.widths))
            inside = slice(int(first[patch] - here.start), int(first[patch + 1] - here.start))
            match = _verify(own, inside, gallery, picture, query[group], target[group])
            if match is not None and match.score >= least:
                key = (patch, picture)
                if key not in found or found[key].score < match.score:
                    found[key] = match
    yield from (found[key] for key in sorted(found))


class _View:
    """The points of a chunk of patches, mirrored or not, as double-precision columns."""

    def __init__(self, patches: Points, here: slice, widths: Ints, mirrored: bool) -> None:
        self.picture = patches.picture[here]
        self.x = patches.x[here].astype(np.float64)
        self.y = patches.y[here].astype(np.float64)
        self.sigma = patches.sigma[here].astype(np.float64)
        self.bits = patches.bits[here]
        self.mirrored = mirrored
        if mirrored:
            self.x = widths[self.picture] - 1 - self.x
            self.bits = self.bits ^ mirror_mask()
        self.words = _words(self.bits)


def _seeds(own: _View, gallery: Gallery, ranks: Ints) -> tuple[Ints, Ints, Ints]:
    """Return pairs of a point of the patches and a point of the gallery, and the bits in which they differ."""
    key_bits = _key_bits(len(gallery.points))
    found: list[npt.NDArray[np.int64]] = []
    for table in range(_TABLES):
        hashed = _hashes(own.bits, table, key_bits)
        low = np.searchsorted(gallery.keys[table], hashed)
        count = np.minimum(np.searchsorted(gallery.keys[table], hashed, side="right") - low, _BUCKET)
        query = np.repeat(np.arange(len(hashed)), count)
        within = np.arange(len(query)) - np.repeat(np.cumsum(count) - count, count)
        target = gallery.orders[table][np.repeat(low, count) + within].astype(np.int64)
        allowed = gallery.ranks[gallery.points.picture[target]] < ranks[own.picture[query]]
        query, target = query[allowed], target[allowed]
        near = _distance(own.words[query], gallery.words[target]) <= SEED_BITS
        found.append(query[near] * len(gallery.points) + target[near])
    both = np.unique(np.concatenate(found))
    query, target = np.divmod(both, len(gallery.points))
    octaves = np.abs(np.log2(gallery.points.sigma[target] / own.sigma[query]))
    query, target = query[octaves <= _MAX_OCTAVES], target[octaves <= _MAX_OCTAVES]
    return query, target, _distance(own.words[query], gallery.words[target])


def _distance(one: npt.NDArray[np.uint64], other: npt.NDArray[np.uint64]) -> Ints:
    bits: Ints = np.bitwise_count(one ^ other).sum(-1, dtype=np.int64)
    return bits


def _promising(
    own: _View, gallery: Gallery, query: Ints, target: Ints, distance: Ints, pair: Ints
) -> npt.NDArray[np.bool_]:
    """Return which seeds are of a patch and a picture worth a closer look; seeds are sorted by pair and distance."""
    starts = np.flatnonzero(np.diff(pair, prepend=-1))
    size = np.diff(starts, append=len(pair))
    group = np.repeat(np.arange(len(starts)), size)
    bits = surprise(distance)
    points = np.bincount(own.picture - own.picture[0])[own.picture[query[starts]] - own.picture[0]]
    needed = _WORTH_BITS + np.clip(_WORTH_BITS_PER_POINT * points, 0, _WORTH_BITS_AT_MOST)
    worth = np.zeros(len(starts), bool)
    for rank in range(2):
        # The pose by the best seed of the pair, then by the second best.
        anchor = np.repeat(starts + np.minimum(rank, size - 1), size)
        agreed = np.flatnonzero(_agreed(own, gallery, query, target, anchor))
        # Each point counts once, by its best seed, so that repeats of a pattern do not add up.
        for points_of in (query, target):
            _, best = np.unique(group[agreed] * np.int64(1 << 32) + points_of[agreed], return_index=True)
            agreed = agreed[np.sort(best)]
        worth |= np.bincount(group[agreed], bits[agreed], len(starts)) >= needed
    return np.repeat(worth, size)


def _agreed(
    own: _View, gallery: Gallery, query: Ints, target: Ints, anchor: Ints | int
) -> npt.NDArray[np.bool_]:
    """Tell which seeds agree on a pose with the seed that is their anchor."""
    x, y = own.x[query], own.y[query]
    to_x, to_y, to_sigma = (
        values[target].astype(np.float64)
        for values in (gallery.points.x, gallery.points.y, gallery.points.sigma)
    )
    ratio = to_sigma / own.sigma[query]
    scale = ratio[anchor]
    dx, dy = (x - x[anchor]) * scale, (y - y[anchor]) * scale
    miss = np.hypot(to_x - to_x[anchor] - dx, to_y - to_y[anchor] - dy)
    # What the anchor's scale, known to a fifth or so, leaves open grows with the way from it.
    near: npt.NDArray[np.bool_] = miss <= 0.22 * np.hypot(dx, dy) + _POSITION * (to_sigma + to_sigma[anchor])
    near &= np.abs(np.log2(ratio / scale)) <= _OCTAVES
    return near


def _verify(
    own: _View, inside: slice, gallery: Gallery, picture: int, query: Ints, target: Ints
) -> Match | None:
    best: Match | None = None
    there = slice(int(gallery.first[picture]), int(gallery.first[picture + 1]))
    tried = np.zeros(len(query), bool)
    for _ in range(_HYPOTHESES):
        if tried.all():
            break
        seed = int(np.argmin(tried))
        pose, agreed = _pose(own, gallery, query, target, seed)
        tried |= agreed
        tried[seed] = True
        if pose is None:
            continue
        match = _ask(own, inside, gallery, picture, there, pose)
        if match is not None and (best is None or match.score > best.score):
            best = match
            if best.score >= _CLEAR_SCORE:
                break
    return best


def _pose(
    own: _View, gallery: Gallery, query: Ints, target: Ints, seed: int
) -> tuple[tuple[float, float, float] | None, npt.NDArray[np.bool_]]:
    """Return scale and place by the seeds that agree with one of them, and which those are."""
    agreed = _agreed(own, gallery, query, target, seed)
    one, other = query[agreed], target[agreed]
    to_x, to_y, to_sigma = (
        values[other].astype(np.float64)
        for values in (gallery.points.x, gallery.points.y, gallery.points.sigma)
    )
    scale = float(gallery.points.sigma[target[seed]] / own.sigma[query[seed]])
    return _fitted(own.x[one], own.y[one], to_x, to_y, to_sigma, scale), agreed


def _fitted(
    x: Floats, y: Floats, to_x: Floats, to_y: Floats, to_sigma: Floats, scale: float
) -> tuple[float, float, float] | None:
    """Return scale and place, in the least squares weighted by the points' precision; few points keep the prior scale."""
    weight = 1 / to_sigma**2
    total = weight.sum()
    mean_x, mean_y = (weight * x).sum() / total, (weight * y).sum() / total
    mean_to_x, mean_to_y = (weight * to_x).sum() / total, (weight * to_y).sum() / total
    dx, dy = x - mean_x, y - mean_y
    spread = (weight * (dx**2 + dy**2)).sum()
    along = (weight * (dx * (to_x - mean_to_x) + dy * (to_y - mean_to_y))).sum()
    # The ratio of sigmas counts as a measurement of the scale to 15 %, the place of a point as one to 0.3 sigma.
    prior = (0.3 / (0.15 * scale)) ** 2
    fitted = (along + prior * scale) / (spread + prior)
    if not 0.5 * scale <= fitted <= 2 * scale:
        return None
    return float(fitted), float(mean_to_x - fitted * mean_x), float(mean_to_y - fitted * mean_y)


def _ask(
    own: _View,
    inside: slice,
    gallery: Gallery,
    picture: int,
    there: slice,
    pose: tuple[float, float, float],
) -> Match | None:
    """Ask every point of a patch whether the picture has it where the pose puts it; twice, the second time more exactly."""
    to_x, to_y, to_sigma = (
        values[there].astype(np.float64)
        for values in (gallery.points.x, gallery.points.y, gallery.points.sigma)
    )
    wide, high = int(gallery.widths[picture]), int(gallery.heights[picture])
    x, y, sigma = own.x[inside], own.y[inside], own.sigma[inside]
    reach = 4 * _POSITION * pose[0] * sigma.max() + 4
    box = (to_x >= pose[1] + pose[0] * x.min() - reach) & (to_x <= pose[1] + pose[0] * x.max() + reach)
    box &= (to_y >= pose[2] + pose[0] * y.min() - reach) & (to_y <= pose[2] + pose[0] * y.max() + reach)
    to_x, to_y, to_sigma = to_x[box], to_y[box], to_sigma[box]
    to_words = gallery.words[there][box]
    for tolerance in (1.5 * _POSITION, _POSITION):
        scale, left, top = pose
        at_x, at_y, at_sigma = left + scale * x, top + scale * y, scale * sigma
        inset = INSET * at_sigma
        expected = (
            (at_sigma >= SIGMA)
            & (at_x >= inset)
            & (at_y >= inset)
            & (at_x <= wide - 1 - inset)
            & (at_y <= high - 1 - inset)
        )
        miss = np.hypot(at_x[:, None] - to_x, at_y[:, None] - to_y)
        near = (miss <= tolerance * np.maximum(at_sigma, 1.5)[:, None]) & (
            np.abs(np.log2(at_sigma[:, None] / to_sigma)) <= _OCTAVES
        )
        one, other = np.nonzero(near)
        distance = _distance(own.words[inside][one], to_words[other])
        alike = distance <= POINT_BITS
        one, other, distance = one[alike], other[alike], distance[alike]
        # Each point answers once, by its most similar counterpart, and each counterpart once.
        order = np.lexsort((other, one, distance))
        one, other, distance = one[order], other[order], distance[order]
        kept = _first_of_each(one) & _first_of_each(other)
        one, other, distance = one[kept], other[kept], distance[kept]
        if not len(one):
            return None
        refined = _fitted(x[one], y[one], to_x[other], to_y[other], to_sigma[other], scale)
        if refined is None:
            return None
        pose = refined
    scale, left, top = pose
    bits = np.minimum(surprise(distance), _BITS_OF_A_POINT) * _novelty(at_x[one], at_y[one], at_sigma[one])
    expected[one] = True
    count = int(np.count_nonzero(expected))
    if len(one) < max(LEAST_POINTS, LEAST_FRACTION * count):
        return None
    # Points of a copy are lost here and there; those of one thing that both pictures have stand together.
    spread = _spread(at_x[one], at_y[one]) / max(_spread(at_x[expected], at_y[expected]), 1e-9)
    total = float(bits.sum()) * min(1.0, spread / _LEAST_SPREAD)
    return Match(
        patch=int(own.picture[inside.start]),
        picture=picture,
        mirrored=own.mirrored,
        scale=scale,
        x=left,
        y=top,
        matched=len(one),
        expected=count,
        score=score_of(total, len(one), count, there.stop - there.start),
    )


def _spread(x: Floats, y: Floats) -> float:
    return math.sqrt(float(x.var() + y.var()))


def _first_of_each(values: Ints) -> npt.NDArray[np.bool_]:
    mask = np.zeros(len(values), bool)
    mask[np.unique(values, return_index=True)[1]] = True
    return mask


def _novelty(x: Floats, y: Floats, sigma: Floats) -> Floats:
    """Return how much each point counts, the best first: less where a better one has shown its surroundings already."""
    if not len(x):
        return np.empty(0)
    gap = np.hypot(x[:, None] - x, y[:, None] - y) / np.maximum(sigma[:, None], sigma)
    gap[np.triu_indices(len(x))] = _WINDOW
    novelty: Floats = np.minimum(gap.min(1), _WINDOW) / _WINDOW
    return novelty


def score_of(bits: float, matched: int, expected: int, points: int) -> float:
    """Return the evidence of matched points in bits, less the bits of all the ways in which chance might have matched.

    That is the logarithm of a number of false alarms (A. Desolneux, L. Moisan, J.-M. Morel, "Meaningful Alignments",
    IJCV 2000): the choices of ``matched`` out of ``expected`` points, and a pose for each pair of points.

    Args:
        bits: Sum over the matched points.
        matched: How many they are.
        expected: Points of the patch that lie in the picture by the pose.
        points: Points of the picture.
    """
    choices = math.lgamma(expected + 1) - math.lgamma(matched + 1) - math.lgamma(expected - matched + 1)
    return bits - choices / math.log(2) - math.log2(max(expected, 1) * max(points, 1))


def least_score(pairs: int) -> float:
    """Return the least score that is believed when so many pairs of a patch and a picture are compared.

    Among unrelated pictures each bit more halves the false alarms in theory, three bits do in practice
    (benchmarks/audit_rates.py).
    """
    return LEAST_SCORE + 3.0 * max(0.0, math.log2(max(pairs, 1) / _PAIRS))


def can_tell(points: Points, count: int) -> npt.NDArray[np.bool_]:
    """Tell of each patch whether a perfect copy of it in a picture of 1000 points would be found.

    Args:
        points: Points of the patches; ``picture`` numbers them from 0 and ascends.
        count: How many patches there are.
    """
    first = np.searchsorted(points.picture, np.arange(count + 1))
    found = np.zeros(count, bool)
    for patch in range(count):
        one = slice(int(first[patch]), int(first[patch + 1]))
        number = one.stop - one.start
        novelty = _novelty(*(v[one].astype(np.float64) for v in (points.x, points.y, points.sigma)))
        best = score_of(_BITS_OF_A_POINT * float(novelty.sum()), number, number, 1000)
        found[patch] = number >= LEAST_POINTS and best >= LEAST_SCORE
    return found


def surprise(distance: Ints) -> Floats:
    """Return how unlikely it is that unrelated descriptors differ in so few bits, as ``-log2`` of the probability."""
    z = (_MEAN - distance) / _DEVIATION
    # Mills' ratio bounds the tail of the normal distribution closely for z > 1.
    tail = np.exp(-0.5 * z**2) / (z + np.sqrt(z**2 + 2.0)) * (2 / np.sqrt(np.pi)) * np.sqrt(0.5)
    result: Floats = -np.log2(tail)
    return result


def save_gallery(gallery: Gallery, folder: Path) -> None:
    """Write a gallery as ``.npy`` files, so that several processes share one copy of it in memory."""
    points = gallery.points
    for name, array in {
        **{name: getattr(points, name) for name in _POINT_ARRAYS},
        **{name: getattr(gallery, name) for name in _GALLERY_ARRAYS},
    }.items():
        np.save(folder / f"{name}.npy", array)


def load_gallery(folder: Path) -> Gallery:
    """Map a gallery that ``save_gallery`` wrote."""
    points = Points(*(np.load(folder / f"{name}.npy", mmap_mode="r") for name in _POINT_ARRAYS))
    return Gallery(points, *(np.load(folder / f"{name}.npy", mmap_mode="r") for name in _GALLERY_ARRAYS))
