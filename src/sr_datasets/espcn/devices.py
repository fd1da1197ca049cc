"""What this installation of torch can compute on."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Gpu:
    """One CUDA device."""

    name: str
    """As its driver says."""
    capability: str
    """CUDA's compute capability, such as 9.0."""
    memory_bytes: int
    """All of its memory."""
    free_bytes: int
    """What of it nobody has taken."""


def cuda_build() -> str | None:
    """Return the version of CUDA that torch was built for, or None for a build that knows CPUs only."""
    version = torch.version.cuda
    return None if version is None else str(version)


def gpus() -> list[Gpu]:
    """Return the CUDA devices that torch sees."""
    found = []
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        facts = torch.cuda.get_device_properties(index)
        free, total = torch.cuda.mem_get_info(index)
        found.append(Gpu(facts.name, f"{facts.major}.{facts.minor}", total, free))
    return found


def computes(index: int) -> bool:
    """Return whether a device convolves small whole numbers exactly as the CPU does.

    Raises:
        RuntimeError: The device cannot compute at all, such as one that this build has no kernels for.
    """
    pixels = torch.arange(64, dtype=torch.float32).reshape(1, 1, 8, 8) % 7
    taps = torch.arange(9, dtype=torch.float32).reshape(1, 1, 3, 3) % 4
    expected = torch.nn.functional.conv2d(pixels, taps)
    device = torch.device("cuda", index)
    return bool((torch.nn.functional.conv2d(pixels.to(device), taps.to(device)).cpu() == expected).all())
