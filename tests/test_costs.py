"""The cost model of benchmarks/: its arithmetic, and that its constants come back out of what they made."""

import importlib
import json
import random
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
RESULT = json.loads((ROOT / "benchmarks" / "results" / "costs.json").read_text(encoding="utf-8"))


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("cost_model")


@pytest.fixture
def campaigns(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("cost_campaigns")


@pytest.mark.parametrize(
    ("num_frames", "gop", "rows"), [(300, 60, 30), (100, 48, 6), (240, 240, 3), (50, 1, 30)]
)
def test_the_frames_gone_over_are_those_of_drawn_frames_on_average(
    model: ModuleType, num_frames: int, gop: int, rows: int
):
    draws, rounds = random.Random(0), 2000

    total = 0
    for _ in range(rounds):
        last: dict[int, int] = {}
        for frame in (draws.randrange(num_frames) for _ in range(rows)):
            last[frame // gop] = max(last.get(frame // gop, 0), frame % gop + 1)
        total += sum(last.values())

    assert model.frames_stepped(num_frames, gop, rows) == pytest.approx(total / rounds, rel=0.03)


def test_constants_come_back_out_of_the_shards_that_they_made(model: ModuleType):
    costs = costs_of(model)
    sizes, frames = ((352, 288), (640, 360), (1280, 720), (1920, 1080)), (147, 176, 90, 60)
    clips = [
        model.ClipKind(codec, width, height, count, 1 if codec == "y4m" else 40)
        for codec in ("y4m", "h264")
        for (width, height), count in zip(sizes, frames, strict=True)
    ]

    alone = [model.predict_task(costs, [clip], rows) for rows in (6, 30) for clip in clips]
    several = [model.predict_task(costs, clips, 30)]
    found = model.fit_tasks(alone + several)

    for name, codec in costs.codecs.items():
        for constant, value in found["codecs"][name].items():
            assert value == pytest.approx(getattr(codec, constant), rel=1e-6, abs=1e-9)
    for name in (
        "degrade_clip",
        "degrade_row",
        "write_clip",
        "write_row",
        "rest_shard",
        "rest_clip",
        "rest_row",
    ):
        assert found[name] == pytest.approx(getattr(costs, name), rel=1e-6)
    assert found["row_bytes_all"] == pytest.approx(costs.row_bytes + costs.row_samples, rel=1e-4)


def costs_of(model: ModuleType) -> object:
    """Return constants that are easy to follow."""
    h264 = model.CodecCosts(0.004, 0.0001, 0.003, 0.001, 0.005, 0.0002, 0.0025, 8_000)
    y4m = model.CodecCosts(0.001, 0.00002, 0.002, 0.0, 0.0006, 0.0, 0.0, 1_500_000)
    return model.Costs(
        {"h264": h264, "y4m": y4m}, 10_890, 0.001, 0.0004, 0.0005, 0.00002, 0.004, 0.0003, 0.00005, 0.02, 0.0008,
        0.00004, 0.5, 0.8, 1.25, 130, 6_400, 4_200, 0.3, 0.004, 1.5e-9,
    )  # fmt: skip


def test_shards_of_two_workers_end_as_a_pool_lets_them(model: ModuleType):
    assert model.makespan([5, 1, 1, 1, 1, 1], workers=2) == 5
    assert model.makespan([1, 1, 1, 5], workers=2) == 6
    assert model.makespan([1, 2, 3], workers=1) == 6

    costs, clips = costs_of(model), [model.ClipKind("h264", 1280, 720, 300, 60)] * 16
    one = model.predict_build(costs, clips, rows=30, clips_per_shard=4)
    two = model.predict_build(costs, clips, rows=30, clips_per_shard=4, workers=2)

    work = sum(model.stages(one.tasks).values())
    assert one.wall - work == pytest.approx(0.5 + 0.02 + 16 * 0.0008 + 480 * 0.00004)
    assert two.wall == pytest.approx(one.wall - work + 0.8 + work * 1.25 / 2)


def test_the_bytes_of_a_set_are_those_of_its_rows_clips_and_shards(model: ModuleType):
    clip = model.ClipKind("y4m", 352, 288, 100)

    task = model.predict_task(costs_of(model), [clip, clip], 30)

    assert task.size_bytes == 4_200 + 2 * 6_400 + 60 * (10_890 + 130)


def test_a_campaign_is_divided_by_what_it_is_shared_by(model: ModuleType, campaigns: ModuleType):
    scale = campaigns.Scale(0.01, 4e-5, 1e-5, 0.02, 8e-5, 3e-5, 6_000, 1_500, 0.001, 0.5, 0.02, 3e-6, 0.3)
    site = campaigns.Campaign("site", clips=1000, seconds=100, machines=2, cores=4, arrives=0.5)
    costs = costs_of(model)

    one = {item.name: item for item in campaigns.plan(site, costs, scale).items}
    more = {item.name: item for item in campaigns.plan(replace(site, machines=20), costs, scale).items}

    for name, item in one.items():
        assert item.days == pytest.approx(more[name].days * {"nothing": 1, "jobs": 1}.get(item.shared, 10))
    coded = 2e6 / 8 * 100
    assert one["pauses that the site is owed"].days * 86_400 == pytest.approx(1000 * (5 + 4))
    assert one["network"].days * 86_400 == pytest.approx(500 * coded * 8 / 1e9)
    noted = one["note each clip in one data folder"].days * 86_400
    assert noted == pytest.approx(500 * (0.01 + 2e-5) + 1000 * (0.02 + 6e-5))
    lists = one["read and write the lists, each command"].days * 86_400
    assert lists == pytest.approx(1000 / 2 * (500 * 5e-5 + 1000 * 1.1e-4))
    look = one["look: decode every frame"]
    seconds = 500 * (0.005 + 3000 * (0.0002 + 0.0025 * 1.280 * 0.720))
    assert look.days * 86_400 == pytest.approx(seconds / 4)

    plain = campaigns.plan(replace(site, from_site=False), costs, scale)
    divided = next(item for item in plain.items if item.name == look.name)
    assert (look.shared, divided.shared, divided.days) == ("jobs", "cores", pytest.approx(look.days / 2))
    assert plain.first.days == max(item.days for item in plain.items)


def test_looks_into_the_videos_of_a_site_count_where_they_take_longer_than_the_site(
    model: ModuleType, campaigns: ModuleType
):
    scale = campaigns.Scale(0.01, 4e-5, 1e-5, 0.02, 8e-5, 3e-5, 6_000, 1_500, 0.001, 0.5, 0.02, 3e-6, 0.3)
    site = campaigns.Campaign("site", clips=1000, seconds=100, cores=4)

    def parts(campaign: object) -> tuple[float, float, float, float]:
        plan = campaigns.plan(campaign, costs_of(model), scale)
        days = {item.name: item.days for item in plan.items}
        look, lists = days["look: decode every frame"], sum(days[name] for name in days if "list" in name)
        lists += days["note each clip in one data folder"]
        names = list(days)
        before = sum(days[name] for name in names[: names.index("look: decode every frame")])
        return look, before, lists, plan.fetch_days

    look, before, lists, fetch = parts(site)
    assert look < before
    assert fetch == pytest.approx(before + lists)
    look, before, lists, fetch = parts(replace(site, seconds=1000))
    assert look > before
    assert fetch == pytest.approx(look + lists)


def test_nothing_published_of_the_two_collections_is_changed(campaigns: ModuleType):
    assert campaigns.YOUTUBE_8M.clips == 6_100_000
    assert 120 <= campaigns.YOUTUBE_8M.seconds <= 500
    assert (campaigns.YOUTUBE_BB.clips, campaigns.YOUTUBE_BB.seconds) == (380_000, 19)


def test_the_stored_tables_are_those_of_the_stored_constants(model: ModuleType, campaigns: ModuleType):
    tables = importlib.import_module("cost_tables")
    costs = model.Costs.from_json(RESULT["figures"]["costs"])
    scale = campaigns.Scale(**RESULT["figures"]["scale"])

    again = tables.derived_tables(costs, scale)

    assert {name: RESULT["tables"][name] for name in again} == json.loads(json.dumps(again))


def test_the_stored_check_holds_both_numbers_of_workers_against_what_was_measured():
    head, *rows = RESULT["tables"]["check"]
    names = [row[0] for row in rows]

    assert [name for name in names if "wall" in name] == [
        "build, 1 worker, wall s",
        "build, 2 workers, wall s",
    ]
    for row in rows:
        for said, was, error in zip(row[1::3], row[2::3], row[3::3], strict=True):
            assert float(error.removesuffix(" %")) == pytest.approx(
                (float(said) / float(was) - 1) * 100, abs=2
            )
    assert len(head) == len(rows[0])
