"""Wall time and disk of ``build-pairs`` against the scripts that people write, on the same clips, in one run.

    python benchmarks/build_speed.py --data ../shared/data [--clips 8] [--frames 240] [--skip png calls] [--keep DIR]

Eight 1080p clips, 30 RGB patch pairs of 33x33 LR pixels at x3 from each, MATLAB's bicubic. The clips are the frames of
one real 1080p video, forwards and backwards, each clip shifted by another number of pixels; as y4m and as H.264 (libx264,
medium, CRF 23). What is compared:

- png: ffmpeg writes every frame as PNG, each is resized whole in NumPy, LR and HR crops go to an LMDB of PNG
- calls: ffmpeg is asked for just the sampled frames, one call a frame; whole frames resized in NumPy, then cropped
- pyav: one process seeks and decodes the sampled frames by PyAV, crops with a margin, resizes the crop by NumPy matrices
- torchcodec: the same, frames by ``get_frames_at`` (left out where torchcodec is not installed)
- bytes: the sampled frames' bytes are read out of the y4m, and nothing else is done

``png`` and ``calls`` use as many processes as this tool does there (two); ``pyav`` and ``torchcodec`` one, as it does then.
The page cache is warm for all.
"""

import argparse
import io
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from made_clips import fill_store, write_manifest
from PIL import Image

from sr_datasets.build import build_pairs, choose_pairs, plan_rows
from sr_datasets.catalog import find_recipe
from sr_datasets.degrade import resize_bicubic_pixels
from sr_datasets.store import Store

SCALE, LR = 3, 33
RECIPE = """
{format: 1, id: made, title: Made, clips: ["made/*_KIND"], present_only: true, scale: 3, color: rgb,
 sampling: {kind: uniform, patches_per_pair: ROWS, lr_size: 33}, split: {counts: {train: -1}}, clips_per_shard: SHARD}
"""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--data", type=Path, default=Path("../shared/data"))
    options.add_argument("--clips", type=int, default=8)
    options.add_argument("--frames", type=int, default=240)
    options.add_argument("--skip", nargs="*", choices=("png", "calls"), default=())
    options.add_argument("--keep", type=Path, help="Folder for the clips, to be used again.")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        clips = given.keep or work / "clips"
        make_clips(given.data / "video" / "small_bunny_1080p_60fps.mp4", clips, given.clips, given.frames)
        os.environ["XDG_CONFIG_HOME"] = str(work / "config")
        write_manifest(work / "config")
        store = fill_store(work / "store", sorted(clips.iterdir()))
        print(f"{given.clips} clips of 1920x1080, {given.frames} frames, {os.cpu_count()} cores")
        for kind in ("y4m", "h264"):
            compare(work, store, kind, skip=given.skip)
        compare_bytes(work, store)


def make_clips(video: Path, folder: Path, num_clips: int, num_frames: int) -> None:
    """Write each clip as y4m, then code it; what is there already is kept."""
    folder.mkdir(parents=True, exist_ok=True)
    with av.open(str(video)) as container:
        frames = [frame.to_ndarray(format="yuv420p") for frame in container.decode(video=0)]
    order = [*range(len(frames)), *reversed(range(1, len(frames) - 1))]
    for clip in range(num_clips):
        plain, coded = folder / f"clip{clip}_y4m.y4m", folder / f"clip{clip}_h264.mp4"
        if not plain.exists():
            with plain.open("wb") as file:
                file.write(b"YUV4MPEG2 W1920 H1080 F60:1 Ip A1:1\n")
                for number in range(num_frames):
                    shifted = np.roll(frames[order[number % len(order)]], 16 * clip, axis=1)
                    file.write(b"FRAME\n" + shifted.tobytes())
        if not coded.exists():
            run(["ffmpeg", "-i", plain, "-c:v", "libx264", "-preset", "medium", "-crf", "23", coded])


def compare(work: Path, store: Store, kind: str, *, skip: Sequence[str]) -> None:
    recipe = recipe_of(work, kind, rows=30, shard=8)
    # One clip a shard, so that two workers share eight clips evenly.
    shared = recipe.model_copy(update={"clips_per_shard": 1})
    plans = []
    for pair in choose_pairs(recipe, store).pairs:
        rows = [(row.frame_indices[0], row.top, row.left) for row in plan_rows(recipe, pair.record)]
        plans.append((store.path_of(pair.record), pair.record.info.frame_rate, rows))
    print(f"\n{kind}: {sum(path.stat().st_size for path, _, _ in plans) / 1e9:.2f} GB")
    ours, disk, _ = build(work, shared, store, workers=2)
    alone, _, stages = build(work, recipe, store, workers=1)
    total = sum(seconds for stage, seconds in stages.items() if stage != "wall")
    parts = ", ".join(
        f"{stage} {seconds / total:.0%}" for stage, seconds in stages.items() if stage != "wall"
    )
    print(f"  {'sr-data, 2 workers':22} {ours:8.2f} s   {disk / 1e6:9.1f} MB written")
    print(f"  {'sr-data, 1 worker':22} {alone:8.2f} s   ({parts})")
    if "png" not in skip:
        # Every frame becomes two PNG, so this is proportional to --frames: run it with few.
        report("png", *png_recipe(work, plans), ours=ours, our_disk=disk)
    if "calls" not in skip:
        report("calls", *parallel(careful_calls, work, plans), ours=ours, our_disk=disk)
    report("pyav", *timed(pyav_script, work, plans), ours=alone, our_disk=disk)
    try:
        import torchcodec  # noqa: F401
    except (ImportError, RuntimeError, OSError) as error:
        print(f"  torchcodec left out: {str(error).splitlines()[0]}")
    else:
        report("torchcodec", *timed(torchcodec_script, work, plans), ours=alone, our_disk=disk)


