"""What ``benchmarks/costs.py`` measured, as the tables of docs/costs.md."""

import statistics
from dataclasses import replace
from typing import Any

import stored
from cost_campaigns import CAMPAIGNS, Campaign, Scale, bytes_in_words, in_words, plan, table_of
from cost_clips import SIZES
from cost_model import ClipKind, Costs, predict_fetch, predict_task

ROWS, CLIPS_PER_SHARD = 30, 8
STAGES = ("decode", "degrade", "write", "rest")


def fetch_rows(found: dict[str, Any]) -> list[tuple[str, float, float]]:
    """Return name, prediction and measurement of each figure of a round of fetching."""
    said = sum(found["predicted"].values())
    return [("fetch and look, processor s", said, found["measured"]["processor"])]


def build_rows(found: dict[str, Any]) -> list[tuple[str, float, float]]:
    """Return name, prediction and measurement of each figure of a round of building: seconds, megabytes."""
    rows = []
    for workers in ("1", "2"):
        said, was = found["predicted"][workers], found["measured"][workers]
        by = "1 worker" if workers == "1" else "2 workers"
        rows.append((f"build, {by}, processor s", said["processor"], was["processor"]))
        if workers == "1":  # the stages of several workers are known in wall seconds only
            rows += [(f"of it {name}", said["seconds"][name], was["seconds"][name]) for name in STAGES]
        rows.append((f"build, {by}, wall s", said["process"], was["process"]))
    size = found["predicted"]["1"]["size_bytes"], found["measured"]["1"]["size_bytes"]
    return [*rows, ("shards, MB", size[0] / 1e6, size[1] / 1e6)]


def tables_of(
    builds: list[dict[str, Any]], fetches: list[dict[str, Any]], costs: Costs, scale: Scale
) -> dict[str, stored.Table]:
    """Return every table of the page."""
    return {
        **derived_tables(costs, scale),
        "check": check_table([build_rows(one) for one in builds]),
        "check of fetching": check_table([fetch_rows(one) for one in fetches]),
        "memory": memory_table(builds),
    }


def derived_tables(costs: Costs, scale: Scale) -> dict[str, stored.Table]:
    """Return the tables that are arithmetic on the constants."""
    tables: dict[str, stored.Table] = {
        "codecs": codec_table(costs),
        "clips": clip_table(costs),
        "rest": rest_table(costs),
        "growth": growth_table(scale),
    }
    for campaign in CAMPAIGNS:
        name = campaign.title.lower()
        tables[name] = table_of(campaign, plan(campaign, costs, scale))
        tables[f"{name} otherwise"] = otherwise_table(campaign, costs, scale)
    return tables


def codec_table(costs: Costs) -> stored.Table:
    """Return decoding and looking: milliseconds a clip, a frame gone over, a megapixel gone over and handed out."""
    rows: stored.Table = [
        [
            "codec", "decode: a clip, ms", "a frame, us", "gone over, ms/Mpx", "handed out, ms/Mpx",
            "look: a clip, ms", "a frame, us", "ms/Mpx", "coded, kB/Mpx",
        ]
    ]  # fmt: skip
    for name, one in costs.codecs.items():
        decode = (one.opened * 1e3, one.frame * 1e6, one.stepped * 1e3, one.taken * 1e3)
        look = (one.probe_opened * 1e3, one.probe_frame * 1e6, one.probed * 1e3)
        rows.append([name, *(f"{value:,.2f}" for value in (*decode, *look)), f"{one.coded_bytes / 1e3:,.1f}"])
    return rows


def clip_table(costs: Costs) -> stored.Table:
    """Return seconds and bytes of one clip of 10 s, 30 frames a second, a keyframe every 2 s, by stage."""
    rows: stored.Table = [
        [
            "codec",
            "size",
            "fetch, ms",
            "look, ms",
            "decode, ms",
            "degrade, ms",
            "write, ms",
            "rest, ms",
            "clip, MB",
            "rows, MB",
        ]
    ]
    for name, codec in costs.codecs.items():
        for size, (width, height) in SIZES.items():
            if size == "480p":
                continue
            clip = ClipKind(name, width, height, 300, 1 if name in ("y4m", "ffv1") else 60)
            size_bytes = codec.coded_bytes * clip.mpx * clip.num_frames
            fetched = predict_fetch(costs, [clip], [round(size_bytes)])
            task = predict_task(costs, [clip] * CLIPS_PER_SHARD, ROWS)
            seconds = [
                fetched["bytes"] - costs.fetch_start,
                fetched["probe"],
                *(task.seconds[stage] / CLIPS_PER_SHARD for stage in STAGES),
            ]
            rows.append(
                [
                    name,
                    size,
                    *(f"{one * 1e3:,.1f}" if one < 0.1 else f"{one * 1e3:,.0f}" for one in seconds),
                    f"{size_bytes / 1e6:,.2f}",
                    f"{task.size_bytes / CLIPS_PER_SHARD / 1e6:.3f}",
                ]
            )
    return rows


