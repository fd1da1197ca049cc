"""Write the manifests that have too many rows for a hand: xiph, uvg, youtube-ugc, netflix-open, blender, t91.

    python scripts/make_manifests.py FACTS [--data DATA] [--out manifests/sources]

FACTS is a folder with ``xiph.csv``, ``uvg.csv`` and ``extra.csv``: what was read of each file, and where. DATA is a folder
with ``t91/README.md``, whose table lists the 91 pictures. Nothing is looked up and nothing is computed
here but the marks of the evidence; a row that fits no rule below ends the script, so that no fact gets
into a manifest without one.
"""

import argparse
import csv
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import yaml

Row = Mapping[str, str]
Evidence = dict[str, str]
"""Fact -> ``STATUS where``."""

# ---- YAML, one fact a line -------------------------------------------------------------------------------


def scalar(value: object) -> str:
    """Return a plain scalar where every reader of YAML takes it for what it is, else a quoted one."""
    text = str(value)
    if isinstance(value, int) or re.fullmatch(r"\d+/\d+", text):
        return text
    plain = (
        re.fullmatch(r"[A-Za-z0-9*][^#\n\"]*", text) and ": " not in text and not text.endswith((":", " "))
    )
    try:
        same = bool(plain) and yaml.safe_load(f"- {text}") == [text]
    except yaml.YAMLError:
        same = False
    return text if same else json.dumps(text, ensure_ascii=False)


def flow(values: Iterable[object]) -> str:
    shown = [scalar(value) for value in values]
    quoted = [
        json.dumps(text) if re.search(r"[,\[\]{}]", text) and text[0] != '"' else text for text in shown
    ]
    return f"[{', '.join(quoted)}]"


def block(name: str, values: Iterable[str], indent: str = "") -> list[str]:
    return [f"{indent}{name}:", *(f"{indent}- {scalar(value)}" for value in values)]


def entry(fields: Mapping[str, object], evidence: Evidence) -> list[str]:
    """Return one item of a list, its facts in order; facts with the same evidence share a line."""
    lines = []
    for name, value in fields.items():
        if value in (None, "", (), []):
            continue
        lines.append(f"  {name}: {flow(value) if isinstance(value, list) else scalar(value)}")
    if evidence:
        lines.append("  evidence:")
        shared: dict[str, list[str]] = {}
        for fact, known in evidence.items():
            shared.setdefault(known, []).append(fact)
        lines += [f"    {' '.join(facts)}: {scalar(known)}" for known, facts in shared.items()]
    lines[0] = "-" + lines[0][1:]
    return lines


def number(text: str) -> int | None:
    return int(text) if text else None


def rate(text: str) -> int | str | None:
    return (int(text) if text.isdecimal() else text) if text else None


# ---- what the evidence column of xiph.csv says ---------------------------------------------------------

MARKS = {
    "url": ("mirrors",),
    "w,h,fps,frames": ("width", "height", "frame_rate", "num_frames"),
    "geometry": ("width", "height", "frame_rate", "num_frames", "pixel_format"),
    "frames": ("num_frames",),
    "bytes": ("size_bytes",),
    "ls listing": ("size_bytes",),
    "sha256": ("sha256",),
    "sha1": ("sha1",),
    "md5": ("md5",),
    "4:2:2": ("pixel_format",),
}


def places(evidence: str) -> dict[str, list[str]]:
    """Return, for each fact, the places that the evidence column names for it."""
    found: dict[str, list[str]] = {}
    repo = folder = ""
    for place, marks in re.findall(r"([^();]+)\(([^()]*)\)", evidence):
        where = place.strip(" ,+")
        if ":" in where:
            repo = where.partition(":")[0]
            folder = where.rpartition("/")[0]
        elif place.startswith("+"):
            where = f"{folder}/{where}"  # `sources.lock.json(...)+catalog.json(geometry)`: one folder
        elif place.startswith(","):
            where = f"{repo}:{where}"
        words = {part.strip() for part in re.split(r"[,:]", marks)} | {marks}
        for mark, facts in MARKS.items():
            if mark in words or (
                mark in ("url", "bytes", "md5", "sha256", "ls listing", "w,h,fps,frames") and mark in marks
            ):
                for fact in facts:
                    if where not in found.setdefault(fact, []):
                        found[fact].append(where)
    return found


CORPUS = "terranvigil/yah264:docs/corpus-sources.md"
# That page lists these as 8-bit 4:2:0, each by its own header, read over HTTP.
HEADERS_READ = {
    "720p50_shields_ter", "720p50_parkrun_ter", "720p5994_stockholm_ter", "in_to_tree_420_720p50",
    "old_town_cross_420_720p50", "FourPeople_1280x720_60", "blue_sky_1080p25", "pedestrian_area_1080p25",
    "riverbed_1080p25", "station2_1080p25", "sunflower_1080p25", "crowd_run_1080p50",
}  # fmt: skip
# That page gives these addresses in full, with frames and rate.
FILMS_READ = {"big_buck_bunny_720p24", "elephants_dream_720p24", "sintel-1280", "tearsofsteel-4k"}

# The table took numbers of these names for a size or a rate that the name does not say.
MISREAD = {
    "aomctc_Aerial3200_1920x1080_5994_10bit_420": {"width": "1920", "height": "1080"},
    "aomctc_Skater227_1920x1080_30fps": {"width": "1920", "height": "1080"},
    "aomctc_BlueSky_360p25": {"fps": "25"},
    "aomctc_BlueSky_360p25_v2": {"fps": "25"},
}

