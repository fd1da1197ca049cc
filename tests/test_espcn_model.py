import pytest

pytest.importorskip("torch", reason="needs the torch extra")

import torch
import torch.nn.functional as F

from sr_datasets.espcn.config import EspcnConfig, preset
from sr_datasets.espcn.model import Espcn
from sr_datasets.espcn.upsampling import icnr_

pytestmark = pytest.mark.torch

FIRST_WEIGHTS = [2.755130419605848, -0.4766295592999086, -2.3977465664966076, 0.2157732030900661,
                 -4.81041050224303, 0.15868382714688778]  # fmt: skip
"""Sums of each layer's weights and biases, drawn with seed 7, from before the network had variants."""


@pytest.mark.parametrize("name", ["espcn", "residual"])
@pytest.mark.parametrize(("scale", "parameters"), [(2, 21_284), (3, 22_729), (4, 24_752)])
def test_both_presets_have_the_parameters_of_the_paper(name: str, scale: int, parameters: int):
    model = Espcn(preset(name, scale=scale).model)

    assert model.num_parameters == parameters
    assert model(torch.zeros(2, 1, 5, 7)).shape == (2, 1, 5 * scale, 7 * scale)


@pytest.mark.parametrize(("scale", "parameters"), [(2, 26_796), (3, 31_131), (4, 37_200)])
def test_the_network_on_rgb_has_the_parameters_of_the_etds_table(scale: int, parameters: int):
    model = Espcn(EspcnConfig(scale=scale, colors=3))

    assert model.num_parameters == parameters
    assert model(torch.zeros(2, 3, 5, 7)).shape == (2, 3, 5 * scale, 7 * scale)


@pytest.mark.parametrize(
    ("name", "output"), [("espcn", 167.77128824591637), ("residual", 217.08612848818302)]
)
def test_the_presets_start_and_compute_as_they_always_did(name: str, output: float):
    model = Espcn(preset(name, scale=3, model={"last_gain": 1.0}).model, seed=7)
    lr = torch.arange(48.0).view(1, 1, 6, 8) / 48

    sums = [float(each.detach().double().sum()) for each in model.parameters()]
    assert sums == pytest.approx(FIRST_WEIGHTS, rel=1e-9)
    assert list(model.state_dict()) == [f"conv{n}.{kind}" for n in (1, 2, 3) for kind in ("weight", "bias")]
    assert float(model(lr).detach().double().sum()) == pytest.approx(output, rel=1e-5)


