"""``sr-data train`` and ``sr-data evaluate``: their options, and one sentence for what goes wrong."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "set", "--out", "model"],
        ["evaluate", "bicubic", "set5", "--scale", "2"],
        ["evaluate", "model", "set5"],
    ],
)
@pytest.mark.parametrize("missing", ["torch", "safetensors"])
def test_without_the_torch_extra_a_command_says_what_to_install(arguments: list[str], missing: str):
    program = (
        f"import sys\nsys.modules[{missing!r}] = None\nsys.argv = ['sr-data', *{arguments!r}]\n"
        "from sr_datasets.cli.main import main\nmain()\n"
    )

    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert result.returncode == 1
    assert result.stderr.startswith("sr-data: error: training or scoring a network needs the 'torch' extra")
    assert "Traceback" not in result.stderr
