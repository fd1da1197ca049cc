"""Which clips go to which split: whole clips, and all pieces of one video together."""

from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction


def deal(num_clips: int, counts: Mapping[str, int]) -> dict[str, int]:
    """Say how many of ``num_clips`` clips each split gets; ``-1`` takes the rest.

    With fewer clips than the counts ask for, the counts are kept in proportion (largest remainder),
    and no split goes empty while another has two.

    Example:
        >>> deal(200, {"train": 100, "test": 15})
        {'train': 100, 'test': 15}
        >>> deal(10, {"train": 100, "test": 15})
        {'train': 9, 'test': 1}
        >>> deal(10, {"val": 2, "train": -1})
        {'val': 2, 'train': 8}
    """
    fixed = {name: count for name, count in counts.items() if count != -1}
    rest = [name for name, count in counts.items() if count == -1]
    wanted = sum(fixed.values()) + len(rest)
    if num_clips >= wanted:
        dealt = dict(fixed)
    else:
        shares = {name: fixed.get(name, 1) * num_clips / wanted for name in counts}
        dealt = {name: int(share) for name, share in shares.items()}
        by_remainder = sorted(counts, key=lambda name: dealt[name] - shares[name])
        for name in by_remainder[: num_clips - sum(dealt.values())]:
            dealt[name] += 1
        for name in counts:
            largest = max(counts, key=lambda other: dealt[other])
            if dealt[name] == 0 and dealt[largest] > 1:
                dealt[name], dealt[largest] = 1, dealt[largest] - 1
        return {name: dealt[name] for name in counts}
    for name in rest:
        dealt[name] = num_clips - sum(dealt.values())
    return {name: dealt[name] for name in counts}


def shares(num_clips: int, ratios: Mapping[str, float]) -> dict[str, int]:
    """Say how many of ``num_clips`` clips each split gets by ratio (largest remainder, earlier splits first).

    No split goes empty while another has two.

    Args:
        num_clips: Clips to deal.
        ratios: Part of each split; they are taken relative to their sum.

    Example:
        >>> shares(115, {"train": 0.8, "val": 0.05, "test": 0.15})
        {'train': 92, 'val': 6, 'test': 17}
        >>> shares(3, {"train": 0.9, "val": 0.05, "test": 0.05})
        {'train': 1, 'val': 1, 'test': 1}
    """
    # As they are written: 0.05 is a twentieth here, and not the nearest binary number.
    parts = {name: Fraction(str(ratio)) for name, ratio in ratios.items()}
    whole = sum(parts.values())
    wanted = {name: part * num_clips / whole for name, part in parts.items()}
    dealt = {name: int(share) for name, share in wanted.items()}
    by_remainder = sorted(ratios, key=lambda name: dealt[name] - wanted[name])
    for name in by_remainder[: num_clips - sum(dealt.values())]:
        dealt[name] += 1
    for name in ratios:
        largest = max(ratios, key=lambda other: dealt[other])
        if dealt[name] == 0 and dealt[largest] > 1:
            dealt[name], dealt[largest] = 1, dealt[largest] - 1
    return dealt


def deal_together(groups: Sequence[str], dealt: Mapping[str, int]) -> list[str | None]:
    """Deal clips to splits so that those of one group land in one.

    In the order of their first clips, groups go to the first split that has room for them, or to the one with most
    room. Where every clip is a group of its own, splits fill one after another. A split that would get nothing gets the
    smallest group of the split with most groups.

    Args:
        groups: The group of each clip, in order of selection.
        dealt: How many clips each split is to get.

    Returns:
        The split of each clip; None for clips that no split has room for.

    Example:
        >>> deal_together(["a", "b", "a", "c", "d"], {"train": 3, "val": 2})
        ['train', 'train', 'train', 'val', 'val']
        >>> deal_together(["a", "b", "a", "b", "c"], {"val": 1, "train": 4})
        ['train', 'train', 'train', 'train', 'val']
    """
    sizes = Counter(groups)
    room = dict(dealt)
    split_of: dict[str, str] = {}
    # As many clips as splits have room for; more of them only where a group would be torn.
    for group in dict.fromkeys(groups):
        fitting = [name for name, left in room.items() if left >= sizes[group]]
        roomy = max(room, key=lambda name: room[name])
        if not fitting and room[roomy] <= 0:
            continue
        chosen = fitting[0] if fitting else roomy
        split_of[group] = chosen
        room[chosen] -= sizes[group]
    for name, wanted in dealt.items():
        held = Counter(split_of.values())
        if wanted and not held[name]:
            largest = max(held, key=lambda other: held[other], default=name)
            if held[largest] > 1:
                mine = [group for group, split in split_of.items() if split == largest]
                split_of[min(mine, key=lambda group: sizes[group])] = name
    return [split_of.get(group) for group in groups]
