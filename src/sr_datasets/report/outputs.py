"""Where pictures and pages may be written: outside of sets, over nothing but files of their own kind."""

from pathlib import Path

from sr_datasets.errors import SrDataError
from sr_datasets.shards.sets import require_outside_sets


def require_output(path: Path, *endings: str) -> None:
    """Make sure that a file may be written, and what is there replaced: before work begins, and again before writing.

    Args:
        path: The file.
        endings: How its name may end, such as ``.png``: what is there under such a name is of the same kind.

    Raises:
        SrDataError: Its name has another ending, or it is a folder.
        ShardError: It lies in a set's folder.
    """
    if path.suffix.lower() not in endings:
        raise SrDataError(
            f"{path}: what is written there is {_KINDS[endings[0]]}. End its name in {endings[0]}."
        )
    if path.is_dir():
        raise SrDataError(f"{path} is a folder. Name a file.")
    require_outside_sets(path)


_KINDS = {".png": "a PNG", ".html": "a page of HTML"}
