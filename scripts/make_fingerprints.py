"""Makes the fingerprints of public test sets that come with the package (src/sr_datasets/audit/shipped).

Run: PYTHONPATH=src python scripts/make_fingerprints.py [DATA], where DATA is the folder of real test material. The
pictures themselves are not shipped: a file holds places, scales and signs of interest points, the version of the tool
that made it, and the SHA-256 of every file it was made of.
"""

import sys
from pathlib import Path

from sr_datasets import __version__
from sr_datasets.audit.fingerprints import fingerprint_clip, write_fingerprints
from sr_datasets.files import human_bytes, sha256_of
from sr_datasets.video import probe

OUT = Path(__file__).parents[1] / "src" / "sr_datasets" / "audit" / "shipped"


def make(name: str, clips: dict[str, Path], holds: str) -> None:
    """Fingerprint the clips of one test set."""
    pictures, sources = [], {}
    for clip, path in clips.items():
        pictures += fingerprint_clip(f"{name}/{clip}", path, probe(path))
        files = sorted(path.glob("*.png")) if path.is_dir() else [path]
        sources |= {f"{clip}/{file.name}" if path.is_dir() else file.name: sha256_of(file) for file in files}
    frames = f", {len(pictures)} frames" if any(one.frame is not None for one in pictures) else ""
    about = {"tool": f"sr-datasets {__version__}", "holds": f"{holds}{frames}", "sha256": sources}
    path = OUT / f"{name}.npz"
    write_fingerprints(path, pictures, about)
    points = sum(len(one.points) for one in pictures)
    print(f"{path.name}: {len(pictures)} pictures, {points} points, {human_bytes(path.stat().st_size)}")


if __name__ == "__main__":
    data = Path(sys.argv[1] if len(sys.argv) > 1 else "../shared/data")
    make("set5", {path.stem: path for path in sorted((data / "set5/GT").glob("*.png"))}, "all five pictures")
    make(
        "vid4",
        {clip: data / "vid4" / clip / "GT" for clip in ("calendar", "foliage")},
        "calendar and foliage",
    )
