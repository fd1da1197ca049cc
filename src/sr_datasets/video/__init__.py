"""Clips as planes: what a clip says of itself, and its frames by index, exactly.

Frame n is the n-th shown frame: the n-th that a decode from the start gives, whatever the order of
coding, the edit list or the time stamps. Samples are the decoder's own; no matrix, range or gamma
is applied, and chroma keeps its size. A frame is cropped and turned as its stream says (by quarter
turns and flips only, which keep every sample); the shape of a sample (SAR) is left alone.

What samples mean is declared by the manifest, or else tagged by the stream, or else guessed:

- matrix: none for RGB; BT.2020 where the transfer is BT.2020's, PQ or HLG; BT.709 for at least 720
  rows or 1280 columns; BT.601 below.
- range: full for RGB, for grey pictures and for FFmpeg's yuvj formats; limited for other video.
- transfer: sRGB (IEC 61966-2-1) for RGB and grey pictures, BT.709 for video.
- siting: centre for MPEG-1, H.263 and motion JPEG; left for other codecs (PyAV shows no tag).
  y4m: C420jpeg centre, C420mpeg2 left, C420paldv top-left; guessed centre for 4:2:0 of 8 bits without
  a variant, as the format's own default is, left above 8 bits and for 4:2:2. A turned or mirrored clip
  with left siting is guessed to be centre.
"""

from sr_datasets.video.base import ClipReader, Frame, Plane
from sr_datasets.video.probe import probe
from sr_datasets.video.reader import open_clip, refuse_interlaced
from sr_datasets.video.tags import guessed_facts, row_tags, with_declared

__all__ = [
    "ClipReader",
    "Frame",
    "Plane",
    "guessed_facts",
    "open_clip",
    "probe",
    "refuse_interlaced",
    "row_tags",
    "with_declared",
]
