"""Measures how often `sr-data audit` finds copies, by kind and patch size, and how often it is wrong.

Run: PYTHONPATH=src:tests python benchmarks/audit_rates.py [DATA], where DATA is the folder of real test material.

Pictures: T91, Set5, one frame of each Vid4 clip and of each camera clip of the material. Patches of copies are looked
for among all pictures, the way rows are looked for in a test set. A find in another picture than the one that it was
cut of is false, unless both are crops of one photograph; those pairs were looked at by eye.
"""

import resource
import sys
import tempfile
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
from audit_copies import COPIES, Luma, as_bytes, cut, read_luma, scene
from patches import write_set

from sr_datasets.audit import audit_set
from sr_datasets.audit.matching import Gallery, build_gallery, can_tell, find_matches
from sr_datasets.audit.points import basis, find_points, frequencies, join_points
from sr_datasets.audit.references import load_shipped
from sr_datasets.video import open_clip, probe

SIZES = (51, 64, 96, 128, 192, 256)
LEAST = 20.0  # bits; scores from here on are counted, to show where the threshold stands
CLIPS = (
    "bbb_642x642_vp9.webm",
    "bear-vp9.webm",
    "bikes.mp4",
    "carphone_pristine.mp4",
    "nasa_13013.mp4",
    "park_joy_480x270_50p_420p8.y4m",
    "small_bunny_1080p_60fps.mp4",
)
# Crops of one photograph, seen by eye, which overlap or are the same picture.
OVERLAPS = {
    frozenset(pair)
    for pair in (("t15", "t33"), ("t36", "t65"), ("tt6", "tt7"), ("t56", "t57"), ("t26", "t32"))
}


