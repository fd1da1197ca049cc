"""Entry point of ``sr-data``, and the one place where expected errors become text."""

import logging
import os
import sys
from pathlib import Path

from sr_datasets.cli import (
    arch,
    audit,
    catalog,
    data,
    doctor,
    evaluating,
    forget,
    looking,
    manifests,
    models,
    sets,
    share,
    training,
)
from sr_datasets.cli.app import app
from sr_datasets.cli.hints import as_typed
from sr_datasets.cli.start import EndedError, answer_signals, end, interrupted
from sr_datasets.errors import SrDataError

__all__ = [
    "app",
    "arch",
    "audit",
    "catalog",
    "data",
    "doctor",
    "evaluating",
    "forget",
    "looking",
    "main",
    "manifests",
    "models",
    "sets",
    "share",
    "training",
]


def main() -> None:
    """Run the command line; expected errors become one sentence and exit code 1."""
    logging.basicConfig(level=logging.WARNING, format="sr-data: %(levelname)s: %(message)s")
    logging.captureWarnings(capture=True)
    answer_signals()
    try:
        try:
            _require_current_folder()
            app()
        finally:
            try:
                sys.stdout.flush()  # a full disk behind `> FILE` shows here, not at the interpreter's end
            except OSError as error:
                error.filename = "standard output"
                raise
    except SrDataError as error:
        sys.stderr.write(f"sr-data: error: {as_typed(str(error))}\n")
        sys.exit(1)
    except MemoryError as error:
        said = f" ({error})" if str(error) else ""
        sys.stderr.write(
            f"sr-data: error: there is not enough memory{said}. What was finished is kept: run the same command again with "
            "fewer --workers, or where more memory is.\n"
        )
        sys.exit(1)
    except BrokenPipeError:
        # The reader of our output went away (`sr-data list | head`): nothing is wrong.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except UnicodeEncodeError as error:
        # How Python keeps bytes of a name that are not UTF-8.
        if not "\udc80" <= error.object[error.start] <= "\udcff":
            raise
        from sr_datasets.remotes import not_utf8

        line = error.object[: error.end].rpartition("\n")[2] + error.object[error.end :].partition("\n")[0]
        sys.stderr.write(f"sr-data: error: {not_utf8(line)}\n")
        sys.exit(1)
    except OSError as error:
        # A disk, a permission, a folder where a file should be: the world's fault, in the system's own words.
        where = f"{error.filename}: " if error.filename else ""
        sys.stderr.write(f"sr-data: error: {where}{error.strerror or error}.\n")
        # Output that could not be written is not tried again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        interrupted()
    except EndedError:
        end()
    except SystemExit as ended:
        if ended.code == 130:  # typer's own answer to a Ctrl-C, which says nothing
            interrupted()
        if ended.code == 1 and type(sys.stdout).__name__ == "PacifyFlushWrapper":
            sys.exit(0)  # typer's own answer to a reader that went away, which is no error
        raise


def _require_current_folder() -> None:
    """Refuse to work where no relative path leads anywhere, and torch ends the process when it is imported."""
    try:
        Path.cwd()
    except FileNotFoundError:
        raise SrDataError(
            "the current folder was deleted. Go to one that is there (cd), then run the same command again."
        ) from None
