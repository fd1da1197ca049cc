"""What docs/upsampling.md states of convolutions, on matrices that are built one product at a time."""

import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("torch", reason="needs the torch extra")

import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from sr_datasets.arithmetic import parse_stack
from sr_datasets.cli.main import app

pytestmark = pytest.mark.torch

PAGE = Path(__file__).parents[1] / "docs" / "upsampling.md"


def correlation(image: np.ndarray, kernel: np.ndarray, stride: int = 1) -> np.ndarray:
    """Slide a kernel over a picture, as it is."""
    k = kernel.shape[0]
    rows, columns = ((side - k) // stride + 1 for side in image.shape)
    return np.array(
        [
            [
                sum(image[stride * y + i, stride * x + j] * kernel[i, j] for i in range(k) for j in range(k))
                for x in range(columns)
            ]
            for y in range(rows)
        ]
    )


def convolution(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Convolve by the definition: sum over i, j of image[y - i, x - j] * kernel[i, j], where that is whole."""
    k = kernel.shape[0]
    rows, columns = (side - k + 1 for side in image.shape)
    return np.array(
        [
            [
                sum(image[y + k - 1 - i, x + k - 1 - j] * kernel[i, j] for i in range(k) for j in range(k))
                for x in range(columns)
            ]
            for y in range(rows)
        ]
    )


def matrix_of(kernel: np.ndarray, size: int, stride: int) -> np.ndarray:
    """Return the matrix A of a strided correlation: one row an output, one column an input."""
    k = kernel.shape[0]
    out = (size - k) // stride + 1
    matrix = np.zeros((out * out, size * size))
    for y in range(out):
        for x in range(out):
            for i in range(k):
                for j in range(k):
                    matrix[y * out + x, (stride * y + i) * size + stride * x + j] = kernel[i, j]
    return matrix


def tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float64))[None, None]


def drawn(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def test_networks_correlate_and_a_convolution_is_correlation_with_the_kernel_flipped():
    image, kernel = drawn(7, 8), drawn(3, 3, seed=1)

    torchs = F.conv2d(tensor(image), tensor(kernel))[0, 0].numpy()

    np.testing.assert_allclose(torchs, correlation(image, kernel), rtol=0, atol=1e-12)
    np.testing.assert_allclose(
        convolution(image, kernel), correlation(image, kernel[::-1, ::-1]), rtol=0, atol=1e-12
    )
    assert np.abs(convolution(image, kernel) - correlation(image, kernel)).max() > 0.1
    symmetric = kernel + kernel[::-1, ::-1]
    np.testing.assert_allclose(
        convolution(image, symmetric), correlation(image, symmetric), rtol=0, atol=1e-12
    )


@settings(deadline=None, max_examples=30)
@given(kernel=st.integers(1, 4), stride=st.integers(1, 3), out=st.integers(1, 4), seed=st.integers(0, 99))
def test_a_transposed_convolution_is_the_matrix_transposed_and_so_the_adjoint(
    kernel: int, stride: int, out: int, seed: int
):
    size = stride * (out - 1) + kernel
    weights, x, y = (
        drawn(kernel, kernel, seed=seed),
        drawn(size, size, seed=seed + 1),
        drawn(out, out, seed=seed + 2),
    )
    matrix = matrix_of(weights, size, stride)

    down = F.conv2d(tensor(x), tensor(weights), stride=stride)[0, 0].numpy()
    up = F.conv_transpose2d(tensor(y), tensor(weights), stride=stride)[0, 0].numpy()

    np.testing.assert_allclose(down.ravel(), matrix @ x.ravel(), rtol=0, atol=1e-11)
    np.testing.assert_allclose(up.ravel(), matrix.T @ y.ravel(), rtol=0, atol=1e-11)
    assert float((down * y).sum()) == pytest.approx(float((x * up).sum()), rel=1e-9, abs=1e-9)
    # The gradient of a convolution by its input is its transpose, whatever the input was.
    lr = tensor(x).requires_grad_()
    F.conv2d(lr, tensor(weights), stride=stride).backward(tensor(y))
    assert lr.grad is not None
    np.testing.assert_allclose(lr.grad[0, 0].numpy(), up, rtol=0, atol=1e-11)


def test_a_transposed_convolution_gives_back_the_size_and_not_the_picture():
    weights, x = drawn(3, 3), drawn(9, 9, seed=1)
    matrix = matrix_of(weights, 9, 2)

    back = F.conv_transpose2d(F.conv2d(tensor(x), tensor(weights), stride=2), tensor(weights), stride=2)[0, 0]

    assert back.shape == x.shape
    assert np.abs(back.numpy() - x).max() > 0.5
    # Nothing could: 16 numbers do not hold 81.
    assert matrix.shape == (16, 81)
    assert np.linalg.matrix_rank(matrix) == 16
    # Where rows of A are orthonormal, its transpose is the inverse on the small side: A A' = 1. Not so in general,
    # and never on the large one.
    cells = matrix_of(np.full((2, 2), 0.5), 8, 2)
    np.testing.assert_allclose(cells @ cells.T, np.eye(16), rtol=0, atol=1e-12)
    assert np.abs(cells.T @ cells - np.eye(64)).max() > 0.5
    assert np.abs(matrix @ matrix.T - np.eye(16)).max() > 0.5


@pytest.mark.parametrize(("kernel", "stride"), [(3, 2), (4, 2), (5, 3), (6, 3), (2, 3)])
def test_the_projection_view_and_the_filtering_view_are_one_layer(kernel: int, stride: int):
    weights, lr = drawn(kernel, kernel), drawn(5, 6, seed=1)
    expected = F.conv_transpose2d(tensor(lr), tensor(weights), stride=stride)[0, 0].numpy()

    # Projection: each input pixel strikes the kernel, as it is, onto the output, and what overlaps is added.
    struck = np.zeros(expected.shape)
    for y, x in np.ndindex(*lr.shape):
        top, left = stride * y, stride * x
        struck[top : top + kernel, left : left + kernel] += lr[y, x] * weights
    np.testing.assert_allclose(struck, expected, rtol=0, atol=1e-12)

    # Filtering: zeros between the pixels and around them, then correlation of stride 1 with the kernel flipped.
    apart = np.zeros((stride * 4 + 1, stride * 5 + 1))
    apart[::stride, ::stride] = lr
    padded = np.pad(apart, kernel - 1)
    np.testing.assert_allclose(correlation(padded, weights[::-1, ::-1]), expected, rtol=0, atol=1e-12)
    # Which taps meet a sample and not a zero depends on the place alone: stride * stride filters, interleaved.
    np.testing.assert_allclose(convolution(padded, weights), expected, rtol=0, atol=1e-12)


def test_even_kernels_show_a_flat_picture_flat_and_others_do_not():
    flat = torch.ones(1, 1, 8, 8, dtype=torch.float64)
    for kernel in (3, 4):
        up = F.conv_transpose2d(flat, torch.ones(1, 1, kernel, kernel, dtype=torch.float64), stride=2)
        inside = up[0, 0, 4:-4, 4:-4]
        assert (inside.std() == 0) == (kernel == 4)
        assert float(inside.max() / inside.min()) == (4 if kernel == 3 else 1)
    # A divisible kernel can still learn it: one place of each cell differs.
    learnt = torch.ones(1, 1, 4, 4, dtype=torch.float64)
    learnt[0, 0, ::2, ::2] = 2
    assert F.conv_transpose2d(flat, learnt, stride=2)[0, 0, 4:-4, 4:-4].std() > 1


def shell_blocks() -> list[tuple[str, str]]:
    """Return the commands of the page that begin with $, and what it says that they print."""
    blocks = re.findall(
        r"^```\n\$ sr-data (.*)\n((?:.*\n)*?)```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert blocks
    return blocks


@pytest.mark.parametrize(("command", "printed"), shell_blocks())
def test_the_page_shows_what_the_command_prints(command: str, printed: str):
    import shlex

    result = CliRunner().invoke(app, shlex.split(command))

    assert result.exit_code == 0, result.output
    assert result.output == printed


def test_the_code_of_the_page_runs():
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)

    exec(code, {})


def test_every_layer_that_the_page_names_is_one():
    text = PAGE.read_text(encoding="utf-8")
    stacks = re.findall(r"`((?:t?conv\d|shuffle\d|nearest\d|bilinear\d)[^`]*)`", text)

    assert len(stacks) >= 4
    for stack in stacks:
        parse_stack(
            stack, channels=4 if stack.startswith("shuffle2") else 9 if stack.startswith("shuffle3") else 1
        )