def recipe_of(work: Path, kind: str, *, rows: int, shard: int):
    path = work / "made.yaml"
    path.write_text(RECIPE.replace("KIND", kind).replace("ROWS", str(rows)).replace("SHARD", str(shard)))
    return find_recipe(str(path))


def build(work: Path, recipe, store: Store, *, workers: int) -> tuple[float, int, dict[str, float]]:
    """Return seconds (the better of two runs), bytes written, and seconds by stage; starting workers is counted."""
    out = work / "set"
    runs = []
    for _ in range(2):
        shutil.rmtree(out, ignore_errors=True)
        start = time.perf_counter()
        made = build_pairs(recipe, out_dir=out, store=store, workers=workers)
        runs.append((time.perf_counter() - start, made.seconds))
    seconds, stages = min(runs, key=lambda run: run[0])
    return seconds, size_of(out), stages


def report(name: str, seconds: float, disk: int, *, ours: float, our_disk: int) -> None:
    print(
        f"  {name:22} {seconds:8.2f} s   {disk / 1e6:9.1f} MB written   {seconds / ours:7.1f} times the time, "
        f"{disk / our_disk:.0f} times the disk"
    )


def timed(function, work: Path, plans) -> tuple[float, int]:
    out = work / "other"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    start = time.perf_counter()
    for plan in plans:
        function(out, *plan)
    return time.perf_counter() - start, size_of(out)


def parallel(function, work: Path, plans) -> tuple[float, int]:
    out = work / "other"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    start = time.perf_counter()
    with ProcessPoolExecutor(2) as pool:
        for done in [pool.submit(function, out, *plan) for plan in plans]:
            done.result()
    return time.perf_counter() - start, size_of(out)


def png_recipe(work: Path, plans) -> tuple[float, int]:
    import lmdb

    seconds, _ = parallel(png_frames, work, plans)
    start = time.perf_counter()
    with lmdb.open(str(work / "other" / "lmdb"), map_size=1 << 34) as base, base.begin(write=True) as text:
        for path, _, rows in plans:
            for number, (frame, top, left) in enumerate(rows):
                name = f"{frame + 1:06d}.png"
                for what, scale in (("hr", SCALE), ("lr", 1)):
                    box = (left * scale, top * scale, (left + LR) * scale, (top + LR) * scale)
                    with Image.open(work / "other" / path.stem / what / name) as picture:
                        packed = io.BytesIO()
                        picture.crop(box).save(packed, "PNG")
                    text.put(f"{path.stem}/{number}/{what}".encode(), packed.getvalue())
    return seconds + time.perf_counter() - start, size_of(work / "other")


def png_frames(out: Path, path: Path, rate: Fraction, rows) -> None:
    for what in ("hr", "lr"):
        (out / path.stem / what).mkdir(parents=True)
    run(["ffmpeg", "-i", path, "-pix_fmt", "rgb24", out / path.stem / "hr" / "%06d.png"])
    for picture in sorted((out / path.stem / "hr").iterdir()):
        lr = resized(np.asarray(Image.open(picture)).transpose(2, 0, 1))
        Image.fromarray(lr.transpose(1, 2, 0)).save(out / path.stem / "lr" / picture.name)


def careful_calls(out: Path, path: Path, rate: Fraction, rows) -> None:
    pairs = []
    for frame, top, left in rows:
        # Half a frame before its time, so that rounding cannot take the next one.
        at = max(0.0, float((frame - Fraction(1, 2)) / rate))
        raw = run(
            [
                "ffmpeg",
                "-ss",
                f"{at:.6f}",
                "-i",
                path,
                "-frames:v",
                "1",
                "-pix_fmt",
                "rgb24",
                "-f",
                "rawvideo",
                "-",
            ]
        )
        hr = np.frombuffer(raw, np.uint8).reshape(1080, 1920, 3).transpose(2, 0, 1)
        pairs.append(cropped(hr, resized(hr), top, left))
    save(out, path, pairs)


