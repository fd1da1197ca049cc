"""One picture along an evaluation protocol: the LR that a method gets, and the score of what it returns.

Bicubic and networks go through the same lines, so that their rows of a table can be compared.
"""

from dataclasses import dataclass

import numpy as np

from sr_datasets.color import Floats, Pixels, luma_of_rgb, luma_of_rgb_float
from sr_datasets.degrade.engine import degrade_frame
from sr_datasets.degrade.resample import resize_bicubic, to_whole
from sr_datasets.metrics import Protocol, Score, score
from sr_datasets.recipe import Bicubic, Degradation


@dataclass(frozen=True, slots=True, eq=False)
class EvaluationPair:
    """What a method is given, and what its result is compared with."""

    lr: Floats
    """``(1 or 3, h, w)`` on 0..2**bit_depth - 1; whole numbers unless the path is ``y64``. One plane is
    luma (BT.601, studio range; the decoder's own of a gray picture), three are R, G, B."""
    hr: Floats
    """``(1 or 3, H, W)`` on the same scale, in the protocol's channel."""
    scale: int
    """HR-to-LR ratio."""
    protocol: Protocol
    """The convention."""
    bit_depth: int
    """Bits per sample of the picture."""

    def upscale_bicubic(self) -> Floats:
        """Return the bicubic SR, made along the protocol's path: the first row of every table."""
        height, width = self.hr.shape[1:]
        if self.protocol.lr_path != "rgb8":
            return resize_bicubic(self.lr, height, width)
        # MATLAB on a uint8 array rounds after each pass; each takes one axis.
        peak = (1 << self.bit_depth) - 1
        tall = to_whole(resize_bicubic(self.lr, height, self.lr.shape[2]), peak)
        return to_whole(resize_bicubic(tall, height, width), peak)

    def score(self, sr: Floats) -> Score:
        """Score an SR picture.

        It is clipped and rounded to the picture's depth, as a file would hold it; luma is then taken of
        R'G'B' as the protocol says.

        Args:
            sr: As many planes as ``lr``, of HR size, on the same scale as ``lr``; any float dtype.

        Raises:
            ValueError: The size or the number of planes differs.
        """
        wanted = (self.lr.shape[0], *self.hr.shape[1:])
        if sr.shape != wanted:
            raise ValueError(f"SR is {sr.shape}, expected {wanted}")
        picture = to_whole(np.asarray(sr, np.float64), (1 << self.bit_depth) - 1)
        return score(
            _in_channel(picture, self.protocol, self.bit_depth),
            self.hr,
            self.protocol,
            self.scale,
            bit_depth=self.bit_depth,
        )


def evaluation_pair(
    picture: Pixels,
    scale: int,
    protocol: Protocol,
    *,
    degradation: Degradation | None = None,
    luma_model: bool = False,
    bit_depth: int = 8,
) -> EvaluationPair:
    """Mod-crop a picture, make LR of it along the protocol's path, and keep what SR is compared with.

    Args:
        picture: ``(3, height, width)`` R'G'B' or ``(1, height, width)`` gray or luma, which is taken as it
            is; uint8, or uint16 above 8 bits.
        scale: HR-to-LR ratio.
        protocol: The convention.
        degradation: None for bicubic, rounded as the path says; else this one, on luma for ``y64``.
        luma_model: The method takes and returns luma only; on the RGB paths it gets the unrounded luma of
            the LR picture.
        bit_depth: Bits per sample, 8..16.

    Raises:
        ValueError: The picture is no (1 or 3, height, width), is too small, or a luma model is to be
            scored in RGB.
    """
    if picture.ndim != 3 or picture.shape[0] not in (1, 3):
        raise ValueError(f"a picture is (1 or 3, height, width), this array is {picture.shape}")
    if luma_model and protocol.channel == "rgb":
        raise ValueError(f"a luma model has no colour to score under {protocol.name}: take a protocol on y")
    height, width = protocol.cropped(picture.shape[1], picture.shape[2], scale)
    hr = picture[:, :height, :width]
    if protocol.lr_path == "y64" and hr.shape[0] == 3:
        hr = luma_of_rgb(hr, bit_depth)
    if degradation is None and protocol.lr_path == "y64":
        lr = resize_bicubic(hr.astype(np.float64), height // scale, width // scale)
    else:
        rule = degradation or Bicubic(rounding="each-pass" if protocol.lr_path == "rgb8" else "once")
        lr = degrade_frame(hr, rule, scale, bit_depth=bit_depth).astype(np.float64)
    if luma_model and lr.shape[0] == 3:
        lr = luma_of_rgb_float(lr, bit_depth)
    return EvaluationPair(
        lr=lr,
        hr=_in_channel(hr.astype(np.float64), protocol, bit_depth),
        scale=scale,
        protocol=protocol,
        bit_depth=bit_depth,
    )


def _in_channel(picture: Floats, protocol: Protocol, bit_depth: int) -> Floats:
    """Return luma of three planes where the protocol scores luma; everything else as it is."""
    if protocol.channel == "rgb" or picture.shape[0] == 1:
        return picture
    luma = luma_of_rgb_float(picture, bit_depth)
    return luma if protocol.luma == "float" else to_whole(luma, (1 << bit_depth) - 1)