RATE_IN_NAME = {
    "15": "15fps", "24": "24", "24000/1001": "2398", "25": "25", "30": "30", "30000/1001": "2997",
    "50": "50", "60": "60", "60000/1001": "5994", "6000/1001": "5.994Hz",
}  # fmt: skip
SIZE_IN_NAME = {
    ("176", "144"): r"qcif", ("352", "288"): r"cif", ("704", "576"): r"4cif", ("352", "240"): r"sif",
    ("704", "480"): r"4sif", ("854", "480"): r"480p", ("1280", "720"): r"720p|1280x720",
    ("1920", "1080"): r"1080p|1920x1080|1920_1080", ("3840", "2160"): r"2160p|3840x2160", ("640", "360"): r"360",
}  # fmt: skip
FORMAT_IN_NAME = {
    "gray": "mono", "yuv422p": "_422_", "yuv444p": "_444_", "yuv420p": r"_420_|8bit",
    "yuv420p10le": r"10bit|hdr10",
}  # fmt: skip


def clip_id(name: str) -> str:
    """Return the id of a row: its name without `.y4m` and `.xz`."""
    return name.removesuffix(".xz").removesuffix(".y4m")


def xiph_evidence(row: Row) -> Evidence:
    """Return the mark and place of each fact that a row gives.

    Raises:
        ValueError: A fact fits no rule.
    """
    name = clip_id(row["name"])
    known = places(row["evidence"])
    header = f"SEEN stream header {row['header']}" if row["header"] else ""
    evidence: Evidence = {}

    def seen(fact: str) -> str:
        return f"SEEN {'; '.join(known[fact])}" if fact in known else ""

    evidence["mirrors"] = "UNKNOWN"
    if row["url"]:
        folder = row["url"].rpartition("/")[0] + "/"
        if name in FILMS_READ:
            evidence["mirrors"] = f"SEEN {CORPUS}"
        elif "same dir, .yuv extension" in row["evidence"]:
            evidence["mirrors"] = (
                f"INFERRED {row['evidence'].partition('(')[0]} names the .yuv file in {folder}"
            )
        else:
            evidence["mirrors"] = (
                seen("mirrors") or f"COMPOSED {row['evidence'].partition('(')[0]}, under {folder}"
            )
    if row["bytes"]:
        if row["bytes_status"] != "SEEN":
            raise ValueError(f"{name}: a size that is {row['bytes_status']}")
        evidence["size_bytes"] = seen("size_bytes")
    for fact in ("sha256", "sha1", "md5"):
        if row[fact]:
            evidence[fact] = seen(fact)
    if row["width"]:
        in_name = re.search(
            SIZE_IN_NAME.get((row["width"], row["height"]), f"{row['width']}x{row['height']}"), name
        )
        by_name = "INFERRED the file name" if in_name else ""
        if name.startswith("twitch_"):
            by_name = "INFERRED the copies of this series in aomctc/test_set/b1_syn"
        if name == "sintel-1280":
            by_name = f"SEEN {CORPUS}"
        evidence["width"] = evidence["height"] = header or seen("width") or by_name
    if row["fps"]:
        by_name = "INFERRED the file name" if RATE_IN_NAME[row["fps"]] in name else ""
        if name.endswith("_4cif"):
            by_name = "INFERRED the header of soccer_4cif"
        elif name.startswith("twitch_"):
            by_name = "INFERRED the copies of this series in aomctc/test_set/b1_syn"
        elif name in FILMS_READ:
            by_name = f"SEEN {CORPUS}"
        elif name == "sita_sings_the_blues_1080p24":
            by_name = "INFERRED the film's rate; the file name says 24"
        elif name.startswith("cosmos_aom_"):
            by_name = "INFERRED the encodes of the film, which run at 24"
        evidence["frame_rate"] = header or seen("frame_rate") or by_name
    if row["frames"]:
        by_rule = ""
        if row["frames_status"] == "COMPUTED":
            if "assumed from" in row["notes"]:
                by_rule = f"INFERRED {row['notes'].partition('; ')[2] or row['notes']}"
            elif row["bytes"]:
                by_rule = "COMPUTED (size - header) / (6 + bytes of a frame)"
            elif "twice the 30 fps count" in row["notes"]:
                by_rule = f"COMPUTED {row['notes']}"
            elif name.startswith("sintel_trailer"):
                by_rule = "COMPUTED the 735 MiB, 1.6 GB and 3.6 GB quoted for the 480p, 720p and 1080p files"
            elif name.startswith("big_buck_bunny"):
                by_rule = "INFERRED the 720p file of the same film"
            elif name.startswith("Netflix_"):
                by_rule = "COMPUTED the size or length that others quote, see the notes"
        elif name in FILMS_READ:
            by_rule = f"SEEN {CORPUS}"
        elif "public-copy:22996607(frames)" in row["evidence"]:
            by_rule = "SEEN public-copy:22996607"
        elif name == "claire_qcif":
            by_rule = "SEEN a listing beside public-copy:15358940895; another says 495 (public-copy:22996607)"
        elif name == "big_buck_bunny_1080p24":
            by_rule = f"SEEN {CORPUS}"
        evidence["num_frames"] = by_rule or seen("num_frames")
    if row["pix_fmt"]:
        by_header = ""
        if row["header"]:
            how = "C420jpeg" if "C420jpeg" in row["header"] else "has no C tag, which means 4:2:0 of 8 bits"
            by_header = f"COMPUTED the stream header {how}" if "no C" in how else header
        in_name = re.search(FORMAT_IN_NAME[row["pix_fmt"]], name)
        by_name = "INFERRED the file name" if in_name else ""
        if row["pix_fmt"] == "yuv420p":
            by_name = by_name or "INFERRED y4m files of this host whose names say no other format"
        read = f"SEEN {CORPUS}" if name in HEADERS_READ else ""
        exact = header if "C420jpeg" in header else ""
        evidence["pixel_format"] = exact or seen("pixel_format") or read or by_header or by_name
    if empty := [fact for fact, text in evidence.items() if not text]:
        raise ValueError(f"{name}: no rule tells how {', '.join(empty)} are known: {row['evidence']}")
    return evidence


