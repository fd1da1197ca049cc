"""Which analysis a recipe asks for, and cuts found by PySceneDetect; our own detector is ``sampling.cuts``."""

import importlib.util
from collections.abc import Iterable
from importlib.metadata import version

import numpy as np
import numpy.typing as npt

from sr_datasets import color
from sr_datasets.errors import MissingExtraError
from sr_datasets.manifest import VideoInfo
from sr_datasets.recipe import Sampling
from sr_datasets.sampling import ANALYSIS_VERSION
from sr_datasets.video import Frame

LONGEST_SIDE = 320
"""About how many samples of the longer side it sees: every n-th one."""


def analysis_name(sampling: Sampling) -> str:
    """Return the version of the analysis that rows depend on, with that of a detector not our own; empty for none.

    Raises:
        MissingExtraError: PySceneDetect is asked for and not installed.
    """
    if not sampling.needs_analysis:
        return ""
    other = "" if sampling.cut_detector == "own" else f"-pyscenedetect-{pyscenedetect_version()}"
    return f"v{ANALYSIS_VERSION}{other}"


def pyscenedetect_version() -> str:
    """Return the version of PySceneDetect that is installed.

    Raises:
        MissingExtraError: None is.
    """
    if importlib.util.find_spec("scenedetect") is None:
        raise MissingExtraError("cut_detector: pyscenedetect", extra="scene")
    return version("scenedetect")


def cuts_by_pyscenedetect(frames: Iterable[Frame], info: VideoInfo) -> npt.NDArray[np.bool_]:
    """Return for each frame whether PySceneDetect's AdaptiveDetector, with its defaults, takes it for a cut.

    Shots may be as short as one frame; its default keeps 15 frames between cuts, which windows would cross.
    Its floating point may differ between machines and versions, and with it the plan.

    Args:
        frames: Every frame of a clip, in order.
        info: The clip.
    """
    from scenedetect import AdaptiveDetector, FrameTimecode

    detector = AdaptiveDetector(min_scene_len=1)
    found = np.zeros(info.num_frames, np.bool_)
    step = max(1, max(info.width, info.height) // LONGEST_SIDE)
    for frame in frames:
        rgb = color.window(
            frame.planes, info.layout, color="rgb", top=0, left=0, height=info.height, width=info.width
        )
        small = (rgb[:, ::step, ::step] >> (info.bit_depth - 8)).astype(np.uint8)
        picture = np.ascontiguousarray(small[::-1].transpose(1, 2, 0))
        # Frame numbers are all that counts here; the rate is not used.
        for cut in detector.process_frame(FrameTimecode(frame.index, fps=25.0), picture):
            found[cut.frame_num] = True
    return found