def rest_table(costs: Costs) -> stored.Table:
    return [
        ["what", "once", "a shard", "a clip", "a row"],
        ["degrade, ms", "", "", f"{costs.degrade_clip * 1e3:.3f}", f"{costs.degrade_row * 1e3:.3f}"],
        ["write, ms", "", "", f"{costs.write_clip * 1e3:.3f}", f"{costs.write_row * 1e3:.4f}"],
        [
            "rest of a shard (plan, footer, hash, sync), ms",
            "",
            *(f"{one * 1e3:.3f}" for one in (costs.rest_shard, costs.rest_clip, costs.rest_row)),
        ],
        [
            "build beside its shards (choose, plan, index, cards), ms",
            f"{costs.driver * 1e3:.0f}",
            "",
            f"{costs.driver_clip * 1e3:.3f}",
            f"{costs.driver_row * 1e3:.4f}",
        ],
        ["start of a process, ms", f"{costs.start * 1e3:.0f}", "", "", ""],
        ["start of two workers, ms", f"{costs.workers_start * 1e3:.0f}", "", "", ""],
        ["task beside another worker, times", f"{costs.slowdown:.3f}", "", "", ""],
        [
            f"bytes in shards, beside {costs.row_samples:,} samples a row",
            "",
            f"{costs.shard_bytes:,.0f}",
            f"{costs.clip_bytes:,.0f}",
            f"{costs.row_bytes:,.0f}",
        ],
        [
            "fetch, processor ms (and a GB)",
            f"({costs.fetch_byte * 1e12:,.0f})",
            "",
            f"{costs.fetch_file * 1e3:.2f}",
            "",
        ],
    ]


def growth_table(scale: Scale) -> stored.Table:
    return [
        ["what", "by itself", "for each clip that is there"],
        ["note a clip in sr-data.lock.journal", f"{scale.put * 1e3:.1f} ms", ""],
        ["note a video in availability.parquet.journal", f"{scale.ledger * 1e3:.1f} ms", ""],
        ["read sr-data.lock when a command begins", "", f"{scale.put_read * 1e6:.1f} us"],
        ["write sr-data.lock when a command ends", "", f"{scale.put_write * 1e6:.1f} us"],
        ["read availability.parquet", "", f"{scale.ledger_read * 1e6:.1f} us"],
        ["write availability.parquet", "", f"{scale.ledger_write * 1e6:.1f} us"],
        ["sr-data.lock", "", f"{scale.lock_bytes:,.0f} bytes"],
        ["memory of a process that chose and planned", "", f"{scale.record_bytes:,.0f} bytes"],
        ["read the records, choose, plan 30 rows a clip", "", f"{scale.plan_clip * 1e3:.2f} ms"],
        ["start yt-dlp", f"{scale.yt_dlp:.2f} s", ""],
        ["code a piece as FFV1, H.264 decoded", f"{scale.recode * 1e3:.1f} ms/Mpx", ""],
        ["write a line of the index", f"{scale.index_row * 1e6:.1f} us, {scale.index_bytes:.1f} bytes", ""],
    ]


def check_table(rounds: list[list[tuple[str, float, float]]]) -> stored.Table:
    """Return prediction, measurement and error of each figure, round by round."""
    heads = (
        f"{what} {number}"
        for number in range(1, len(rounds) + 1)
        for what in ("predicted", "measured", "error")
    )
    rows: stored.Table = [["round", *heads]]
    for lines in zip(*rounds, strict=True):
        cells: list[stored.Cell] = [lines[0][0]]
        for _, said, was in lines:
            cells += [f"{said:.2f}", f"{was:.2f}", f"{(said / was - 1) * 100:+.1f} %"]
        rows.append(cells)
    return rows


def memory_table(builds: list[dict[str, Any]]) -> stored.Table:
    """Return peaks of the small builds, which predict those of the large one, and of that."""
    rows: stored.Table = [["peak memory, MB", "24 clips", "240 clips"]]
    for what, key, workers, of in (
        ("one worker", "one", "1", "peak"),
        ("two workers: the process that drives them", "driver", "2", "peak"),
        ("two workers: the larger worker", "worker", "2", "peak_workers"),
    ):
        small = [one["peaks"][key] / 1e6 for one in builds]
        large = [one["measured"][workers][of] / 1e6 for one in builds]
        rows.append([what, *(f"{statistics.median(values):.0f}" for values in (small, large))])
    return rows


def otherwise_table(campaign: Campaign, costs: Costs, scale: Scale) -> stored.Table:
    """Return what other assumptions make of a campaign."""
    rows: stored.Table = [
        [
            "assumed otherwise",
            "network",
            "data folder",
            "set",
            "fetch, days",
            "build, days",
            "first bottleneck",
            "its days",
        ]
    ]
    for words, changed in variants(campaign):
        found = plan(changed, costs, scale)
        rows.append(
            [
                words,
                *map(bytes_in_words, (found.download_bytes, found.store_bytes, found.set_bytes)),
                *map(in_words, (found.fetch_days, found.build_days)),
                found.first.name,
                in_words(found.first.days),
            ]
        )
    return rows


def variants(campaign: Campaign) -> list[tuple[str, Campaign]]:
    """Return a campaign as it is, and with one assumption changed each."""
    changes: list[tuple[str, dict[str, Any]]] = [("nothing", {})]
    if not campaign.recoded:
        changes += [("mean length 120 s", {"seconds": 120}), ("mean length 500 s", {"seconds": 500})]
    changes += [
        ("1 Mbit/s", {"mbit_s": 1}),
        ("4 Mbit/s", {"mbit_s": 4}),
        ("640x360", {"width": 640, "height": 360}),
        ("1920x1080", {"width": 1920, "height": 1080}),
        ("VP9", {"codec": "vp9"}),
        ("AV1", {"codec": "av1"}),
        ("a keyframe every 5 s", {"gop_seconds": 5}),
        ("three of five are gone", {"arrives": 0.4}),
        ("plain files of many hosts: no pauses, divided", {"from_site": False}),
    ]
    return [(words, replace(campaign, **change)) for words, change in changes]