def xiph_license(row: Row) -> tuple[str, str]:
    """Return the key of a clip's licence and its evidence, or two empty strings."""
    name, notes = clip_id(row["name"]), row["notes"]
    audit = "public-copy:70469304929 (an audit of 113 clips of the derf folder)"
    if "CC BY-NC-ND 4.0 notice" in notes:
        return "netflix", f"SEEN {audit}"
    if name.startswith("Netflix_") and not row["url"]:
        return "netflix", f"INFERRED {audit} counts 18 Netflix clips with this notice"
    if "SVT MultiFormat terms" in notes:
        return "svt", f"{'SEEN' if '1080p50' in name else 'INFERRED'} {audit}"
    if "NTIA/ITS source" in notes:
        return "ntia", f"SEEN {audit}"
    if name.startswith("aomctc_"):
        return (
            "aomctc",
            "SEEN https://media.xiph.org/video/aomctc/test_set/ holds a _Copyright.txt for each clip",
        )
    for key, words in {"cc-by-3.0": "CC BY 3.0", "cc-by-2.5": "CC BY 2.5", "cc0-picture": "CC0"}.items():
        if words in notes:
            return key, f"SEEN {audit if 'trailer' in name else CORPUS}"
    return "", ""


# Said by a field, or by the evidence of one.
NOT_NOTES = (
    "geometry from",
    "url left blank",
    "xz",
    "SHA512",
    "CC BY",
    "CC0",
    "copy on this host carries",
    "width/height of",
)


def xiph_notes(row: Row) -> str:
    parts = [part for part in row["notes"].split("; ") if part and not re.match("|".join(NOT_NOTES), part)]
    if not row["width"]:
        parts.append("width and height are not known: they are read from the file")
    if row["name"] == "big_buck_bunny_1080p24.y4m.xz":
        parts = ["the checksum is that of the unpacked file; none is known of the packed one"]
    if not row["url"]:
        parts = [
            part.replace("dir (ElFuente or Chimera) not seen", "the name was seen, its folder was not")
            for part in parts
        ]
        parts.append("bring the file in with sr-data import")
    if "stray newline" in row["notes"]:
        parts.append("the size and the checksums include that newline")
    if candidates := row["bytes_candidates"]:
        how = row["bytes_status"].removeprefix("COMPUTED(").removesuffix(")")
        parts.append(
            f"by arithmetic {candidates.replace('|', ' or ')} bytes ({how}): not published, not checked"
        )
    sentences = ". ".join(part[0].upper() + part[1:] for part in parts)
    return f"{sentences.replace('Md5 list', 'A list of MD5 is')}." if parts else ""


def group(name: str, ids: list[str]) -> list[str]:
    lines = [f"  {name}:"]
    return lines + [f"  - {scalar(clip)}" for clip in ids]


# Scenes of the AOM CTC that the derf folder has as well: both in one training set would be a leak.
CTC_1080P_OF_ITS_OWN = [
    "aomctc_Skater227_1920x1080_30fps", "aomctc_WorldCup_1920x1080_30p", "aomctc_WorldCup_far_1920x1080_30p",
    "aomctc_Motorcycle_1920x1080_30fps_8bit", "aomctc_MountainBike_1920x1080_30fps_8bit",
    "aomctc_TreesAndGrass_1920_1080_30fps_8bit",
]  # fmt: skip
ESPCN_8 = [
    "sunflower_1080p25", "station2_1080p25", "pedestrian_area_1080p25", "snow_mnt_1080p", "aspen_1080p",
    "old_town_cross_1080p50", "ducks_take_off_1080p50", "crowd_run_1080p50",
]  # fmt: skip


def xiph_groups(rows: list[Row]) -> list[str]:
    # Raw clips with an address: no films (packed, up to hundreds of GB), no lossy previews.
    raw = [
        row
        for row in rows
        if row["url"].endswith(".y4m") and "/derf/" in row["url"] and not row["name"].startswith("aomctc_")
    ]
    sd, hd, uhd, full = [], [], [], []
    for row in raw:
        height = int(row["height"] or 480)  # the `ntsc` clips: the name is all that is known of their size
        (sd if height <= 576 else hd if height <= 1080 else uhd).append(clip_id(row["name"]))
        if (row["width"], row["height"]) == ("1920", "1080"):
            full.append(clip_id(row["name"]))
    films = [clip_id(row["name"]) for row in rows if row["url"].endswith(".xz") or "/sintel/" in row["url"]]
    return [
        "groups:",
        *group("sd", sd),
        *group("hd", hd),
        "  # 1920x1080 of 8 bits, no scene twice: what the recipe open-30 takes.",
        *group("1080p", full + CTC_1080P_OF_ITS_OWN),
        *group("4k", uhd),
        *group("ctc", ["aomctc_*"]),
        "  # Table 3 of the ESPCN paper names clips, not files: these are the likely ones. Its clips last about",
        "  # 10 s, which fits the 50 fps files; which frames of the longer ones it used is not known.",
        *group("espcn-8", ESPCN_8),
        "  # Whole films, packed.",
        *group("films", films),
        "  # Lossy: never HR.",
        *group("previews", ["*.webm"]),
    ]


