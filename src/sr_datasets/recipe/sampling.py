"""Which frames and positions of a clip become rows."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from sr_datasets.models import Model

Nuisance = Literal["cuts", "borders", "duplicates"]
ALL_NUISANCES: tuple[Nuisance, ...] = ("cuts", "borders", "duplicates")


class Patches(Model):
    """What every sampling says of its patches."""

    margin: int = Field(default=0, ge=0)
    """LR pixels that patches keep from the frame's edge."""
    avoid: tuple[Nuisance, ...] | None = None
    """What to keep away from: ``cuts`` (no window crosses one), ``borders`` (black ones), ``duplicates`` (frames that
    show what the last one showed). Left out: all three, where the clip is analysed in any case; ``[]`` for nothing."""
    cut_detector: Literal["own", "pyscenedetect"] = "own"
    """Who finds the cuts: our detector, or PySceneDetect's AdaptiveDetector (the ``scene`` extra)."""

    @property
    def num_lr_frames(self) -> int:
        """LR frames of each row (T)."""
        return 1

    @property
    def num_hr_frames(self) -> int:
        """HR frames of each row."""
        return 1

    @property
    def frames_apart(self) -> int:
        """Frames from one LR frame of a row to the next."""
        return 1

    @property
    def avoided(self) -> tuple[Nuisance, ...]:
        """What is kept away from, the default spelled out; a single frame crosses no cut."""
        if self.avoid is None:
            return ()
        return tuple(name for name in self.avoid if name != "cuts" or self.num_lr_frames > 1)

    @property
    def needs_analysis(self) -> bool:
        """Whether rows depend on what the pictures show."""
        return bool(self.avoided)


class Windows(Patches):
    """What samplings with several frames say of them."""

    window: int = Field(default=1, ge=1)
    """LR frames per patch pair (T), odd; HR is the centre frame unless ``hr_frames`` says all."""
    step: int = Field(default=1, ge=1)
    """Frames from one frame of a window to the next."""
    hr_frames: Literal["centre", "all"] = "centre"
    """Which frames of the window have HR."""

    @model_validator(mode="after")
    def _window_has_a_centre(self) -> Self:
        if self.window % 2 == 0:
            raise ValueError(
                f"window is {self.window}: an odd number of frames has a centre, an even one has not"
            )
        return self

    @property
    def num_lr_frames(self) -> int:
        """LR frames of each row (T)."""
        return self.window

    @property
    def frames_apart(self) -> int:
        """Frames from one LR frame of a row to the next."""
        return self.step

    @property
    def num_hr_frames(self) -> int:
        """HR frames of each row."""
        return self.window if self.hr_frames == "all" else 1

    @property
    def avoided(self) -> tuple[Nuisance, ...]:
        """What is kept away from; by default nothing for single frames, all three for windows."""
        if self.avoid is None and self.window > 1:
            return ALL_NUISANCES
        return super().avoided


class DrawnPatches(Windows):
    """What samplings that draw patch by patch have in common."""

    patches_per_pair: int = Field(default=30, ge=1, le=100_000)
    """Patch pairs of each clip."""
    lr_size: int = Field(default=32, ge=1)
    """Side of the LR patch in LR pixels."""
    overlap: Literal["allow", "none"] = "allow"
    """``none``: patches of near windows of a clip do not overlap (a ``min_distance`` of ``lr_size``)."""
    min_distance: int = Field(default=0, ge=0)
    """Least distance of two patches of near windows of a clip, from corner to corner, the larger of rows and columns, in
    LR pixels."""
    near_frames: int = Field(default=0, ge=0)
    """Windows are near when at most so many frames apart; 0: when they share a frame or interleave."""

    @property
    def distance(self) -> int:
        """Least distance of near patches in LR pixels."""
        return max(self.min_distance, self.lr_size if self.overlap == "none" else 0)


class UniformSampling(DrawnPatches):
    """Frames and positions drawn evenly, as VESPCN: each patch pair its own frame and its own place."""

    kind: Literal["uniform"] = "uniform"
    """Name of the sampling."""


class AnalysedPatches(DrawnPatches):
    """What samplings that look at the pictures have in common."""

    @property
    def avoided(self) -> tuple[Nuisance, ...]:
        """What is kept away from; by default all three."""
        if self.avoid is None:
            return ALL_NUISANCES if self.window > 1 else ("borders", "duplicates")
        return super().avoided

    @property
    def needs_analysis(self) -> bool:
        """Always: rows depend on texture."""
        return True


class TexturedSampling(AnalysedPatches):
    """Drawn evenly from the patches that are not flat."""

    kind: Literal["textured"] = "textured"
    """Name of the sampling."""
    min_texture: int = Field(default=12, ge=0, le=255)
    """Least texture of the patch in its centre frame, in quarter levels of 8 bits: the mean of what luma differs to the
    right and below, 2x2 samples taken together (docs/sampling.md)."""


class StratifiedSampling(AnalysedPatches):
    """As many patches from each stratum of texture, motion and luma that a clip has."""

    kind: Literal["stratified"] = "stratified"
    """Name of the sampling."""
    texture_edges: tuple[int, ...] = (20, 80)
    """Where strata of texture begin beside the first, ascending, as ``min_texture`` counts."""
    motion_edges: tuple[int, ...] = (2, 6)
    """Where strata of motion begin, in quarter pixels a frame (docs/sampling.md)."""
    luma_edges: tuple[int, ...] = (80, 125)
    """Where strata of mean luma begin, in levels of 8 bits."""

    @model_validator(mode="after")
    def _edges_ascend(self) -> Self:
        for name in ("texture_edges", "motion_edges", "luma_edges"):
            edges = getattr(self, name)
            if list(edges) != sorted(set(edges)) or any(edge < 1 for edge in edges):
                raise ValueError(f"{name} is {list(edges)}: it must be above 0 and ascend")
        return self


class GridSampling(Patches):
    """Every patch of a regular grid, as ESPCN's training set: dense, in raster order."""

    kind: Literal["grid"] = "grid"
    """Name of the sampling."""
    lr_size: int = Field(default=17, ge=1)
    """Side of the LR patch in LR pixels."""
    stride: int = Field(default=14, ge=1)
    """LR pixels from one patch to the next."""
    frame_step: int = Field(default=1, ge=1)
    """Every n-th frame of a clip is cut."""


class TilesSampling(Windows):
    """Whole windows of frames at drawn times, each cut into all its patches side by side, as VESPCN is read here."""

    kind: Literal["tiles"] = "tiles"
    """Name of the sampling."""
    windows_per_pair: int = Field(default=30, ge=1, le=100_000)
    """Windows of each clip, each with its own centre frame."""
    lr_size: int = Field(default=33, ge=1)
    """Side of the LR patch in LR pixels; what is left at the right and bottom is dropped."""
    min_frames: int = Field(default=1, ge=1)
    """Least frames from the centre of one window to that of another."""


Sampling = Annotated[
    UniformSampling | TexturedSampling | StratifiedSampling | GridSampling | TilesSampling,
    Field(discriminator="kind"),
]