@pytest.mark.parametrize("body", ["published", "deep"])
@pytest.mark.parametrize("colors", [1, 3])
@pytest.mark.parametrize("frames", [3, 5])
def test_a_network_of_several_frames_starts_as_that_of_one(frames: int, colors: int, body: str):
    fields = {"scale": 2, "colors": colors, "body": body}
    alone, several = (Espcn(EspcnConfig(**fields, frames=each), seed=3) for each in (1, frames))
    lr = torch.rand(2, frames, colors, 6, 5)

    torch.testing.assert_close(several(lr), alone(lr[:, frames // 2]))


@pytest.mark.parametrize("colors", [1, 3])
@pytest.mark.parametrize("frames", [3, 5])
def test_frames_are_stacked_in_time_and_the_residual_is_of_the_centre_one(frames: int, colors: int):
    config = preset("residual", scale=2, model={"frames": frames, "colors": colors}).model
    model = Espcn(config)
    lr = torch.rand(2, frames, colors, 6, 5)

    sr = model(lr)

    assert model.conv1.in_channels == frames * colors
    nearest = F.interpolate(lr[:, frames // 2], scale_factor=2.0, mode="nearest")
    torch.testing.assert_close(sr, nearest, rtol=0, atol=0)
    # The first layer's channels are the first frame's colours, then the next frame's.
    seen = []
    model.conv1.register_forward_hook(lambda layer, inputs, output: seen.append(inputs[0]))
    model(lr)
    expected = torch.cat([lr[:, frame] for frame in range(frames)], dim=1)
    torch.testing.assert_close(seen[0], (expected - 0.5) * 8, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("changes", "shape"),
    [
        ({}, (1, 3, 4, 4)),
        ({}, (1, 1, 1, 4, 4)),
        ({"colors": 3}, (1, 1, 4, 4)),
        ({"frames": 3}, (1, 3, 4, 4)),
        ({"frames": 3}, (1, 5, 1, 4, 4)),
    ],
)
def test_an_input_of_other_colours_or_frames_is_refused(changes: dict[str, int], shape: tuple[int, ...]):
    with pytest.raises(ValueError, match=r"the network's input is \(N, "):
        Espcn(EspcnConfig(scale=2, **changes))(torch.zeros(shape))


def test_icnr_starts_the_published_network_as_nearest_upsampling_of_a_convolution():
    model = Espcn(preset("espcn", scale=3, model={"last_gain": 1.0}).model, seed=5)
    maps = []
    model.conv3.register_forward_hook(lambda layer, inputs, output: maps.append(output))

    sr = model(torch.rand(1, 1, 9, 11))

    one_map = maps[0][:, :1] + 0.5
    nearest = F.interpolate(one_map, scale_factor=3.0, mode="nearest")
    # Equal filters may be summed in another order, a last bit apart.
    torch.testing.assert_close(sr, nearest, rtol=0, atol=1e-6)
    assert sr.std() > 0.01


def test_icnr_repeats_the_filter_of_each_colour_next_to_itself():
    drawn = torch.arange(8.0).reshape(8, 1, 1, 1)

    assert icnr_(drawn, scale=2).flatten().tolist() == [0, 0, 0, 0, 4, 4, 4, 4]


def test_the_residual_preset_starts_as_nearest_upsampling_of_its_input():
    lr = torch.rand(2, 1, 6, 5)

    sr = Espcn(preset("residual", scale=4).model)(lr)

    torch.testing.assert_close(sr, F.interpolate(lr, scale_factor=4.0, mode="nearest"), rtol=0, atol=0)


@pytest.mark.parametrize(("scale", "parameters"), [(2, 19_300), (3, 20_025), (4, 21_040)])
def test_the_deep_body_has_fewer_parameters_and_starts_as_shortcuts_around_its_layers(
    scale: int, parameters: int
):
    model = Espcn(EspcnConfig(scale=scale, body="deep"), seed=3)
    maps = torch.rand(1, 16, 6, 7)

    assert model.num_parameters == parameters < Espcn(EspcnConfig(scale=scale)).num_parameters
    assert len(model.layers) == 10
    for layer in model.layers[1:-1]:
        drawn = layer(maps) - maps
        assert drawn.abs().mean() < maps.mean()
        kernel = layer.weight.clone()
        kernel[range(16), range(16), 1, 1] -= 1
        assert kernel.abs().max() <= 1 / 12  # one by the root of 16 x 3 x 3 inputs
        torch.testing.assert_close(F.conv2d(maps, kernel, layer.bias, padding=1), drawn, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("body", "side"), [("published", 9), ("deep", 21)])
def test_an_output_pixel_sees_so_many_pixels_of_the_input(body: str, side: int):
    model = Espcn(EspcnConfig(scale=2, body=body))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(0.01)
    lr = torch.zeros(1, 1, 41, 41, requires_grad=True)

    model(lr)[0, 0, 40, 40].backward()

    assert lr.grad is not None
    seen = lr.grad[0, 0].abs() > 0
    halo = (side - 1) // 2
    assert model.halo == halo
    assert seen[20 - halo : 21 + halo, 20 - halo : 21 + halo].all()
    assert seen.sum() == side**2


def test_the_seed_alone_decides_the_first_weights():
    torch.manual_seed(1)
    first = Espcn(EspcnConfig(scale=2), seed=7)
    torch.manual_seed(2)
    again, other = Espcn(EspcnConfig(scale=2), seed=7), Espcn(EspcnConfig(scale=2), seed=8)

    assert torch.equal(first.conv1.weight, again.conv1.weight)
    assert not torch.equal(first.conv1.weight, other.conv1.weight)


def test_an_unknown_preset_or_option_is_refused():
    with pytest.raises(ValueError, match=r"known are espcn, .*residual"):
        preset("edsr", scale=2)
    with pytest.raises(ValueError, match="dropout"):
        preset("espcn", scale=2, dropout=0.9)
    with pytest.raises(ValueError, match="warmup_steps is 50"):
        preset("espcn", scale=2, steps=50, warmup_steps=50)


def test_the_cosine_starts_at_the_learning_rate_and_ends_near_zero():
    config = preset("espcn", scale=2, steps=1000, learning_rate=0.01, warmup_steps=10)

    assert config.learning_rate_at(0) == pytest.approx(0.001)
    assert config.learning_rate_at(10) == pytest.approx(0.01)
    assert config.learning_rate_at(505) == pytest.approx(0.005)
    assert 0 < config.learning_rate_at(999) < 1e-7