def make_xiph(facts: Path) -> str:
    with (facts / "xiph.csv").open(newline="", encoding="utf-8") as file:
        rows = [{**row, **MISREAD.get(row["name"], {})} for row in csv.DictReader(file)]
    lines = [XIPH_HEAD.strip(), "", *xiph_groups(rows), "", "archives:"]
    clips = ["", "clips:"]
    for row in rows:
        name = clip_id(row["name"])
        evidence = xiph_evidence(row)
        packed = row["name"].endswith(".xz")
        own = {fact: row[fact] for fact in ("sha256", "sha1", "md5")}
        own_size = number(row["bytes"])
        if packed:
            remote = {fact: evidence.pop(fact) for fact in ("mirrors", "sha256", "sha1") if fact in evidence}
            lines += entry({"id": row["name"], "mirrors": [row["url"]], **own}, remote)
            own = {"sha256": "", "sha1": "", "md5": ""}
            if inside := re.search(r"DECOMPRESSED y4m: ([0-9a-f]{64})", row["notes"]):
                own["sha256"] = inside[1]
                evidence = {"sha256": "SEEN public-copy:60257116733 (of the unpacked file)", **evidence}
        license_key, license_evidence = xiph_license(row)
        if license_key:
            evidence["license"] = license_evidence
        pristine = ""
        if "/webm/" in row["url"]:
            pristine, evidence["pristine"] = "no", "SEEN the webm folder holds lossy previews"
        elif "/e_nonpristine/" in row["url"]:
            pristine, evidence["pristine"] = "no", "INFERRED the folder is called e_nonpristine"
        fields: dict[str, object] = {
            "id": name,
            "mirrors": [row["url"]] if row["url"] and not packed else [],
            "archive": row["name"] if packed else "",
            "members": [f"{name}.y4m"] if packed else [],
            "size_bytes": own_size,
            **own,
            "width": number(row["width"]),
            "height": number(row["height"]),
            "frame_rate": rate(row["fps"]),
            "num_frames": number(row["frames"]),
            "pixel_format": row["pix_fmt"],
            "pristine": pristine,
            "license": license_key,
            "notes": xiph_notes(row),
        }
        clips += entry(fields, evidence)
    return "\n".join(lines + clips) + "\n"


def marked(evidence: str, wanted: str) -> str:
    """Return the places of an evidence column whose marks have a word that fits ``wanted``."""
    found = []
    for place, marks in re.findall(r"([^();]+)\(([^()]*)\)", evidence):
        if re.search(wanted, marks):
            where = place.rpartition(" = ")[2].strip(" ,;")
            found.append(re.sub(r" and (\d+)", r"; public-copy:\1", where))
    return "; ".join(found)


UVG_NAME = re.compile(
    r"(?P<scene>[A-Za-z]+)_(?P<size>\d+x\d+)_\d+fps_"
    r"(?:420_(?P<bits>\d+)bit_(?:YUV_)?(?P<form>RAW|Y4M|HEVC_RAW)\.\w+|yuv444_16bits_600\.yuv)"
)
UVG_7 = ["Beauty", "Bosphorus", "HoneyBee", "Jockey", "ReadySetGo", "ShakeNDry", "YachtRide"]
UVG_9 = [
    "Lips", "CityAlley", "FlowerFocus", "FlowerKids", "FlowerPan", "RaceNight", "RiverBank", "SunBath", "Twilight",
]  # fmt: skip
UVG_BASE = "https://ultravideo.fi/video/"


def uvg_mirrors(row: Row) -> str:
    """Return mark and place of an address of uvg.csv."""
    status, seen = row["url_status"], row["evidence"]
    if not row["url"]:
        return "UNKNOWN"
    if status == "SEEN":
        return f"SEEN {marked(seen, r'^urls?$|[ :]url,|^url$|^url[;,]')}"
    if "older host" in seen:
        return f"COMPOSED {marked(seen, 'url on the older host')} has it on ultravideo.cs.tut.fi/video/"
    return f"COMPOSED {marked(seen, 'archive name|archive and member name|file name')}, under {UVG_BASE}"


def uvg_frames(row: Row) -> str:
    """Return mark and place of a number of frames of uvg.csv."""
    status = row["frames_status"]
    if status.startswith("INFERRED"):
        return f"INFERRED {status.partition('(')[2].rstrip(')')}"
    if status == "SEEN(in the file name)":
        return "SEEN the file name"
    return f"SEEN {marked(row['evidence'], 'frames')}"


def uvg_id(name: str) -> str:
    parts = UVG_NAME.fullmatch(name)
    if parts is None:
        raise ValueError(f"{name}: its name has another form than its siblings")
    form = {"RAW": "", "Y4M": "-y4m", "HEVC_RAW": "-hevc", None: "_444_16bit"}[parts["form"]]
    size = "" if parts["size"] == "1920x1080" else "_2160p"
    return f"{parts['scene']}{size}{'_10bit' if parts['bits'] == '10' else ''}{form}"


