import re

import pytest

pytest.importorskip("torch", reason="needs the torch extra")

import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from sr_datasets.espcn.config import EspcnConfig, preset
from sr_datasets.espcn.model import Espcn
from sr_datasets.espcn.upsampling import (
    TransposedConvolution,
    depth_to_space_order,
    pixel_shuffle_order,
    subpixel_of_nearest,
    subpixel_of_transposed,
    transposed_of_subpixel,
    transposed_padding,
)

pytestmark = pytest.mark.torch

UPSAMPLINGS = ("subpixel", "transposed", "resize-nearest", "resize-bilinear")


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@settings(deadline=None, max_examples=60)
@given(
    scale=st.integers(1, 4),
    colors=st.integers(1, 3),
    kernel=st.integers(1, 5),
    data=st.data(),
    seed=st.integers(0, 99),
)
def test_a_subpixel_convolution_and_its_transposed_convolution_make_the_same(
    scale: int, colors: int, kernel: int, data: st.DataObject, seed: int
):
    padding = data.draw(st.integers(0, kernel - 1))
    maps, weight, bias = (
        drawn(2, 3, 6, 7, seed=seed),
        drawn(colors * scale**2, 3, kernel, kernel, seed=seed + 1),
        drawn(colors, seed=seed + 2),
    )

    subpixel = F.pixel_shuffle(
        F.conv2d(maps, weight, bias.repeat_interleave(scale**2), padding=padding), scale
    )
    large = transposed_of_subpixel(weight, scale)
    transposed = F.conv_transpose2d(
        maps, large, bias, stride=scale, padding=transposed_padding(kernel, padding, scale)
    )

    torch.testing.assert_close(transposed, subpixel, rtol=1e-12, atol=1e-12)
    assert large.shape == (3, colors, kernel * scale, kernel * scale)
    assert torch.equal(subpixel_of_transposed(large, scale), weight)
    assert large.numel() == weight.numel()


def test_the_notes_example_of_a_4x4_kernel_with_stride_2_is_four_2x2_filters_and_a_shuffle():
    maps, large = drawn(1, 1, 5, 6), drawn(1, 1, 4, 4, seed=1)

    small = subpixel_of_transposed(large, 2)

    assert small.shape == (4, 1, 2, 2)
    # Row t * 2 + a of the large kernel is tap 1 - t of the filter of row a.
    assert small[:, 0, 0, 0].tolist() == large[0, 0, 2:, 2:].flatten().tolist()
    # The usual padding of 1 is none that a sub-pixel convolution has: the full output, cropped by 1, is the same.
    full = F.pixel_shuffle(F.conv2d(maps, small, padding=1), 2)
    usual = F.conv_transpose2d(maps, large, stride=2, padding=1)
    torch.testing.assert_close(full[..., 1:-1, 1:-1], usual, rtol=1e-12, atol=1e-12)


def test_a_kernel_that_the_stride_does_not_divide_is_refused_and_zeros_at_its_end_help():
    maps, uneven = drawn(1, 2, 5, 6), drawn(2, 3, 5, 5, seed=1)

    with pytest.raises(ValueError, match="kernel: 5 does not divide by 2"):
        subpixel_of_transposed(uneven, 2)

    small = subpixel_of_transposed(F.pad(uneven, (0, 1, 0, 1)), 2)
    full = F.pixel_shuffle(F.conv2d(maps, small, padding=2), 2)
    expected = F.conv_transpose2d(maps, uneven, stride=2)
    torch.testing.assert_close(full[..., :-1, :-1], expected, rtol=1e-12, atol=1e-12)


def test_wrong_channels_and_paddings_are_refused():
    with pytest.raises(ValueError, match="output channels: 8 does not divide by 9"):
        transposed_of_subpixel(drawn(8, 1, 3, 3), 3)
    with pytest.raises(ValueError, match="padding is 3, must be 0 to 2"):
        transposed_padding(3, 3, 2)
    with pytest.raises(ValueError, match="kernel_size is 2, must be odd"):
        TransposedConvolution(4, 1, scale=2, kernel_size=2)
    with pytest.raises(ValueError, match="the kernel is 4, must be odd"):
        subpixel_of_nearest(drawn(1, 1, 4, 4), 2)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("kernel", [1, 3, 5, 9])
