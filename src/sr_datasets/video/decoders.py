"""Which decoders the sources' clips and our own files need, and which of them this build of PyAV has."""

import av
import av.codec.codec

DECODERS: dict[str, tuple[str, ...]] = {
    "rawvideo": ("rawvideo",),
    "v210": ("v210",),
    "ffv1": ("ffv1",),
    "h264": ("h264",),
    "hevc": ("hevc",),
    "vp8": ("vp8",),
    "vp9": ("vp9",),
    "av1": ("libdav1d", "av1"),
    "mpeg2": ("mpeg2video",),
    "mpeg4": ("mpeg4",),
    "prores": ("prores",),
    "mjpeg": ("mjpeg",),
}
"""Coding -> FFmpeg's decoders, of which one is enough: what y4m, AVI, MP4, MOV, MKV and WebM files of the sources hold,
and FFV1, in which pieces of YouTube's videos are kept."""


def missing_decoders() -> list[str]:
    """Return the codings of ``DECODERS`` that this build of PyAV cannot decode."""
    return [coding for coding, names in DECODERS.items() if not any(_has(name) for name in names)]


def ffmpeg_version() -> str:
    """Return the version of FFmpeg inside PyAV."""
    return str(av.ffmpeg_version_info)


def _has(name: str) -> bool:
    try:
        av.codec.codec.Codec(name, "r")
    except av.codec.codec.UnknownCodecError:
        return False
    return True
