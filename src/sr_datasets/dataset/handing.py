"""Batches that a worker process hands over: written once, straight into memory that the training process maps.

What a worker of a ``DataLoader`` returns goes into shared memory. A batch made in ordinary memory is copied there, into
pages that the system clears first and brings in one fault after another. Here the rows go from the mapped shards
into a nameless file in memory in one system call; the worker never touches its pages. This takes nothing from
``/dev/shm``, which is small in many containers.
"""

import os
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.multiprocessing import get_sharing_strategy
from torch.utils.data import get_worker_info

_AT_ONCE: Final = 1024
"""Linux takes this many pieces in one call (IOV_MAX)."""
_MAP_FILE: Final[Callable[[int, int], torch.UntypedStorage] | None] = getattr(
    torch.UntypedStorage, "_new_shared_fd_cpu", None
)
"""Makes a storage of a file and its size, as the receiving process does; no public name of torch."""


def hands_over() -> bool:
    """Tell whether this process is a worker whose batches can be written into shared memory directly."""
    return (
        get_worker_info() is not None
        and hasattr(os, "memfd_create")
        and _MAP_FILE is not None
        and get_sharing_strategy() == "file_descriptor"  # type: ignore[no-untyped-call]
    )


def shared_tensor(
    rows: Sequence[npt.NDArray[np.uint8]], shape: tuple[int, ...], dtype: torch.dtype
) -> Tensor:
    """Return rows one after another as one tensor in shared memory.

    Args:
        rows: The bytes of each row, contiguous, all of one length; at least one.
        shape: Of all rows together.
        dtype: Type of the samples.

    Raises:
        OSError: There is no memory left, or a row lies in a file that was cut off meanwhile.
    """
    assert _MAP_FILE is not None
    size = rows[0].nbytes
    file = os.memfd_create("sr-datasets-batch", os.MFD_CLOEXEC)
    try:
        done = 0
        while done < size * len(rows):
            row, inside = divmod(done, size)
            pieces: list[Any] = [rows[row].reshape(-1)[inside:], *rows[row + 1 : row + _AT_ONCE]]
            done += os.pwritev(file, pieces, done)
        storage = _MAP_FILE(file, done)
    finally:
        os.close(file)  # the storage has a descriptor of its own
    return torch.empty(0, dtype=dtype).set_(storage).view(shape)
