"""``ResumableSampler``: every row once per epoch over all ranks, and one integer to resume from."""

from collections.abc import Iterator
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import torch.distributed
from torch.utils.data import Sampler

from sr_datasets.dataset.numbered import SampleRow, SampleRows
from sr_datasets.dataset.order import BlockOrder, Order, SampleOrder

_AT_ONCE: Final = 4096


class HasRowGroups(Protocol):
    """What a sampler must know of a data set; ``PairDataset`` has it."""

    @property
    def rows_of_group(self) -> npt.NDArray[np.int64]:
        """How many rows each row group has."""

    def __len__(self) -> int: ...


class ResumableSampler(Sampler[int]):
    """Hands out row numbers in an order that can be stopped anywhere and taken up by any number of processes.

    There is one endless sequence of samples; the n-th is a pure function of (seed, n), and every ``len(dataset)`` of
    them from the first have each row once. W ranks share it by stride: of what is not consumed yet, rank r takes the
    samples r, r + W, r + 2 W and so on. So after k batches of B rows the ranks together have consumed the next
    k * B * W samples, whatever W and B are: batches may cross epochs, and nothing is padded or dropped.

    The state is ``consumed``: how many samples, over all ranks, the training loop has consumed. What a ``DataLoader``
    has fetched ahead is not consumed; the loop says what is::

        sampler = ResumableSampler(ds, seed=0)
        loader = DataLoader(ds, sampler=sampler.batches(64), batch_size=None, num_workers=2)
        for batch in loader:
            train(batch)
            sampler.advance(len(batch["lr"]))
            # any time: save sampler.state_dict()

    The row numbers are ``SampleRow`` (alone) and ``SampleRows`` (in batches): plain numbers and lists that also say
    which samples they are, by which ``PairDataset`` keys augmentation and fresh LR.
    """

    def __init__(
        self,
        dataset: HasRowGroups | int,
        *,
        seed: int = 0,
        block: int | None = None,
        num_samples: int | None = None,
        rank: int | None = None,
        world_size: int | None = None,
    ) -> None:
        """Begin at sample 0.

        Args:
            dataset: A ``PairDataset``, or a number of rows (then states cannot tell other rows from these).
            seed: What the order is drawn from.
            block: Mix the rows of this many row groups at a time, which follow one another in a shuffled order of
                row groups: for sets that are remote or larger than memory. All rows of an epoch when left out.
            num_samples: Where the sequence ends, over all ranks; endless when left out.
            rank: Which process this is, from 0; of ``torch.distributed`` when left out, where a process group runs.
            world_size: How many processes share the sequence; as ``rank``.

        Raises:
            ValueError: There are no rows, a number is out of range, or ``block`` is asked of a mere number of rows.
        """
        runs = torch.distributed.is_available() and torch.distributed.is_initialized()
        if (rank is None) != (world_size is None):
            raise ValueError("rank and world_size go together: give both, or neither")
        self.rank = rank if rank is not None else torch.distributed.get_rank() if runs else 0
        self.world_size = (
            world_size if world_size is not None else torch.distributed.get_world_size() if runs else 1
        )
        if not 0 <= self.rank < self.world_size:
            raise ValueError(f"rank is {self.rank}, must be 0..{self.world_size - 1}")
        if num_samples is not None and num_samples < 0:
            raise ValueError(f"num_samples is {num_samples}, must be at least 0")
        self.order: Order
        if block is None:
            self.order = SampleOrder(dataset if isinstance(dataset, int) else len(dataset), seed=seed)
        elif isinstance(dataset, int):
            raise ValueError("block= needs a PairDataset, which knows its row groups")
        else:
            self.order = BlockOrder(dataset.rows_of_group, seed=seed, block=block)
        self.num_samples = num_samples
        self.block = block
        self._rows: str | None = getattr(dataset, "rows_digest", None)
        self._base = 0
        self._own = 0
        """Samples of this rank that were consumed since ``_base``."""
        self._handed = 0
        """Samples of this rank that were handed out since ``_base``."""

    @property
    def consumed(self) -> int:
        """Samples that the training loop has consumed, over all ranks: the whole state."""
        if self._own == self._left():
            assert self.num_samples is not None
            return self.num_samples
        return self._base + self._own * self.world_size

    @property
    def epoch(self) -> int:
        """The epoch in which the next sample lies, from 0."""
        return self.consumed // self.order.num_rows

    def advance(self, count: int) -> None:
        """Say that the training loop has consumed samples of this rank: the length of its batch.

        Raises:
            ValueError: More than was handed out.
        """
        if not 0 <= count <= self._handed - self._own:
            raise ValueError(
                f"{count} samples are reported as consumed, {self._handed - self._own} were handed out: report the rows "
                "of this process's own batch, once, and through the sampler that the loader has"
            )
        self._own += count

    def state_dict(self) -> dict[str, Any]:
        """Return ``consumed``, and which sequence it counts in: plain JSON values, the same in all ranks at a step."""
        return {"consumed": self.consumed, **self._sequence()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where a state was taken, with whatever world size, batch size and number of workers there are now.

        Raises:
            ValueError: The state counts in another sequence: other rows, another seed or another ``block``.
        """
        for name, value in self._sequence().items():
            if state.get(name) != value:
                raise ValueError(
                    f"the state counts in another sequence: its {name} is {state.get(name)}, here it is {value}. "
                    "Resume with the same rows, seed and block"
                )
        self.start_at(state["consumed"])

    def start_at(self, consumed: int) -> None:
        """Go on after so many samples.

        Raises:
            ValueError: It is negative, or beyond ``num_samples``.
        """
        if consumed < 0 or (self.num_samples is not None and consumed > self.num_samples):
            raise ValueError(f"consumed is {consumed}, must be 0..{self.num_samples or 'any'}")
        self._base, self._own, self._handed = consumed, 0, 0

    def batches(self, batch_size: int) -> "ResumableBatches":
        """Return a sampler of whole batches, for ``DataLoader(ds, sampler=..., batch_size=None)`` or ``batch_sampler=``.

        Its state is this sampler's.

        Raises:
            ValueError: A batch has no row.
        """
        return ResumableBatches(self, batch_size)

    def __len__(self) -> int:
        """Return how many samples of this rank are left.

        Raises:
            TypeError: The sequence is endless.
        """
        left = self._left()
        if left is None:
            raise TypeError("the sequence is endless: give num_samples, or count steps in the training loop")
        return left - self._own

    def __iter__(self) -> Iterator[int]:
        """Hand out row numbers of this rank, from the first that is not consumed."""
        for rows in self._batches(1):
            yield SampleRow(rows[0], rows.first)

    def _batches(self, batch_size: int) -> Iterator[SampleRows]:
        # Each iterator has its own place; the newest one's counts.
        own, left = self._own, self._left()
        base, step = self._base, self.world_size
        # Arithmetic on long arrays costs less a sample; more than an epoch at once gains nothing.
        many = max(1, min(_AT_ONCE, self.order.num_rows) // batch_size) * batch_size
        self._handed = own
        while left is None or own < left:
            count = many if left is None else min(many, left - own)
            first = base + self.rank + own * step
            rows = self.order.rows_at(
                np.uint64(first) + np.uint64(step) * np.arange(count, dtype=np.uint64)
            ).tolist()
            for start in range(0, count, batch_size):
                numbers = rows[start : start + batch_size]
                batch = SampleRows(
                    numbers, first=first + start * step, step=step, near=self.block is not None
                )
                own += len(batch)
                self._handed = max(self._handed, own) if base == self._base else self._handed
                yield batch

    def _left(self) -> int | None:
        """Return how many samples this rank has from ``_base`` to the end; None without an end."""
        if self.num_samples is None:
            return None
        return max(0, -(-(self.num_samples - self._base - self.rank) // self.world_size))

    def _sequence(self) -> dict[str, int | str | None]:
        return {
            "num_rows": self.order.num_rows,
            "seed": self.order.seed,
            "block": self.block,
            "rows": self._rows,
        }


class ResumableBatches(Sampler[list[int]]):
    """The rows of a ``ResumableSampler``, batch by batch; only the last batch of a finite sequence may be shorter."""

    def __init__(self, sampler: ResumableSampler, batch_size: int) -> None:
        """Take rows from a sampler.

        Raises:
            ValueError: A batch has no row.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}, must be at least 1")
        self.sampler, self.batch_size = sampler, batch_size

    def __len__(self) -> int:
        """Return how many batches are left.

        Raises:
            TypeError: The sequence is endless.
        """
        return -(-len(self.sampler) // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        """Hand out batches, from the first sample that is not consumed."""
        return iter(self.sampler._batches(self.batch_size))
