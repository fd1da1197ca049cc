"""What the constants say of a collection of months: machines, days, storage, traffic, and which part of it comes first.

What is published of a collection and what is assumed stand apart, in ``Campaign``; the rest is arithmetic.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from cost_model import ClipKind, Costs, look_seconds, predict_task

DAY = 86_400.0
Divided: TypeAlias = Literal["cores", "machines", "jobs", "nothing"]


@dataclass(frozen=True, slots=True)
class Scale:
    """What grows with the clips of one data folder, or with the rows of one set; seconds and bytes."""

    put: float
    """Seconds to note one clip in the data folder (``sr-data.lock.journal``)."""
    put_read: float
    """Seconds to read ``sr-data.lock``, for each clip of it: when a command begins."""
    put_write: float
    """Seconds to write it, for each: when a command ends, and when the journal has as many records."""
    ledger: float
    """Seconds to note one video in ``availability.parquet.journal``;"""
    ledger_read: float
    """to read ``availability.parquet``, for each video of it;"""
    ledger_write: float
    """to write it."""
    record_bytes: float
    """Memory of a process that has read the records, for each of them."""
    lock_bytes: float
    """Bytes of ``sr-data.lock`` for each clip."""
    plan_clip: float
    """Seconds to choose a clip and plan its rows, one process."""
    yt_dlp: float
    """Processor seconds to start yt-dlp."""
    recode: float
    """Processor seconds a megapixel to decode H.264 and code it as FFV1."""
    index_row: float
    """Seconds to write a row's line of the index."""
    index_bytes: float
    """Bytes of that line."""


@dataclass(frozen=True, slots=True)
class Campaign:
    """One collection: what is there, what is wanted of it, and what it is done with."""

    title: str
    clips: int
    """Videos, or pieces of videos."""
    seconds: float
    """Mean length of a clip."""
    codec: str = "h264"
    """Codec of what comes over the network."""
    width: int = 1280
    height: int = 720
    rate: float = 30
    """Frames a second."""
    gop_seconds: float = 2
    """Time from one keyframe to the next."""
    mbit_s: float = 2
    """Megabits a second of what comes over the network, of codecs with loss."""
    arrives: float = 1
    """Share of the clips that are still there."""
    recoded: bool = False
    """Whether clips are pieces, which are coded again as FFV1."""
    from_site: bool = True
    """Whether clips are asked for one by one, with pauses, as of YouTube."""
    pause: float = 5
    """Seconds before each video (``Manners.pause_seconds``)."""
    requests: int = 4
    """Requests that one video takes, a second apart (``Manners.request_pause_seconds``)."""
    commands: int = 1000
    """Fetches of a site, one after another, that bring the clips."""
    lookups: float = 0
    """Seconds to look up the id of a video."""
    rows: int = 30
    """Rows of a clip."""
    row_samples: int = 33 * 33 * 10
    """Samples of LR and HR in a row."""
    clips_per_shard: int = 256
    machines: int = 10
    cores: int = 16
    """Cores of each machine."""
    machine_mbit_s: float = 1000
    """Network of each machine."""

    @property
    def kind(self) -> ClipKind:
        """What the model is told of a clip as it comes."""
        return ClipKind(
            self.codec,
            self.width,
            self.height,
            round(self.seconds * self.rate),
            max(1, round(self.gop_seconds * self.rate)),
        )

    @property
    def stored_kind(self) -> ClipKind:
        """What the model is told of a clip as it lies in the data folder."""
        return replace(self.kind, codec="ffv1", gop=1) if self.recoded else self.kind


@dataclass(frozen=True, slots=True)
class Item:
    """One part of the work."""

    name: str
    amount: str
    """How much of it there is, in words."""
    days: float
    """How long it takes with the campaign's machines, if nothing else is done."""
    shared: Divided
    """What it is divided by."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a campaign takes."""

    items: tuple[Item, ...]
    clips: float
    """Clips that come."""
    rows: float
    download_bytes: float
    """What comes over the network."""
    store_bytes: float
    """The data folder."""
    set_bytes: float
    """The shards."""
    index_bytes: float
    shards: int
    driver_bytes: float
    """Memory of a process that knows every clip."""
    fetch_days: float
    """Days of all that comes before the plan. Of a site: its videos one after another, or the looks into them where those take
    longer, since they go on beside."""
    build_days: float
    """Days of the rest."""

    @property
    def first(self) -> Item:
        """The part that takes longest: the first bottleneck."""
        return max(self.items, key=lambda item: item.days)