def uvg_clip(row: Row) -> tuple[list[str], list[str]]:
    """Return the lines of a row's archive (none for a file of its own) and of its clip."""
    name, notes = row["name"], []
    parts = UVG_NAME.fullmatch(name)
    scene, form = (parts["scene"], parts["form"]) if parts else ("", None)
    packed = name.endswith(".7z")
    file_evidence = {"mirrors": uvg_mirrors(row)}
    for fact, mark in (("bytes", "bytes"), ("sha256", "sha256"), ("md5", "md5")):
        if row[fact]:
            file_evidence["size_bytes" if fact == "bytes" else fact] = f"SEEN {marked(row['evidence'], mark)}"
    facts: dict[str, object] = {
        "mirrors": [row["url"]] if row["url"] else [],
        "size_bytes": number(row["bytes"]),
        "sha256": row["sha256"],
        "md5": row["md5"],
    }
    archive = entry({"id": name} | facts, file_evidence) if packed else []
    known_name = "member" if "by analogy" in row["url_status"] else "archive" if packed else "file"
    by_name = f"SEEN the {known_name}'s name"
    evidence = dict.fromkeys(("width", "height", "frame_rate", "pixel_format"), by_name)
    if row["frames"]:
        evidence["num_frames"] = uvg_frames(row)
    members: list[str] = []
    if packed:
        suffix = "y4m" if form == "Y4M" else "yuv"
        members = [*([f"**/{row['member']}"] if row["member"] else []), f"**/{scene}*.{suffix}"]
        if "by analogy" in row["notes"]:
            evidence["members"] = "INFERRED the names in the sibling archives"
        elif row["member"]:
            where = marked(row["evidence"], "member") or marked(row["evidence"], "video-encoder profiles")
            evidence["members"] = f"SEEN {where}"
    if "TRAP" in row["notes"] or (scene == "ReadySetGo" and row["member"].startswith("ReadySteadyGo")):
        notes.append("TRAP: archive says ReadySetGo, member says ReadySteadyGo.")
        notes.append("The 10-bit 2160p archive has a member called ReadySetGo.")
    elif "member IS named" in row["notes"]:
        notes.append("Here the member is called ReadySetGo, unlike those of the 8-bit archives.")
    if scene == "ShakeNDry" and form != "HEVC_RAW":
        notes.append("The only one of the seven with 300 frames.")
    if "its own cut" in row["notes"]:
        notes.append("A benchmark lists 300 frames for every 4K clip: that is its own cut.")
    if "url left blank" in row["url_status"]:
        notes.append(
            "The archive's name is by analogy, and no address was seen: bring the file in with sr-data import."
        )
    if row["member_bytes"] and "raw" in row["member_bytes_status"]:
        notes.append(
            f"Unpacked {row['member_bytes']} bytes by arithmetic ({'raw 4:4:4' if form is None else 'raw 4:2:0'} planes)."
        )
    if form == "Y4M":
        notes.append(f"The frames of {uvg_id(name).removesuffix('-y4m')}, as y4m: take one of the two.")
    if form == "HEVC_RAW":
        notes.append("A lossy HEVC stream: never HR.")
        evidence["pristine"] = f"SEEN the file's name; {marked(row['evidence'], 'file name')}"
    if form is None:
        notes.append("Of the UVG-VCM set. Which byte of a sample comes first is not confirmed.")
        if "sha256" in row["notes"]:
            notes.append(
                row["notes"]
                .rpartition("; ")[2]
                .replace("that range", "Bytes 5971968000 to 7166361599 (frames 120 to 143) together")
                + "."
            )
        evidence["pixel_format"] = "INFERRED the file's name, and a published range of bytes of whole frames"
        evidence["license"] = "SEEN the facts of the UVG-VCM set"
    fields: dict[str, object] = {
        "id": uvg_id(name),
        "media": "video" if form in ("Y4M", "HEVC_RAW") else "raw",
        **({"archive": name, "members": members} if packed else facts),
        "width": int(row["width"]),
        "height": int(row["height"]),
        "frame_rate": rate(row["fps"]),
        "num_frames": number(row["frames"]),
        "pixel_format": row["pix_fmt"],
        "pristine": "no" if form == "HEVC_RAW" else "",
        "license": "cc-by-4.0" if form is None else "",
        "notes": " ".join(notes),
    }
    return archive, entry(fields, evidence if packed else file_evidence | evidence)


def make_uvg(facts: Path) -> str:
    with (facts / "uvg.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    ids = [uvg_id(row["name"]) for row in rows]
    lines = [UVG_HEAD.strip(), "", "groups:"]
    lines += ["  # The seven clips of the ESPCN paper's Table 4, 1080p.", *group("uvg-7", UVG_7)]
    lines += [
        "  # The nine that came later, of which 2160p only was seen.",
        *group("uvg-9", [f"{name}_2160p" for name in UVG_9]),
    ]
    lines += [
        "  # All sixteen, 8 bits and as many of 10 as were seen.",
        *group("2160p", [f"{name}_2160p" for name in UVG_7 + UVG_9]),
    ]
    lines += group("2160p-10bit", [name for name in ids if name.endswith("_10bit")])
    lines += ["  # The frames of other clips again, as y4m.", *group("y4m", ["*-y4m"])]
    lines += ["  # Lossy: never HR.", *group("hevc", ["*-hevc"])]
    lines += ["  # UVG-VCM, 4:4:4 of 16 bits.", *group("vcm", ["*_444_16bit"]), "", "archives:"]
    clips = ["", "clips:"]
    for row in rows:
        archive, clip = uvg_clip(row)
        lines += archive
        clips += clip
    return "\n".join(lines + clips) + "\n"


# ---- sources beyond the six, out of extra.csv ---------------------------------------------------------------

UGC_BUCKET = "https://storage.googleapis.com/ugc-dataset/original_videos/"


def extra_rows(facts: Path, wanted: str) -> list[dict[str, str]]:
    with (facts / "extra.csv").open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if re.search(wanted, row["url"])]


