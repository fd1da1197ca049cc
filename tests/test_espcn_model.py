import pytest

pytest.importorskip("torch", reason="needs the torch extra")

import torch
import torch.nn.functional as F

from sr_datasets.espcn.config import EspcnConfig, preset
from sr_datasets.espcn.model import Espcn, icnr_

pytestmark = pytest.mark.torch


@pytest.mark.parametrize("name", ["espcn", "residual"])
@pytest.mark.parametrize(("scale", "parameters"), [(2, 21_284), (3, 22_729), (4, 24_752)])
def test_both_presets_have_the_parameters_of_the_paper(name: str, scale: int, parameters: int):
    model = Espcn(preset(name, scale=scale).model)

    assert model.num_parameters == parameters
    assert model(torch.zeros(2, 1, 5, 7)).shape == (2, 1, 5 * scale, 7 * scale)


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


def test_an_output_pixel_sees_nine_by_nine_pixels_of_the_input():
    model = Espcn(EspcnConfig(scale=2))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(0.01)
    lr = torch.zeros(1, 1, 21, 21, requires_grad=True)

    model(lr)[0, 0, 20, 20].backward()

    assert lr.grad is not None
    seen = lr.grad[0, 0].abs() > 0
    assert seen[6:15, 6:15].all()
    assert seen.sum() == 81


def test_the_seed_alone_decides_the_first_weights():
    torch.manual_seed(1)
    first = Espcn(EspcnConfig(scale=2), seed=7)
    torch.manual_seed(2)
    again, other = Espcn(EspcnConfig(scale=2), seed=7), Espcn(EspcnConfig(scale=2), seed=8)

    assert torch.equal(first.conv1.weight, again.conv1.weight)
    assert not torch.equal(first.conv1.weight, other.conv1.weight)


def test_an_unknown_preset_or_option_is_refused():
    with pytest.raises(ValueError, match="known are espcn, residual"):
        preset("edsr", scale=2)
    with pytest.raises(ValueError, match="momentum"):
        preset("espcn", scale=2, momentum=0.9)
    with pytest.raises(ValueError, match="warmup_steps is 50"):
        preset("espcn", scale=2, steps=50, warmup_steps=50)


def test_the_cosine_starts_at_the_learning_rate_and_ends_near_zero():
    config = preset("espcn", scale=2, steps=1000, learning_rate=0.01, warmup_steps=10)

    assert config.learning_rate_at(0) == pytest.approx(0.001)
    assert config.learning_rate_at(10) == pytest.approx(0.01)
    assert config.learning_rate_at(505) == pytest.approx(0.005)
    assert 0 < config.learning_rate_at(999) < 1e-7