def test_nearest_enlargement_and_a_convolution_are_a_subpixel_convolution_whose_weights_are_tied(
    scale: int, kernel: int
):
    maps, weight = drawn(2, 3, 5, 6), drawn(2, 3, kernel, kernel, seed=1)

    resized = F.conv2d(
        F.interpolate(maps, scale_factor=float(scale), mode="nearest"), weight, padding=kernel // 2
    )
    small = subpixel_of_nearest(weight, scale)

    shuffled = F.pixel_shuffle(F.conv2d(maps, small, padding=small.shape[-1] // 2), scale)
    torch.testing.assert_close(shuffled, resized, rtol=1e-12, atol=1e-12)


def test_torch_and_tensorflow_order_their_channels_differently_as_soon_as_there_are_colours():
    scale, colors = 2, 3
    maps = drawn(1, colors * scale**2, 2, 3)
    torchs = torch.empty(1, colors, 2 * scale, 3 * scale, dtype=torch.float64)
    tensorflows = torch.empty_like(torchs)
    for c in range(colors):  # the definitions, one pixel at a time
        for y in range(2 * scale):
            for x in range(3 * scale):
                a, b = y % scale, x % scale
                torchs[0, c, y, x] = maps[0, c * scale**2 + a * scale + b, y // scale, x // scale]
                tensorflows[0, c, y, x] = maps[0, (a * scale + b) * colors + c, y // scale, x // scale]

    assert torch.equal(F.pixel_shuffle(maps, scale), torchs)
    assert not torch.equal(torchs, tensorflows)
    # A layer whose channels are in the other's order makes the other's picture.
    reordered = maps[:, pixel_shuffle_order(torch.arange(12), scale)]
    assert torch.equal(F.pixel_shuffle(reordered, scale), tensorflows)
    there_and_back = pixel_shuffle_order(depth_to_space_order(maps[0], scale), scale)
    assert torch.equal(there_and_back, maps[0])
    assert torch.equal(depth_to_space_order(torch.arange(4), scale), torch.arange(4))


@pytest.mark.parametrize("upsampling", UPSAMPLINGS)
@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_every_upsampler_makes_pictures_of_the_same_size_and_takes_the_residual_path(
    upsampling: str, scale: int
):
    lr = torch.rand(2, 3, 5, 7)
    config = EspcnConfig(scale=scale, colors=3, upsampling=upsampling)

    assert Espcn(config)(lr).shape == (2, 3, 5 * scale, 7 * scale)
    for mode in ("nearest", "bilinear"):
        residual = Espcn(config.model_copy(update={"residual": mode, "last_gain": 0.0}))
        enlarged = F.interpolate(lr, scale_factor=float(scale), mode=mode)
        torch.testing.assert_close(residual(lr), enlarged, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("upsampling", "parameters"),
    [("subpixel", 22_729), ("transposed", 22_729), ("resize-nearest", 20_417), ("resize-bilinear", 20_417)],
)
def test_a_transposed_network_has_the_subpixel_ones_parameters_and_resizing_has_fewer(
    upsampling: str, parameters: int
):
    assert Espcn(EspcnConfig(scale=3, upsampling=upsampling)).num_parameters == parameters


@pytest.mark.parametrize("icnr", [True, False])
@pytest.mark.parametrize("colors", [1, 3])
def test_subpixel_and_transposed_networks_of_one_seed_start_as_one_function(colors: int, icnr: bool):
    lr = torch.rand(1, colors, 9, 8)
    first, second = (
        Espcn(EspcnConfig(scale=3, colors=colors, upsampling=each, icnr=icnr), seed=4)
        for each in ("subpixel", "transposed")
    )

    torch.testing.assert_close(second(lr), first(lr), rtol=0, atol=2e-6)
    cells = F.pixel_unshuffle(first(lr), 3).unflatten(1, (colors, 9))
    assert (cells.std(dim=2).max() < 1e-6) == icnr


@pytest.mark.parametrize("before", ["subpixel", "transposed", "resize-nearest"])
@pytest.mark.parametrize("after", ["subpixel", "transposed"])
@pytest.mark.parametrize("changes", [{}, {"colors": 3}, {"frames": 3}])
def test_a_network_is_rewritten_with_another_upsampler_and_computes_the_same(
    before: str, after: str, changes: dict[str, int]
):
    config = preset("residual", scale=3, model={"last_gain": 1.0, "upsampling": before, **changes}).model
    model = Espcn(config, seed=2).eval()
    with torch.no_grad():
        for number, parameter in enumerate(
            model.conv3.parameters()
        ):  # as if trained: nothing in a cell is equal
            parameter.copy_(0.1 * drawn(*parameter.shape, seed=number))
    lr = torch.rand(2, config.frames, config.colors, 8, 7)
    lr = lr if config.frames > 1 else lr[:, 0]

    other = model.with_upsampling(after)

    assert other.config == config.model_copy(update={"upsampling": after})
    assert not other.training
    torch.testing.assert_close(other(lr), model(lr), rtol=1e-4, atol=1e-5)
    if before != "resize-nearest":
        again = other.with_upsampling(before).state_dict()
        assert all(torch.equal(again[name], weights) for name, weights in model.state_dict().items())


def test_bilinear_enlargement_is_rewritten_as_nothing_else():
    with pytest.raises(ValueError, match="resize-bilinear cannot be written"):
        Espcn(EspcnConfig(scale=2, upsampling="resize-bilinear")).with_upsampling("subpixel")


def test_a_printed_network_says_what_its_transposed_layer_is():
    text = repr(Espcn(EspcnConfig(scale=3, upsampling="transposed")))

    assert re.search(r"TransposedConvolution\(32, 1, kernel_size=9, stride=3, padding=3\)", text)