def extra_clip(row: Row, **more: object) -> list[str]:
    """Return the lines of a clip that is a file of its own."""
    name = row["name"].partition(" ")[0]
    where = row["evidence"]
    evidence = {"mirrors": f"SEEN {where}"}
    for fact, column in {"size_bytes": "bytes", "sha256": "sha256", "md5": "md5"}.items():
        if row[column]:
            evidence[fact] = f"SEEN {where}"
    for fact, column in {
        "width": "width",
        "height": "height",
        "frame_rate": "fps",
        "num_frames": "frames",
    }.items():
        if row[column]:
            evidence[fact] = "INFERRED the file name"
    lossy = row["kind"] == "encoded-video"
    if lossy:
        evidence["pristine"] = (
            f"SEEN {where}" if "lossy" in row["notes"] else "INFERRED the file is an encode of a film"
        )
    notes = row["notes"]
    fields: dict[str, object] = {
        "id": name.rpartition(".")[0],
        "mirrors": [row["url"]],
        "size_bytes": number(row["bytes"]),
        "sha256": row["sha256"],
        "md5": row["md5"],
        "width": number(row["width"]),
        "height": number(row["height"]),
        "frame_rate": rate(row["fps"]),
        "num_frames": number(row["frames"]),
        "pristine": "no" if lossy else "",
        "notes": f"{notes[0].upper()}{notes[1:]}." if notes else "",
    }
    extra_evidence = more.pop("evidence", {})
    fields |= more
    if not isinstance(extra_evidence, dict):
        raise TypeError("evidence is a mapping")
    return entry(fields, evidence | extra_evidence)


def make_youtube_ugc(facts: Path) -> str:
    lines = [UGC_HEAD.strip(), "", "groups:"]
    lines += [
        "  # Fifteen excerpts of 64 frames with a published SHA-256: small real pixels.",
        *group("excerpts", ["*_64f"]),
    ]
    lines += ["  # The clips that they are cut from.", *group("originals", ["*-????"]), "", "clips:"]
    for row in extra_rows(facts, "videofast-challenge"):
        manifest, script = (
            "yudduy/videofast-challenge:corpus/manifest.json",
            "yudduy/videofast-challenge:scripts/prepare_corpus.py",
        )
        source_url = re.search(rf"{UGC_BUCKET}\S+\.mkv", row["notes"])
        if source_url is None:
            raise ValueError(f"{row['name']}: its notes name no original")
        plain = {**row, "evidence": manifest, "frames": "", "notes": ""}
        lines += extra_clip(
            plain,
            num_frames=int(row["frames"]),
            pixel_format="yuv420p",
            notes=f"The first {row['frames']} frames of {source_url[0].rpartition('/')[2]}. Width and height stand in its header.",
            evidence={"num_frames": f"SEEN {script}", "pixel_format": f"SEEN {script}"},
        )
    for row in extra_rows(facts, "videofast-challenge"):
        url = row["notes"].partition("frames of ")[2].partition(";")[0]
        lines += entry(
            {"id": url.rpartition("/")[2].removesuffix(".mkv"), "mirrors": [url]},
            {
                "mirrors": f"COMPOSED yudduy/videofast-challenge:corpus/manifest.json, under {UGC_BUCKET} (public-copy:52735798579)"
            },
        )
    return "\n".join(lines) + "\n"


def make_netflix(facts: Path) -> str:
    lines = [NETFLIX_HEAD.strip(), "", "groups:"]
    lines += ["  # Uncompressed.", *group("raw", ["Netflix_*"])]
    lines += [
        "  # Lossy encodes of whole films: content and motion, never pristine HR.",
        *group("encodes", ["*_SDR", "*_HDR_P3PQ", "Chimera-AV1-*"]),
    ]
    lines += ["", "clips:"]
    for row in extra_rows(facts, r"opencontent\.netflix\.com\.s3"):
        more: dict[str, object] = {}
        if not row["licence"]:
            more = {"license": "not-known"}
        if "publisher bucket" in row["name"]:
            name = "INFERRED the file name"
            note = "The copy on the Xiph host (xiph/{}) carries the older CC BY-NC-ND 4.0 notice."
            more = {
                "pixel_format": "yuv420p10le",
                "notes": note.format(row["name"].partition(".y4m")[0]),
                "evidence": {"pixel_format": name, "license": f"SEEN {row['evidence']}"},
                "license": "cc-by-4.0",
            }
        lines += extra_clip(row, **more)
    return "\n".join(lines) + "\n"


def make_blender(facts: Path) -> str:
    lines = [BLENDER_HEAD.strip(), "", "clips:"]
    for row in extra_rows(facts, r"blender"):
        lines += extra_clip(row)
    return "\n".join(lines) + "\n"


def make_t91(data: Path) -> str:
    pattern = r"\| (\S+)\.png \| (\d+)x(\d+) \| RGB \| \d+ \| [0-9a-f]{64} \| ([0-9a-f]{64}) \|"
    rows = re.findall(pattern, (data / "t91" / "README.md").read_text(encoding="utf-8"))
    lines = [T91_HEAD.strip(), "", "clips:"]
    first: dict[str, str] = {}
    for name, width, height, pixels in rows:
        origin = f"COMPUTED of tegg89/SRCNN-Tensorflow:Train/{name}.bmp"
        twin = first.setdefault(pixels, name)
        fields: dict[str, object] = {
            "id": name,
            "media": "image",
            "pixels_sha256": pixels,
            "width": int(width),
            "height": int(height),
            "num_frames": 1,
            "pixel_format": "rgb24",
        }
        evidence = dict.fromkeys(list(fields)[2:], origin)
        lines += entry(fields | {"notes": f"The same picture as {twin}." if twin != name else ""}, evidence)
    return "\n".join(lines) + "\n"


