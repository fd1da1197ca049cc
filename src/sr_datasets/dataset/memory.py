"""How much memory is free, and what to say when it is too little."""

import os
from pathlib import Path

import torch

_GIB = 1 << 30
_CGROUPS = (
    ("memory.max", "memory.current", Path("/sys/fs/cgroup")),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", Path("/sys/fs/cgroup/memory")),
)


def check_fits(needed: int, device: torch.device, *, what: str) -> None:
    """Make sure that so many bytes are free on a device.

    Raises:
        MemoryError: They are not.
    """
    free = free_bytes(device)
    if free is not None and needed > free:
        raise MemoryError(
            f"{what}: one tensor pair of it takes {needed / _GIB:.2f} GiB, {free / _GIB:.2f} GiB are free on {device}. "
            "Take fewer rows (where=), keep the stored type (dtype=None), or load batches through a DataLoader."
        )


def free_bytes(device: torch.device) -> int | None:
    """Return how many bytes are free on a device; None where the system does not say.

    Of the CPU: what Linux calls available, and what is left below the limit of the process's control group.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free) + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    if device.type != "cpu":
        return None
    found = [_available(), *(_left_in_group(*names) for names in _CGROUPS)]
    return min((each for each in found if each is not None), default=None)


def _available() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return None


def _left_in_group(limit_name: str, usage_name: str, folder: Path) -> int | None:
    """Return the bytes below a control group's limit; the page cache counts as free, since it gives way."""
    try:
        limit = (folder / limit_name).read_text(encoding="ascii").strip()
        if limit == "max":
            return None
        cached = 0
        for line in (folder / "memory.stat").read_text(encoding="ascii").splitlines():
            name, _, value = line.partition(" ")
            if name in ("inactive_file", "active_file"):
                cached += int(value)
        return max(0, int(limit) - int((folder / usage_name).read_text(encoding="ascii")) + cached)
    except (OSError, ValueError):
        return None
