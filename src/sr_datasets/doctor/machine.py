"""The machine: cores and memory, the disk of the store, and what torch can compute on."""

import importlib.util
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from sr_datasets.doctor.checks import Check
from sr_datasets.files import human_bytes

_TRIED_BYTES = 64 << 20
_CHUNK_BYTES = 4 << 20
_SCARCE_BYTES = 5_000_000_000
_FULL_BYTES = 100_000_000
_SCARCE_FILES = 10_000
_REMOTE_KINDS = {
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "9p",
    "fuse.sshfs",
    "fuse.s3fs",
    "fuse.gcsfuse",
    "lustre",
    "beegfs",
}


def check_machine() -> Iterator[Check]:
    """Look at cores and memory."""
    # Affinity, not the count of the machine: a container or a batch system may have given fewer.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        memory: int | None = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        memory = None
    told = f"{cores} core{'s' if cores > 1 else ''}" + (
        f", {human_bytes(memory)} of memory" if memory else ""
    )
    yield Check("machine", "cpu", "ok", told, facts={"cores": cores, "memory_bytes": memory})


def check_disk(root: Path) -> Iterator[Check]:
    """Look at the disk that holds a store: its kind, what is free, whether it can be written, how fast it is.

    A store that does not exist is not made: then the nearest folder above it is looked at, and no speed is taken.

    Args:
        root: The store's folder.
    """
    folder = root
    while not folder.exists():
        folder = folder.parent
    kind = filesystem_of(folder)
    free = shutil.disk_usage(folder).free
    files = os.statvfs(folder).f_favail
    facts = {"folder": str(folder), "kind": kind, "free_bytes": free, "free_files": files}
    told = f"{human_bytes(free)} free" + (f", {kind}" if kind else "")
    if free < _FULL_BYTES:
        yield Check("disk", "space", "broken", told, "Make room, or choose another folder: --store", facts)
    elif free < _SCARCE_BYTES or 0 < files < _SCARCE_FILES:
        more = f", room for {files} more files" if 0 < files < _SCARCE_FILES else ""
        yield Check("disk", "space", "note", f"{told}{more}: little for video", "", facts)
    else:
        yield Check("disk", "space", "ok", told, facts=facts)
    if kind in _REMOTE_KINDS:
        found = f"{kind} lies on another machine: sets are read from a map of the file, best from a disk here"
        yield Check("disk", "kind", "note", found)
    elif kind in ("tmpfs", "ramfs"):
        yield Check("disk", "kind", "note", f"{kind} is memory: what is in it is gone at the next start")
    if not os.access(folder, os.W_OK):
        found = f"{folder} cannot be written by this user"
        yield Check("disk", "writing", "broken", found, "Choose another folder: --store, or SR_DATA_HOME")
    elif folder == root and free > 4 * _TRIED_BYTES:
        yield _speed(folder)


def filesystem_of(folder: Path) -> str:
    """Return the kind of file system that holds a folder, such as ext4; empty where the system does not tell."""
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    wanted, best, kind = folder.resolve(), -1, ""
    for line in lines:
        mount, _, rest = line.partition(" - ")
        place = Path(mount.split()[4].replace("\\040", " "))
        if wanted.is_relative_to(place) and len(place.parts) >= best:
            best, kind = len(place.parts), rest.split()[0]
    return kind


def _speed(folder: Path) -> Check:
    """Write one file without a name, push it to the disk, and read it back past the cache."""
    block = os.urandom(_CHUNK_BYTES)
    try:
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            start = time.perf_counter()
            for _ in range(_TRIED_BYTES // _CHUNK_BYTES):
                file.write(block)
            os.fsync(file.fileno())
            written = time.perf_counter() - start
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            file.seek(0)
            start = time.perf_counter()
            while file.read(_CHUNK_BYTES):
                pass
            read = time.perf_counter() - start
    except OSError as error:
        found = f"{folder} cannot be written: {error.strerror}"
        return Check("disk", "writing", "broken", found, "Choose another folder: --store, or SR_DATA_HOME")
    rates = {"write": round(_TRIED_BYTES / max(written, 1e-6)), "read": round(_TRIED_BYTES / max(read, 1e-6))}
    told = f"writes {human_bytes(rates['write'])}/s, reads {human_bytes(rates['read'])}/s"
    return Check(
        "disk",
        "speed",
        "ok",
        f"{told} (one file of {human_bytes(_TRIED_BYTES)}; a hint)",
        facts={f"{name}_bytes_per_second": rate for name, rate in rates.items()},
    )


def check_gpu() -> Iterator[Check]:
    """Look whether torch has a CUDA device, and whether that computes what the CPU does."""
    if importlib.util.find_spec("torch") is None:
        yield Check("gpu", "cuda", "note", "not looked for: torch is not installed", "", {"devices": 0})
        return
    from sr_datasets.espcn import devices

    build = devices.cuda_build()
    found = devices.gpus()
    if not found:
        why = (
            "this torch knows CPUs only"
            if build is None
            else f"torch is built for CUDA {build}, and sees no device"
        )
        yield Check(
            "gpu", "cuda", "note", f"none: {why}; all works on the CPU", "", {"devices": 0, "build": build}
        )
    for index, gpu in enumerate(found):
        told = (
            f"{gpu.name}, {human_bytes(gpu.free_bytes)} of {human_bytes(gpu.memory_bytes)} free, CUDA {build}"
        )
        facts = {
            "name": gpu.name,
            "capability": gpu.capability,
            "memory_bytes": gpu.memory_bytes,
            "build": build,
        }
        try:
            right = devices.computes(index)
        except RuntimeError as error:
            right, told = False, f"{gpu.name} fails: {str(error).splitlines()[0]}"
        else:
            told += "" if right else "; a small convolution differs from the CPU's"
        yield Check(
            "gpu",
            f"cuda:{index}",
            "ok" if right else "broken",
            told,
            "" if right else "Or: --device cpu",
            facts,
        )