def plan(campaign: Campaign, costs: Costs, scale: Scale) -> Plan:
    """Return what a campaign takes."""
    clips = campaign.clips * campaign.arrives
    kind, stored = campaign.kind, campaign.stored_kind
    codec = costs.codecs[stored.codec]
    pixels = kind.mpx * kind.num_frames
    lossless = costs.codecs[kind.codec].coded_bytes * pixels
    coded = lossless if kind.codec in ("y4m", "ffv1") else campaign.mbit_s * 1e6 / 8 * campaign.seconds
    stored_bytes = codec.coded_bytes * pixels if campaign.recoded else coded
    task = predict_task(costs, [stored], campaign.rows, row_samples=campaign.row_samples)
    seconds = task.seconds | {
        "rest": costs.rest_clip + costs.rest_row * campaign.rows + costs.rest_shard / campaign.clips_per_shard
    }
    rows, shards = clips * campaign.rows, -(-int(clips) // campaign.clips_per_shard)
    items = []

    def add(name: str, seconds: float, shared: Divided) -> None:
        by, unit = {
            "cores": (campaign.machines * campaign.cores, "core-days"),
            "machines": (campaign.machines, "days of one machine"),
            "jobs": (campaign.cores, "core-days"),
            "nothing": (1, "days of one process"),
        }[shared]
        items.append(Item(name, f"{in_words(seconds / DAY)} {unit}", seconds / by / DAY, shared))

    # `sr-data fetch` takes videos of a site one after another, and looks into those that came meanwhile, `--jobs` at a
    # time; other fetches can be divided.
    fetching: Divided = "nothing" if campaign.from_site else "cores"
    if campaign.from_site:
        pauses = campaign.pause + campaign.requests + campaign.lookups
        add("pauses that the site is owed", campaign.clips * pauses, "nothing")
    add(
        "network",
        clips * coded * 8 / (campaign.machine_mbit_s * 1e6),
        "nothing" if campaign.from_site else "machines",
    )
    if campaign.from_site:
        add("start yt-dlp", campaign.clips * scale.yt_dlp, fetching)
    add("receive, hash, write", clips * (costs.fetch_file + costs.fetch_byte * coded), fetching)
    if campaign.recoded:
        add("code pieces as FFV1", clips * scale.recode * pixels, fetching)
    one_by_one = sum(item.days for item in items)
    add(
        "look: decode every frame",
        clips * look_seconds(costs, stored),
        "jobs" if campaign.from_site else "cores",
    )
    beside = min(one_by_one, items[-1].days) if campaign.from_site else 0.0
    if campaign.from_site:
        # A list is written at twice, four times, eight times its size, and once more by each command.
        noted = clips * (scale.put + 2 * scale.put_write)
        noted += campaign.clips * (scale.ledger + 2 * scale.ledger_write)
        add("note each clip in one data folder", noted, "nothing")
        lists = clips * (scale.put_read + scale.put_write)
        lists += campaign.clips * (scale.ledger_read + scale.ledger_write)
        add("read and write the lists, each command", campaign.commands * lists / 2, "nothing")
    num_fetching = len(items)
    add("plan", clips * scale.plan_clip, "nothing")
    for name in ("decode", "degrade", "write", "rest"):
        words = {
            "decode": "decode the rows' frames",
            "degrade": "degrade",
            "write": "write",
            "rest": "plan again, hash, sync",
        }
        add(f"build: {words[name]}", clips * seconds[name], "cores")
    add("write the index", rows * scale.index_row, "nothing")
    return Plan(
        tuple(items),
        clips=clips,
        rows=rows,
        download_bytes=clips * coded,
        store_bytes=clips * stored_bytes,
        set_bytes=costs.shard_bytes * shards
        + costs.clip_bytes * clips
        + (costs.row_bytes + campaign.row_samples) * rows,
        index_bytes=scale.index_bytes * rows,
        shards=shards,
        driver_bytes=clips * scale.record_bytes,
        fetch_days=sum(item.days for item in items[:num_fetching]) - beside,
        build_days=sum(item.days for item in items[num_fetching:]),
    )


def in_words(value: float) -> str:
    """Return a number with about three digits.

    Example:
        >>> [in_words(one) for one in (0.01234, 1.234, 56.78, 1234.5)]
        ['0.012', '1.2', '57', '1,234']
    """
    if value >= 10:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 1 else f"{value:.2g}"


def bytes_in_words(size: float) -> str:
    """Return bytes in the unit that fits."""
    for unit, factor in (("PB", 1e15), ("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if size >= factor:
            return f"{in_words(size / factor)} {unit}"
    return f"{size:,.0f} bytes"


def table_of(campaign: Campaign, found: Plan) -> list[list[str | int | float]]:
    """Return the parts of a campaign as a table, the longest marked, and its bytes below."""
    shared = {
        "cores": f"{campaign.machines * campaign.cores} cores",
        "machines": f"{campaign.machines} machines",
        "jobs": f"{campaign.cores} cores of one machine",
        "nothing": "nothing",
    }
    rows: list[list[str | int | float]] = [["part", "how much", "shared by", "days"]]
    for item in found.items:
        first = item is found.first
        rows.append(
            [
                item.name,
                item.amount,
                shared[item.shared],
                f"**{in_words(item.days)}**" if first else in_words(item.days),
            ]
        )
    rows += [
        ["fetch, all of its parts", "", "", in_words(found.fetch_days)],
        ["build, all of its parts", "", "", in_words(found.build_days)],
        ["over the network", bytes_in_words(found.download_bytes), "", ""],
        ["data folder", bytes_in_words(found.store_bytes), "", ""],
        [
            "set",
            f"{bytes_in_words(found.set_bytes)} in {found.shards:,} shards, {in_words(found.rows / 1e6)} million rows",
            "",
            "",
        ],
        ["index", bytes_in_words(found.index_bytes), "", ""],
        ["memory of a process that knows every clip", bytes_in_words(found.driver_bytes), "", ""],
    ]
    return rows


# Numbers of videos, pieces and their lengths are published (docs/costs.md has the evidence); the rest is assumed.
YOUTUBE_8M = Campaign("YouTube-8M", clips=6_100_000, seconds=240, lookups=0.1)
YOUTUBE_BB = Campaign("YouTube-BoundingBoxes", clips=380_000, seconds=19, recoded=True)
CAMPAIGNS: Sequence[Campaign] = (YOUTUBE_8M, YOUTUBE_BB)
