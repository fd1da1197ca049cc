"""Degrading by numbers, as the tests like it."""

from sr_datasets.degrade import Degrader, Region


def lr_region(place):
    return Region(place["lr_top"], place["lr_left"], place["lr_height"], place["lr_width"])


def hr_window(degradation, scale, *, frame_height, frame_width, **place):
    return Degrader(degradation, scale).hr_region(lr_region(place), frame_height, frame_width)


def degrade(
    window,
    degradation,
    scale,
    *,
    window_top,
    window_left,
    frame_height,
    frame_width,
    bit_depth=8,
    **place,
):
    (lr,), drawn = Degrader(
        degradation, scale, bit_depth=bit_depth, color="y" if len(window) == 1 else "rgb"
    ).degrade(
        [window],
        at=Region(window_top, window_left, *window.shape[1:]),
        height=frame_height,
        width=frame_width,
        lr=lr_region(place),
    )
    assert drawn == []
    return lr
