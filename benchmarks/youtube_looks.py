"""A fetch of whole videos from a site, looked into beside it, against the same one by one: seconds for the same videos.

    python benchmarks/youtube_looks.py CLIP [--videos 8] [--pause 1] [--rounds 3] [--save youtube_looks]

A server on 127.0.0.1 offers the clip under as many ids, yt-dlp brings them with a pause before each. ``one by one`` looks
into a video before the next one is asked for; ``--jobs N`` into N videos at a time, while the next ones come. Rounds take
turns; each is a process with a store of its own.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import stored

PROGRAM = """
import json, resource, sys, time
from concurrent.futures import Future
from pathlib import Path
from sr_datasets import catalog
from sr_datasets.fetch.youtube.download import Manners
from sr_datasets.fetch.youtube.names import Piece
from sr_datasets.ingest import youtube
from sr_datasets.manifest import AddressPattern, Evidence
from sr_datasets.progress import Silent
from sr_datasets.store import Store
from sr_datasets.terms import require_acceptance

class OneByOne:
    def __init__(self, at_once): pass
    def begin(self, work):
        future = Future()
        future.set_result(work())
        return future

address, folder, jobs, videos, pause = sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:5]), float(sys.argv[5])
pattern = AddressPattern(mirrors=(address,), evidence=Evidence(status="SEEN", where="loopback"))
source = catalog.find_source("youtube-bb").model_copy(update={"addresses": {"watch": pattern}})
store = Store(folder)
require_acceptance(source, store, accepted=True)
if not jobs:
    youtube.Aside = OneByOne
clips = tuple(Piece(f"{number:011d}").clip_id for number in range(videos))
wish = youtube.Wish(clips=clips, height=1, any_license=True, manners=Manners(pause_seconds=pause))
start = time.perf_counter()
report = youtube.fetch_youtube(source, wish, store, progress=Silent(), jobs=jobs or 1)
seconds = time.perf_counter() - start
assert [record.clip for record in report.fetched] == list(clips), report
children = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps({"seconds": seconds, "child_mb": children.ru_maxrss / 1024}))
"""


class Quiet(SimpleHTTPRequestHandler):
    """Answers every path with the one file of its folder."""

    def translate_path(self, path: str) -> str:
        """Return where the clip lies."""
        return str(next(Path(self.directory).iterdir()))

    def copyfile(self, source: Any, outputfile: Any) -> None:
        """Send the file, unless its reader has seen enough: yt-dlp looks at its beginning first."""
        with suppress(ConnectionError):
            super().copyfile(source, outputfile)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("clip", type=Path, help="A video file.")
    options.add_argument("--videos", type=int, default=8)
    options.add_argument(
        "--pause", type=float, default=1.0, help="Seconds before each video; people are given 5."
    )
    options.add_argument("--rounds", type=int, default=3)
    stored.save_option(options, "youtube_looks")
    given = options.parse_args()
    ways = {"one by one": 0, "--jobs 1": 1, "--jobs 2": 2}
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    memory = dict.fromkeys(ways, 0.0)
    with tempfile.TemporaryDirectory() as folder:
        offered = Path(folder) / "offered"
        offered.mkdir()
        (offered / f"clip{given.clip.suffix}").write_bytes(given.clip.read_bytes())
        with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(offered))) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            address = f"http://127.0.0.1:{server.server_address[1]}/{{youtube_id}}{given.clip.suffix}"
            for number in range(given.rounds):
                for way, jobs in ways.items():
                    store = Path(folder) / f"store{number}{jobs}"
                    command = [sys.executable, "-c", PROGRAM, address, store, jobs, given.videos, given.pause]
                    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=True)
                    found = json.loads(done.stdout)
                    seconds[way].append(found["seconds"])
                    memory[way] = max(memory[way], found["child_mb"])
            server.shutdown()
    base = statistics.median(seconds["one by one"])
    rows: stored.Table = [["", "seconds, median", "each", "times faster", "largest look, MB"]]
    for way, each in seconds.items():
        median = statistics.median(each)
        rows.append(
            [
                way,
                f"{median:.1f}",
                ", ".join(f"{one:.1f}" for one in each),
                f"{base / median:.2f}",
                f"{memory[way]:.0f}",
            ]
        )
    print("\n".join(stored.markdown_rows(rows)))
    if given.save:
        stored.save(given.save, tables={"seconds": rows})


if __name__ == "__main__":
    main()
