"""SIGTERM and Ctrl-C from the first moment on: one sentence and 143 or 130, whatever is being imported."""

import os
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import pytest

from sr_datasets.cli.main import app
from sr_datasets.cli.start import EndedError, say_how_to_go_on

SOURCE = Path(__file__).parents[1] / "src"
BEGIN = (
    "import os, signal, sys, time; sys.argv = ['sr-data', 'list', 'a b']; from sr_datasets.cli import start\n"
)
GREEDY = """
try:
    os.kill(os.getpid(), signal.SIGTERM); time.sleep(0.05)
except BaseException:
    os.write(2, b'swallowed\\n')
"""


def ended(program: str, folder: Path) -> tuple[int, str]:
    """Return what a program ends with, and what it says."""
    run = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": f"{SOURCE}:{folder}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return run.returncode, run.stderr


def said(code: int, text: str) -> bool:
    return (
        code == 143 and text.count("sr-data: interrupted.") == 1 and text.endswith("  sr-data list 'a b'\n")
    )


def test_a_sigterm_while_the_commands_are_imported_ends_with_143_and_a_sentence(tmp_path: Path):
    (tmp_path / "typer.py").write_text(
        f"import os, signal, sys, time\n{GREEDY}"
        f"sys.path.remove({str(tmp_path)!r}); del sys.modules['typer']; import typer; sys.modules['typer'] = typer\n"
    )
    code, text = ended(BEGIN + "start.main()", tmp_path)

    assert said(code, text)
    assert "swallowed" not in text


@pytest.mark.parametrize(
    "where",
    [
        GREEDY,
        f"class Held:\n    def __del__(self):\n        {GREEDY.strip().replace(chr(10), chr(10) + ' ' * 8)}\nHeld()",
        GREEDY.replace("    os.write", "    time.sleep(0.1); os.write"),
    ],
    ids=["try", "finalizer", "at leisure"],
)
def test_a_sigterm_that_a_library_swallows_comes_again(tmp_path: Path, where: str):
    program = (
        f"{BEGIN}start.answer_signals()\ntry:\n    exec({where!r})\n    time.sleep(30)\n"
        "except start.EndedError:\n    start.end()\n"
    )
    code, text = ended(program, tmp_path)
    assert said(code, text)
    assert "Traceback" not in text


def test_what_is_put_away_is_not_interrupted_again(tmp_path: Path):
    program = (
        f"{BEGIN}start.answer_signals()\ntry:\n    try:\n        os.kill(os.getpid(), signal.SIGTERM); time.sleep(30)\n"
        "    finally:\n        time.sleep(0.2); print('put away', file=sys.stderr)\n"
        "except start.EndedError:\n    start.end()\n"
    )
    code, text = ended(program, tmp_path)
    assert said(code, text)
    assert text.startswith("put away\n")


@pytest.mark.parametrize("delay", [0, 0.05, 0.15, 0.3])
def test_a_command_answers_whatever_it_is_about(tmp_path: Path, delay: float):
    # It is not over before the signal comes, and a signal at its end is answered too.
    program = (
        f"{BEGIN}begin, close = start.answer_signals, start._answer_no_more\n"
        "start.answer_signals = lambda: (begin(), print('begun', flush=True))\n"
        "start._answer_no_more = lambda: (sys.stdin.read(), close())\n"
        "start.main()"
    ).replace(", 'a b'", "")
    with subprocess.Popen(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": str(SOURCE), "SR_DATA_HOME": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "begun\n"
        time.sleep(delay)
        run.send_signal(signal.SIGTERM)
        _, text = run.communicate(timeout=60)
    assert run.returncode == 143
    assert text.endswith("sr-data list\n")
    assert text.count("sr-data: interrupted.") == 1


def test_a_ctrl_c_while_the_commands_are_imported_ends_with_130_and_a_sentence(tmp_path: Path):
    (tmp_path / "typer.py").write_text(
        f"import os, signal, sys, time\n{GREEDY.replace('SIGTERM', 'SIGINT')}"
        f"sys.path.remove({str(tmp_path)!r}); del sys.modules['typer']; import typer; sys.modules['typer'] = typer\n"
    )
    program = f"import signal; signal.signal(signal.SIGINT, signal.default_int_handler); {BEGIN}start.main()"

    code, said = ended(program, tmp_path)

    assert code == 130
    assert said.endswith("  sr-data list 'a b'\n")
    assert said.count("sr-data: interrupted.") == 1
    assert "Traceback" not in said
    assert "swallowed" not in said


def test_a_ctrl_c_that_a_library_swallows_comes_again():
    program = (
        f"import signal; signal.signal(signal.SIGINT, signal.default_int_handler); {BEGIN}start.answer_signals()\n"
        f"try:\n    exec({GREEDY.replace('SIGTERM', 'SIGINT')!r})\n    time.sleep(30)\n"
        "except KeyboardInterrupt:\n    print('arrived', file=sys.stderr); start._answer_no_more(); sys.exit(130)\n"
    )
    code, said = ended(program, SOURCE)
    assert (code, said) == (130, "swallowed\narrived\n")


def test_where_ctrl_c_is_ignored_it_stays_so():
    program = (
        f"import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); {BEGIN}start.answer_signals()\n"
        "os.kill(os.getpid(), signal.SIGINT); time.sleep(0.05); start._answer_no_more()\n"
        "os.kill(os.getpid(), signal.SIGINT); time.sleep(0.05); sys.exit(7)\n"
    )
    assert ended(program, SOURCE) == (7, "")


@pytest.mark.torch
@pytest.mark.parametrize("options", [[], ["--resume"]])
def test_a_training_that_has_a_checkpoint_is_told_to_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: list[str]
):
    pytest.importorskip("torch", reason="needs the torch extra")

    def stopped(*_: object, out_dir: Path, **__: object) -> None:
        (out_dir / "last.safetensors").touch()
        raise EndedError

    monkeypatch.setattr(import_module("sr_datasets.espcn.train"), "train", stopped)
    monkeypatch.setattr("sr_datasets.cli.training._config", lambda *_, **__: None)
    monkeypatch.setattr("sr_datasets.cli.start._more", [])
    words = ["train", "shards", "--out", str(tmp_path), *options]
    monkeypatch.setattr(sys, "argv", ["sr-data", *words])
    with pytest.raises(EndedError):
        app(words)
    say_how_to_go_on()

    assert capsys.readouterr().err.endswith(f"\n  sr-data train shards --out {tmp_path} --resume\n")
