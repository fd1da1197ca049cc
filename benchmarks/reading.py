"""Reads 30 random frames of a 1080p clip, by this package and by others: ``python benchmarks/reading.py``.

The clip is made once in a temporary folder (or ``--folder``): 500 frames of a real clip going to and fro, as y4m and as
H.264 of libx264's defaults (GOP of 250). torchcodec is compared with where it is installed.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.frame import PictureType

from sr_datasets.video import open_clip, probe
from sr_datasets.video.compressed import CompressedReader

NUM_FRAMES, NUM_WANTED = 500, 30
HEADER = b"YUV4MPEG2 W1920 H1080 F60:1 Ip A1:1 C420mpeg2\n"
FRAME_BYTES = 1920 * 1080 * 3 // 2


def make_clips(source: Path, folder: Path) -> tuple[Path, Path]:
    """Write the y4m and the mp4, once."""
    y4m, mp4 = folder / "clip.y4m", folder / "clip.mp4"
    if y4m.exists() and mp4.exists():
        return y4m, mp4
    info = probe(source)
    with open_clip(source, info) as reader:
        frames = [
            b"".join(plane.tobytes() for plane in f.planes) for f in reader.frames(range(info.num_frames))
        ]
    there_and_back = itertools.cycle([*frames, *frames[-2:0:-1]])
    with y4m.open("wb") as file:
        file.write(HEADER)
        for data in itertools.islice(there_and_back, NUM_FRAMES):
            file.write(b"FRAME\n" + data)
    with av.open(str(y4m)) as given, av.open(str(mp4), "w") as container:
        how = {"preset": "veryfast", "crf": "20", "g": "250", "bf": "3", "b-pyramid": "normal"}
        stream = container.add_stream("libx264", rate=Fraction(60), options=how)
        stream.width, stream.height, stream.pix_fmt = 1920, 1080, "yuv420p"
        for frame in given.decode(video=0):
            frame.pict_type = PictureType.NONE  # raw frames are all marked as keyframes
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return y4m, mp4


def sequential(path: Path, wanted: list[int]) -> str:
    """Decode from the start up to the last wanted frame with PyAV."""
    chosen = set(wanted)
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        for number, frame in enumerate(container.decode(video=0)):
            if number in chosen:
                frame.to_ndarray()
            if number == wanted[-1]:
                break
    return f"{wanted[-1] + 1} decoded"


def by_torchcodec(path: Path, wanted: list[int]) -> str:
    """Take the frames with torchcodec's ``get_frames_at``."""
    from torchcodec.decoders import VideoDecoder

    VideoDecoder(str(path), num_ffmpeg_threads=1).get_frames_at(wanted)
    return ""


def whole_frames(path: Path, wanted: list[int]) -> str:
    """Read the bytes of the wanted frames, as ``dd`` would."""
    data = np.empty(FRAME_BYTES, np.uint8)
    with path.open("rb", buffering=0) as file:
        for index in wanted:
            os.preadv(file.fileno(), [data.data], len(HEADER) + index * (6 + FRAME_BYTES) + 6)
    return ""


def main() -> None:
    """Print one line for each way and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path, help="A 1080p clip, such as small_bunny_1080p_60fps.mp4.")
    parser.add_argument("--folder", type=Path, help="Where the clips are made and kept.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        y4m, mp4 = make_clips(options.source, folder)
        infos = {path: probe(path) for path in (y4m, mp4)}

        def ours(path: Path, wanted: list[int]) -> str:
            with open_clip(path, infos[path]) as reader:
                for frame in reader.frames(wanted):
                    frame.planes[0][400:550, 800:950].copy()
                return f"{reader.frames_decoded} decoded" if isinstance(reader, CompressedReader) else ""

        ways: list[tuple[str, Callable[[Path, list[int]], str], Path]] = [
            ("h264 sr_datasets", ours, mp4),
            ("h264 torchcodec", by_torchcodec, mp4),
            ("h264 PyAV in order", sequential, mp4),
            ("y4m sr_datasets, a window", ours, y4m),
            ("y4m bytes of the frames", whole_frames, y4m),
            ("y4m PyAV in order", sequential, y4m),
        ]
        for draw in range(-1, 3):  # the first is for imports and caches, and is not shown
            wanted = sorted(random.Random(max(draw, 0)).sample(range(NUM_FRAMES), NUM_WANTED))
            for name, read, path in ways:
                wall, spent = time.perf_counter(), time.process_time()
                try:
                    said = read(path, wanted)
                except (ImportError, OSError, RuntimeError) as error:
                    said = f"left out: {type(error).__name__}"
                wall, spent = time.perf_counter() - wall, time.process_time() - spent
                if draw >= 0:
                    print(f"{name:28}{wall:8.3f} s{spent:8.3f} s of processor  {said}")


if __name__ == "__main__":
    main()