MADE = "# Made by scripts/make_manifests.py: change the script or its tables, not this file."
XIPH_HEAD = f"""
{MADE}
format: 1
id: xiph
title: Xiph.org test media (derf's collection, AOM CTC)
homepage: https://media.xiph.org/video/derf/
description: >-
  Raw test clips from QCIF to 4096x2160 that video coding has been measured on for decades, the test set of the
  AOM common test conditions, and a few films.
access: download
citation:
  text: Xiph.org Video Test Media (derf's collection), https://media.xiph.org/video/derf/
  bibtex: |
    @misc{{xiph-derf,
      title = {{Xiph.org Video Test Media (derf's collection)}},
      howpublished = {{\\url{{https://media.xiph.org/video/derf/}}}}
    }}
licenses:
  unstated:
    name: none stated
    terms: >-
      Of 113 clips of the derf folder that were audited (public-copy:70469304929), 62 have no explicit grant,
      11 a note of no copyright, 6 a note of public domain; which are which is not recorded here.
  netflix:
    name: CC BY-NC-ND 4.0
    url: https://creativecommons.org/licenses/by-nc-nd/4.0/
    redistribute_original: yes
    redistribute_derived: no
    commercial: no
    attribution: yes
    share_alike: no
    terms: >-
      The notice beside the copies on this host. The publisher's own bucket says CC BY 4.0 for the clips that it
      holds; those are other files.
  svt:
    name: SVT MultiFormat terms
    url: https://media.xiph.org/video/derf/vqeg.its.bldrdoc.gov/HDTV/SVT_MultiFormat/SVT_MultiFormat_v10.pdf
    terms: For the development and testing of standards. Read the text before any other use.
  ntia:
    name: NTIA/ITS source terms
    url: https://media.xiph.org/video/derf/vqeg.its.bldrdoc.gov/HDTV/NTIA_source/HDTV_Readme.txt
    terms: For research only. Read the text before any other use.
  aomctc:
    name: CC BY 4.0, CC BY-SA 4.0 or CC BY-NC-ND 4.0, by clip
    url: https://media.xiph.org/video/aomctc/test_set/
    attribution: yes
    terms: >-
      Each clip's own licence stands in <clip>_Copyright.txt beside it; which clip has which is not recorded here.
  cc-by-3.0:
    name: CC BY 3.0
    url: https://creativecommons.org/licenses/by/3.0/
    redistribute_original: yes
    redistribute_derived: yes
    commercial: yes
    attribution: yes
    share_alike: no
  cc-by-2.5:
    name: CC BY 2.5
    url: https://creativecommons.org/licenses/by/2.5/
    redistribute_original: yes
    redistribute_derived: yes
    commercial: yes
    attribution: yes
    share_alike: no
  cc0-picture:
    name: CC0 (the picture)
    url: https://creativecommons.org/publicdomain/zero/1.0/
    redistribute_original: yes
    redistribute_derived: yes
    commercial: yes
    attribution: no
    share_alike: no
    terms: Holds for the picture; the soundtrack has terms of its own.
license: unstated
"""
UVG_HEAD = f"""
{MADE}
format: 1
id: uvg
title: Ultra Video Group dataset (UVG)
homepage: https://ultravideo.fi/dataset.html
description: >-
  Sixteen clips of 50 and 120 frames a second, shot in 2160p by Tampere University: the seven of the ESPCN paper in
  1080p and 2160p, the nine that came later in 2160p, 8 and 10 bits; and two 16-bit clips of the UVG-VCM set. All of
  it is hundreds of GB: fetch a group or a clip.
access: download
year: 2020
citation:
  text: >-
    A. Mercat, M. Viitanen, J. Vanne, "UVG dataset: 50/120fps 4K sequences for video codec analysis and
    development", ACM Multimedia Systems Conference (MMSys), 2020.
  bibtex: |
    @inproceedings{{mercat2020uvg,
      title = {{UVG dataset: 50/120fps 4K sequences for video codec analysis and development}},
      author = {{Mercat, Alexandre and Viitanen, Marko and Vanne, Jarno}},
      booktitle = {{ACM Multimedia Systems Conference}},
      year = {{2020}}
    }}
licenses:
  cc-by-nc:
    name: CC BY-NC 3.0
    url: https://creativecommons.org/licenses/by-nc/3.0/
    redistribute_original: yes
    redistribute_derived: yes
    commercial: no
    attribution: yes
    share_alike: no
    terms: >-
      Read as CC BY-NC in public-copy:70469304929 and in KhronosGroup/VK-GL-CTS; version 3.0 in both. Each
      archive holds a <Name>_Copyright.txt.
  cc-by-4.0:
    name: CC BY 4.0
    url: https://creativecommons.org/licenses/by/4.0/
    redistribute_original: yes
    redistribute_derived: yes
    commercial: yes
    attribution: yes
    share_alike: no
    terms: For the clips of UVG-VCM.
license: cc-by-nc
"""
UGC_HEAD = f"""
{MADE}
format: 1
id: youtube-ugc
title: YouTube UGC, clips of people's own making
homepage: https://media.withyoutube.com/
description: >-
  About 1500 clips of 20 s from 360p to 2160p that people uploaded, served as plain files: content like that of
  YouTube-8M without its hurdles. Listed here are the fifteen whose names were seen, each whole and as an excerpt of 64
  frames; the bucket's own list is https://storage.googleapis.com/ugc-dataset/original_videos.csv, and its files lie at
  original_videos/<Category>/<360P|480P|720P|1080P|2160P>/<name>.mkv.
access: download
year: 2019
citation:
  text: >-
    Y. Wang, S. Inguva, B. Adsumilli, "YouTube UGC Dataset for Video Compression Research", IEEE International
    Workshop on Multimedia Signal Processing (MMSP), 2019.
  bibtex: |
    @inproceedings{{wang2019youtube,
      title = {{YouTube UGC Dataset for Video Compression Research}},
      author = {{Wang, Yilin and Inguva, Sasi and Adsumilli, Balu}},
      booktitle = {{IEEE International Workshop on Multimedia Signal Processing}},
      year = {{2019}}
    }}
licenses:
  cc-by:
    name: CC BY
    url: https://storage.googleapis.com/ugc-dataset/ATTRIBUTION
    redistribute_original: yes
    redistribute_derived: yes
    commercial: yes
    attribution: yes
    share_alike: no
    terms: >-
      ATTRIBUTION has a credit line for each clip, CC BY 4.0; the bucket's LICENSE file holds the text of CC BY 3.0
      (public-copy:52735798579; public-copy:70149329158). Keep the credit line next to every derived shard.
license: cc-by
"""
NETFLIX_HEAD = f"""
{MADE}
format: 1
id: netflix-open
title: Netflix Open Content
homepage: https://opencontent.netflix.com/
description: >-
  Films and test scenes that Netflix gives away, from its own bucket: encodes of whole films, SDR and HDR, and two
  scenes of El Fuente as y4m, 4096x2160 of 10 bits at 60 frames a second.
access: download
citation:
  text: Netflix, Open Content, https://opencontent.netflix.com/
  bibtex: |
    @misc{{netflix-open-content,
      author = {{Netflix}},
      title = {{Open Content}},
      howpublished = {{\\url{{https://opencontent.netflix.com/}}}}
    }}
licenses:
  cc-by-4.0:
    name: CC BY 4.0
    url: https://creativecommons.org/licenses/by/4.0/
    redistribute_original: yes
    redistribute_derived: yes
    commercial: yes
    attribution: yes
    share_alike: no
    terms: What the publisher's bucket says; copies on the Xiph host carry an older CC BY-NC-ND 4.0 notice.
  not-known:
    name: not known
    terms: No licence was read for this file; the films of the bucket are CC BY 4.0.
license: cc-by-4.0
"""
BLENDER_HEAD = f"""
{MADE}
format: 1
id: blender
title: Open movies of the Blender Foundation
homepage: https://studio.blender.org/films/
description: >-
  Big Buck Bunny and Tears of Steel as the foundation encoded them. Lossy: for content and motion, not as pristine HR;
  uncompressed copies are in xiph:films.
access: download
citation:
  text: Blender Foundation, Big Buck Bunny (peach.blender.org) and Tears of Steel (mango.blender.org).
licenses:
  cc-by-3.0:
    name: CC BY 3.0
    url: https://creativecommons.org/licenses/by/3.0/
    redistribute_original: yes
    redistribute_derived: yes
    commercial: yes
    attribution: yes
    share_alike: no
license: cc-by-3.0
"""
T91_HEAD = f"""
{MADE}
format: 1
id: t91
title: T91, the 91 training images
year: 2010
description: >-
  The 91 pictures that the SRCNN and ESPCN papers train on, 78 to 508 pixels wide, named t1 to t66 and tt1 to tt27
  (there is no t41 and no tt11).
access: manual
how_to_get: |
  No address with a published checksum is known. The pictures lie, as Train/*.bmp, in the public repository
  tegg89/SRCNN-Tensorflow; other sets named T91 or 91-image hold the same ones.
  1. Get a folder with the 91 pictures, as BMP or PNG (never as JPEG).
  2. Bring it in with: sr-data import t91 FOLDER
  A BMP and a PNG of one picture are different files: pixels_sha256 says whether the picture is the same.
citation:
  text: >-
    J. Yang, J. Wright, T. S. Huang, Y. Ma, "Image Super-Resolution via Sparse Representation", IEEE
    Transactions on Image Processing 19(11), 2010.
  bibtex: |
    @article{{yang2010image,
      title = {{Image Super-Resolution via Sparse Representation}},
      author = {{Yang, Jianchao and Wright, John and Huang, Thomas S. and Ma, Yi}},
      journal = {{IEEE Transactions on Image Processing}},
      volume = {{19}},
      number = {{11}},
      year = {{2010}}
    }}
licenses:
  unstated:
    name: none stated
    terms: A research benchmark of long standing; its authors state no licence for the pictures.
license: unstated
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("facts", type=Path, help="folder with xiph.csv, uvg.csv and extra.csv")
    parser.add_argument("--data", type=Path, help="folder with t91/README.md")
    parser.add_argument("--out", type=Path, default=Path("manifests/sources"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    texts = {
        "xiph": make_xiph(options.facts),
        "uvg": make_uvg(options.facts),
        "youtube-ugc": make_youtube_ugc(options.facts),
        "netflix-open": make_netflix(options.facts),
        "blender": make_blender(options.facts),
    }
    if options.data:
        texts["t91"] = make_t91(options.data)
    for name, text in texts.items():
        path = options.out / f"{name}.yaml"
        path.write_text(text, encoding="utf-8")
        print(f"{path}: {len(text)} bytes")


if __name__ == "__main__":
    main()