def pyav_script(out: Path, path: Path, rate: Fraction, rows) -> None:
    pairs = {}
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        shown = None
        frames = iter(())
        for number, (frame, top, left) in sorted(enumerate(rows), key=lambda item: item[1]):
            pts = int(frame / rate / stream.time_base)
            if shown is None or frame > shown + 30:
                container.seek(pts, stream=stream)
                frames = container.decode(stream)
            while shown != frame:
                decoded = next(frames)
                shown = round(decoded.pts * stream.time_base * rate)
                if shown > frame:
                    container.seek(max(0, pts - int(1 / stream.time_base)), stream=stream)
                    frames = container.decode(stream)
            pairs[number] = near(decoded.to_ndarray(format="rgb24"), top, left)
    save(out, path, [pairs[number] for number in range(len(rows))])


def torchcodec_script(out: Path, path: Path, rate: Fraction, rows) -> None:
    from torchcodec.decoders import VideoDecoder

    # One FFmpeg thread, as its own default is, and as the other one-process scripts have.

    order = sorted(range(len(rows)), key=lambda number: rows[number])
    decoder = VideoDecoder(str(path), dimension_order="NHWC")
    pairs = {}
    for start in range(0, len(order), 10):  # ten RGB frames of 1080p at a time: 62 MB
        some = order[start : start + 10]
        batch = decoder.get_frames_at([rows[number][0] for number in some])
        for number, picture in zip(some, batch.data.numpy(), strict=True):
            pairs[number] = near(picture, *rows[number][1:])
    save(out, path, [pairs[number] for number in range(len(rows))])


def near(picture, top: int, left: int):
    """Crop with a margin that the filter needs, then resize by one matrix an axis."""
    margin = 3
    first, last = max(0, top - margin), min(1080 // SCALE, top + LR + margin)
    begin, end = max(0, left - margin), min(1920 // SCALE, left + LR + margin)
    part = picture[first * SCALE : last * SCALE, begin * SCALE : end * SCALE].astype(np.float64)
    lr = matrix(last - first) @ part.transpose(2, 0, 1) @ matrix(end - begin).T
    lr = np.clip(np.floor(lr + 0.5), 0, 255).astype(np.uint8)
    lr = lr[:, top - first : top - first + LR, left - begin : left - begin + LR]
    hr = picture[top * SCALE : (top + LR) * SCALE, left * SCALE : (left + LR) * SCALE].transpose(2, 0, 1)
    return hr.copy(), lr


def matrix(size: int, made: dict[int, np.ndarray] = {}) -> np.ndarray:  # noqa: B006 - a cache
    if size not in made:
        made[size] = np.stack(
            [resize_bicubic_pixels_row(size, place) for place in range(size * SCALE)],
            axis=1,
        )
    return made[size]


def resize_bicubic_pixels_row(size: int, place: int) -> np.ndarray:
    from sr_datasets.degrade import resize_bicubic

    line = np.zeros((1, size * SCALE, 1))
    line[0, place] = 1
    return resize_bicubic(line, size, 1)[0, :, 0]


def resized(hr: np.ndarray) -> np.ndarray:
    return resize_bicubic_pixels(hr, hr.shape[1] // SCALE, hr.shape[2] // SCALE)


def cropped(hr: np.ndarray, lr: np.ndarray, top: int, left: int):
    hr_box = hr[:, top * SCALE : (top + LR) * SCALE, left * SCALE : (left + LR) * SCALE]
    return hr_box.copy(), lr[:, top : top + LR, left : left + LR].copy()


def save(out: Path, path: Path, pairs) -> None:
    np.savez(out / path.stem, hr=np.stack([hr for hr, _ in pairs]), lr=np.stack([lr for _, lr in pairs]))


def compare_bytes(work: Path, store: Store) -> None:
    """240 rows out of one y4m against reading the bytes of their frames alone."""
    for color in ("y", "rgb"):
        compare_bytes_in(work, store, color)
    print(f"peak memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


def compare_bytes_in(work: Path, store: Store, color: str) -> None:
    recipe = recipe_of(work, "y4m", rows=240, shard=1).model_copy(update={"limit": 1, "color": color})
    (pair,) = choose_pairs(recipe, store).pairs
    wanted = sorted({row.frame_indices[0] for row in plan_rows(recipe, pair.record)})
    best = {"build": float("inf"), "read": float("inf")}
    for _ in range(5):
        best["build"] = min(best["build"], build(work, recipe, store, workers=1)[0])
        start = time.perf_counter()
        with store.path_of(pair.record).open("rb", buffering=0) as file:
            for frame in wanted:
                file.seek(36 + frame * (6 + 1920 * 1080 * 3 // 2))
                file.read(6 + 1920 * 1080 * 3 // 2)
        best["read"] = min(best["read"], time.perf_counter() - start)
    print(
        f"\n240 rows ({color}) of one y4m of {pair.record.info.num_frames} frames: {best['build']:.3f} s; reading the "
        f"bytes of their {len(wanted)} frames: {best['read']:.3f} s: {best['build'] / best['read']:.1f} times"
    )


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def run(command: list[object]) -> bytes:
    done = subprocess.run(
        [*map(str, command[:1]), "-nostdin", "-v", "error", "-y", *map(str, command[1:])],
        stdout=subprocess.PIPE,
        check=True,
    )
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