def pictures(data: Path) -> dict[str, Luma]:
    """Return luma of every picture by name."""
    paths = [*sorted((data / "t91").glob("*.png")), *sorted((data / "set5/GT").glob("*.png"))]
    found = {path.stem: read_luma(path) for path in paths}
    for clip in ("calendar", "foliage"):
        found[clip] = read_luma(data / "vid4" / clip / "GT" / "001.png")
    for name in CLIPS:
        path = data / "video" / name
        with open_clip(path, probe(path)) as reader:
            found[name] = reader.frame_at(reader.info.num_frames // 2).planes[0].astype(np.float32)
    return found


def gallery_of(found: dict[str, Luma]) -> Gallery:
    """Return all pictures as a gallery."""
    parts = []
    for number, luma in enumerate(found.values()):
        points = find_points(luma[np.newaxis])
        points.picture[:] = number
        parts.append(points)
    shapes = np.array([luma.shape for luma in found.values()])
    return build_gallery(
        join_points(parts), widths=shapes[:, 1], heights=shapes[:, 0], ranks=np.full(len(found), -1)
    )


def main(data: Path) -> None:
    """Print the tables."""
    found = pictures(data)
    names = list(found)
    start = time.process_time()
    gallery = gallery_of(found)
    size = sum(luma.size for luma in found.values())
    seconds = time.process_time() - start
    print(
        f"{len(found)} pictures, {size / 1e6:.1f} megapixels, {len(gallery.points)} points, {seconds:.1f} s"
    )
    rng = np.random.default_rng(0)
    one, other = rng.integers(len(gallery.points), size=(2, 1_000_000))
    apart = gallery.points.picture[one] != gallery.points.picture[other]
    bits = np.bitwise_count(gallery.words[one[apart]] ^ gallery.words[other[apart]]).sum(1, dtype=np.int64)
    print(f"descriptors of different pictures differ in {bits.mean():.1f} +- {bits.std():.1f} of 128 bits")
    print("found of the patches that are not too flat, at a score of 40, and of 60")
    print(f"{'copy':22}" + "".join(f"{size:>11}" for size in SIZES))
    pairs, false, worst = 0, Counter(), Counter()
    flat: dict[int, list[bool]] = {size: [] for size in SIZES}
    spent: dict[int, list[float]] = {size: [] for size in SIZES}
    for copy, make in COPIES.items():
        copies = [make(luma) for luma in found.values()]
        cells = []
        for size in SIZES:
            rng = np.random.default_rng(size)
            cuts = [(number, cut(luma, size, rng)) for number, luma in enumerate(copies) for _ in range(2)]
            patches = [(number, patch) for number, patch in cuts if patch is not None]
            start = time.process_time()
            points = find_points(np.stack([patch for _, patch in patches]))
            middle = time.process_time()
            count = len(patches)
            matches = list(
                find_matches(
                    points, gallery, widths=np.full(count, size), ranks=np.zeros(count, int), least=LEAST
                )
            )
            spent[size].append((middle - start) / count)
            spent[size].append((time.process_time() - middle) / count)
            tells = can_tell(points, count)
            flat[size] += (~tells).tolist()
            best = np.zeros(count)
            for match in matches:
                own = patches[match.patch][0]
                if own == match.picture:
                    best[match.patch] = max(best[match.patch], match.score)
                elif frozenset((names[own], names[match.picture])) not in OVERLAPS:
                    false[int(match.score) // 5 * 5] += 1
                    worst[f"{names[own]} in {names[match.picture]}"] = max(
                        worst[f"{names[own]} in {names[match.picture]}"], round(match.score)
                    )
            pairs += count * (len(found) - 1)
            told = best[tells]
            cells.append(f"{np.mean(told >= 40):.0%} {np.mean(told >= 60):.0%}" if len(told) else "-")
        print(f"{copy:22}" + "".join(f"{cell:>11}" for cell in cells), flush=True)
    print(f"{'too flat':22}" + "".join(f"{np.mean(flat[size]):>11.1%}" for size in SIZES))
    points_ms = [1e3 * np.mean(spent[size][::2]) for size in SIZES]
    match_ms = [1e3 * np.mean(spent[size][1::2]) for size in SIZES]
    print(f"{'CPU ms, points':22}" + "".join(f"{value:>11.2f}" for value in points_ms))
    print(f"{'CPU ms, matching':22}" + "".join(f"{value:>11.2f}" for value in match_ms))
    print(f"{pairs} unrelated pairs of a patch and a picture; found by score:")
    for low, high in pairwise([*range(20, 61, 5), 10_000]):
        number = sum(count for score, count in false.items() if low <= score < high)
        print(f"  {low} to {high}: {number}, {1e4 * number / pairs:.4f} in 10,000 pairs")
    print("highest:", ", ".join(f"{name} {score}" for name, score in worst.most_common(12)))


def many(data: Path) -> None:
    """Look for real patches among a thousand generated pictures: what a large audit costs."""
    gallery = gallery_of({str(seed): scene(seed) for seed in range(1000)})
    found = pictures(data)
    print(f"\n1000 generated pictures, {len(gallery.points)} points")
    rng = np.random.default_rng(0)
    for size in SIZES:
        cuts = [cut(luma, size, rng) for luma in found.values() for _ in range(6)]
        patches = np.stack([patch for patch in cuts if patch is not None])
        count = len(patches)
        start = time.process_time()
        points = find_points(patches)
        middle = time.process_time()
        widths, ranks = np.full(count, size), np.zeros(count, int)
        matches = list(find_matches(points, gallery, widths=widths, ranks=ranks, least=0.0))
        ms = [1e3 * seconds / count for seconds in (middle - start, time.process_time() - middle)]
        best = max((match.score for match in matches), default=0.0)
        print(
            f"  {size}: {count} patches, {ms[0]:.1f} ms for points, {ms[1]:.1f} ms for matching, highest score {best:.0f}"
        )
    print(f"  {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:.0f} MB at most")


def whole_set(data: Path) -> None:
    """Audit a set of 10,000 rows, a tenth of them in another split, as the command does."""
    found = [luma for luma in pictures(data).values() if min(luma.shape) >= 99]
    rng = np.random.default_rng(0)
    splits = {}
    for split, part, count in (("train", found[:-9], 9000), ("test", found[-9:], 1000)):
        hr = np.stack(
            [as_bytes(cut(part[number % len(part)], 99, rng))[np.newaxis] for number in range(count)]
        )
        splits[split] = hr[..., ::3, ::3].copy(), hr
    with tempfile.TemporaryDirectory() as folder:
        write_set(Path(folder), splits)
        start = time.process_time()
        report = audit_set(Path(folder))
        seconds = time.process_time() - start
    between = sum(finding.other is not None for finding in report.findings)
    print(f"\n10,000 rows of 99x99: {seconds:.1f} s of processor time")
    print(f"  {between} finds between 9,000,000 unrelated pairs of rows of two splits")


def sketch(data: Path) -> None:
    """Paint the signs of the shipped fingerprints back: how much of a picture they give away."""
    print("\npictures painted back from what is shipped, against an even grey, dB")
    weights = 1 / np.hypot(*frequencies().T)  # photographs fall with 1/f
    for picture in load_shipped("set5").pictures:
        points, size = picture.points, (picture.height, picture.width)
        painted, total = np.zeros(size), np.full(size, 1e-6)
        for number in np.argsort(-points.sigma):
            signs = np.unpackbits(points.bits[number], bitorder="little") * 2.0 - 1
            waves = (basis() @ (signs * weights)).reshape(16, 16)
            x, y, sigma = (float(values[number]) for values in (points.x, points.y, points.sigma))
            rows = np.arange(max(0, int(y - 6 * sigma)), min(size[0], int(y + 6 * sigma) + 1))
            columns = np.arange(max(0, int(x - 6 * sigma)), min(size[1], int(x + 6 * sigma) + 1))
            places = [
                np.clip(((values - centre) / sigma + 6) * 16 / 12 - 0.5, 0, 15).round().astype(int)
                for values, centre in ((rows, y), (columns, x))
            ]
            near = [np.exp(-0.125 * ((v - c) / sigma) ** 2) for v, c in ((rows, y), (columns, x))]
            weight, box = np.outer(*near) / sigma, np.ix_(rows, columns)
            painted[box] += weight * waves[np.ix_(*places)]
            total[box] += weight
        luma = read_luma(data / "set5/GT" / f"{picture.name.split('/')[1]}.png")
        painted = (painted / total).ravel()
        fit = np.polyval(
            np.polyfit(painted, luma.ravel(), 1), painted
        )  # the best contrast and brightness there are
        errors = [float(np.mean((luma.ravel() - other) ** 2)) for other in (fit, luma.mean())]
        print(
            f"  {picture.name}: "
            + " against ".join(f"{10 * np.log10(255**2 / error):.1f}" for error in errors)
        )


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "../shared/data")
    main(folder)
    many(folder)
    whole_set(folder)
    sketch(folder)
