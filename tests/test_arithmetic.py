"""The arithmetic of stacks, against torch's own shapes, against gradients, and against the closed formulas."""

import json
import math
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from sr_datasets.arithmetic import Stack, espcn_stack, overlap, parse_stack
from sr_datasets.arithmetic.layers import (
    Convolution,
    Resize,
    Shuffle,
    TransposedConvolution,
    Unshuffle,
    Window,
)
from sr_datasets.cli.main import app


def parameters_of(text: str, channels: int = 1) -> int:
    return parse_stack(text, channels=channels).num_parameters


def out_size(layer: str, size: int, channels: int = 1) -> int:
    return parse_stack(layer, channels=channels).sizes(size)[-1]


@pytest.mark.parametrize(
    ("scale", "luma", "rgb", "gigas"),
    [(2, 21_284, 26_796, 10.98), (3, 22_729, 31_131, 5.21), (4, 24_752, 37_200, 3.19)],
)
def test_espcn_has_the_published_parameters_and_cost(scale: int, luma: int, rgb: int, gigas: float):
    stack = espcn_stack(scale)

    assert stack.num_parameters == luma
    assert espcn_stack(scale, colors=3).num_parameters == rgb
    cost = sum(stage.multiply_adds for stage in stack.stages(1080 // scale, 1920 // scale))
    assert round(cost / 1e9, 2) == gigas


def test_the_receptive_fields_of_espcn_and_srcnn_are_the_known_ones():
    assert espcn_stack(3).field().largest == espcn_stack(3).field().smallest == 9
    assert parse_stack("conv9:64 conv5:32 conv5:1").field().largest == 17
    assert parse_stack("conv9:64 conv1:32 conv5:1").field().largest == 13
    assert parameters_of("conv9:64 conv5:32 conv5:1") == 57_281


def test_the_rules_of_the_guide_to_convolution_arithmetic():
    for size in range(5, 12):
        for k in range(1, 5):
            assert out_size(f"conv{k}:1:p0", size) == size - k + 1  # R1
            assert out_size(f"conv{k}:1:p{k - 1}", size) == size + k - 1  # R4
            assert out_size(f"tconv{k}:1:p0", size) == size + k - 1  # R8
            assert out_size(f"tconv{k}:1:p{k - 1}", size) == size - (k - 1)  # R11
            for p in range(k):
                assert out_size(f"conv{k}:1:p{p}", size) == size - k + 2 * p + 1  # R2
                assert out_size(f"tconv{k}:1:p{p}", size) == size + k - 1 - 2 * p  # R9
                for s in range(1, 4):
                    assert out_size(f"conv{k}:1:s{s}:p{p}", size) == (size + 2 * p - k) // s + 1  # R5, R6
                    assert out_size(f"avgpool{k}:s{s}", size) == (size - k) // s + 1  # R7
                    for a in range(s):  # R12 to R14
                        there = s * (size - 1) + a + k - 2 * p
                        if there >= 1:
                            assert out_size(f"tconv{k}:1:s{s}:p{p}:a{a}", size) == there
                            if (there + 2 * p - k) % s == a:
                                assert out_size(f"conv{k}:1:s{s}:p{p}", there) == size
        assert out_size("conv3:1", size) == out_size("conv5:1", size) == size  # R3
        assert out_size("conv3:1:p1:d2", size) == size + 2 - 5 + 1  # R15


@pytest.mark.parametrize("kernel", range(1, 10))
@pytest.mark.parametrize("stride", [1, 2, 3, 4])
def test_padding_that_is_left_out_keeps_the_size_but_for_the_stride(kernel: int, stride: int):
    if kernel % 2:
        assert out_size(f"conv{kernel}:1:s{stride}", 7) == math.ceil(7 / stride)
    if kernel % 2 or stride > 1:
        assert out_size(f"tconv{kernel}:1:s{stride}", 7) == 7 * stride
    else:
        with pytest.raises(ValueError, match="no padding makes 1 times the size"):
            parse_stack(f"tconv{kernel}:1")


@settings(deadline=None)
@given(
    layers=st.lists(
        st.tuples(st.integers(1, 5), st.integers(1, 3), st.integers(0, 4)), min_size=1, max_size=4
    ),
    output=st.integers(0, 30),
)
def test_fields_and_regions_of_convolutions_are_those_of_the_closed_formulas(
    layers: list[tuple[int, int, int]], output: int
):
    stack = parse_stack(" ".join(f"conv{k}:1:s{s}:p{p}" for k, s, p in layers))

    r, jump, start, pad = 1, 1, Fraction(1, 2), 0
    for k, s, p in layers:
        r += (k - 1) * jump
        start += (Fraction(k - 1, 2) - p) * jump
        pad += p * jump
        jump *= s
    backwards = 1
    for k, s, _ in reversed(layers):  # Araujo et al.: r = s r + (k - s)
        backwards = s * backwards + (k - s)
    field = stack.field()
    # Where a stride is larger than a later kernel reaches, a field has holes; its ends are the formula's.
    assert (field.largest, field.jump, field.start) == (r, jump, start)
    assert backwards == r
    seen = stack.sources(output)
    assert (min(seen), max(seen)) == (output * jump - pad, output * jump - pad + r - 1)


def test_kernels_overlap_evenly_exactly_when_the_stride_divides_them():
    for kernel in range(1, 13):
        for stride in range(1, 6):
            assert overlap(kernel, stride).is_even == (kernel % stride == 0)
            assert sum(overlap(kernel, stride).counts) == kernel
    assert overlap(3, 2).unevenness == 2
    assert overlap(3, 2).unevenness_2d == 4
    assert overlap(2, 3).unevenness is None
    assert not overlap(4, 2, dilation=2).is_even


def test_paths_through_a_stack_are_its_output_with_all_weights_one():
    assert parse_stack("tconv3:1:s2").path_counts().counts == (1, 2)
    assert parse_stack("tconv4:1:s2").path_counts().is_even
    twice = parse_stack("tconv3:1:s2 tconv3:1:s2").path_counts()
    assert twice.unevenness == 3  # worse than one: 2
    dampened = parse_stack("tconv3:1:s2 tconv3:1").path_counts()
    assert dampened.unevenness == Fraction(5, 4)
    assert parse_stack("tconv3:1:s2 tconv2:1:p0").path_counts().is_even
    for resize in ("nearest3 conv3:1", "bilinear3 conv3:1", "bicubic3 conv3:1", "conv3:9 shuffle3"):
        assert parse_stack(resize).path_counts().is_even


def test_a_picture_that_comes_out_beside_its_input_is_told():
    assert espcn_stack(3).field().shift == 0
    assert parse_stack("tconv4:1:s2").field().shift == 0
    assert parse_stack("tconv3:1:s2").field().shift == Fraction(1, 4)
    assert parse_stack("conv3:1:s2").field().shift == Fraction(-1, 2)


def test_regions_stop_at_the_borders_of_every_layer():
    stack = espcn_stack(3)

    assert stack.region(0, 20) == (0, 4)
    assert stack.region(30, 20) == (6, 14)
    assert stack.region(59, 20) == (15, 19)
    gaps = parse_stack("tconv1:1:s2")
    assert gaps.region(0, 4) == (0, 0)
    assert gaps.region(1, 4) is None
    assert gaps.field().smallest == 0
    with pytest.raises(ValueError, match="there is no output 60: 60 come out"):
        stack.region(60, 20)


# Stacks as words, drawn so that torch can build them.
numbers = st.integers(1, 5)
convolutions = st.builds(
    lambda k, maps, s, p, d: f"conv{k}:{2 * maps}:s{s}:p{p}:d{d}",
    numbers, st.integers(1, 2), st.integers(1, 3), st.integers(0, 3), st.integers(1, 2),
)  # fmt: skip
transposed = st.builds(
    lambda k, maps, s, p, d, a: f"tconv{k}:{2 * maps}:s{s}:p{p}:d{d}:a{a % max(s, d)}",
    numbers, st.integers(1, 2), st.integers(1, 3), st.integers(0, 2), st.integers(1, 2), st.integers(0, 2),
)  # fmt: skip
pools = st.builds(
    lambda kind, k, s, p: f"{kind}pool{k}:s{s}:p{min(p, k // 2)}",
    st.sampled_from(["max", "avg"]), numbers, st.integers(1, 3), st.integers(0, 2),
)  # fmt: skip
resizes = st.builds(
    lambda kind, r: f"{kind}{r}", st.sampled_from(["nearest", "bilinear", "bicubic"]), st.integers(1, 3)
)
shuffles = st.builds(lambda r: f"conv3:{2 * r * r}:g2 shuffle{r}", st.integers(1, 3))
unshuffles = st.builds(lambda r: f"unshuffle{r}", st.integers(1, 2))
stacks = st.lists(
    st.one_of(
        convolutions, transposed, pools, resizes, shuffles, unshuffles, st.sampled_from(["relu", "prelu"])
    ),
    min_size=1,
    max_size=4,
).map(" ".join)


def torch_layers(stack: Stack, *, measurable: bool) -> list:
    """Return torch's own layers; ``measurable``: random positive weights, and each pooling an average."""
    torch = pytest.importorskip("torch", reason="needs the torch extra")
    nn = torch.nn
    layers, maps = [], stack.channels
    for layer in stack.layers:
        match layer:
            case Convolution():
                each = nn.Conv2d(maps, layer.maps, layer.kernel, stride=layer.stride, padding=layer.padding,
                                 dilation=layer.dilation, groups=layer.groups, bias=layer.bias)  # fmt: skip
            case TransposedConvolution():
                each = nn.ConvTranspose2d(maps, layer.maps, layer.kernel, stride=layer.stride,
                                          padding=layer.padding, output_padding=layer.output_padding,
                                          groups=layer.groups, dilation=layer.dilation,
                                          bias=layer.biases != "none")  # fmt: skip
            case Window():
                pool = nn.MaxPool2d if layer.text.startswith("max") and not measurable else nn.AvgPool2d
                each = pool(layer.kernel, stride=layer.stride, padding=layer.padding)
            case Shuffle():
                each = nn.PixelShuffle(layer.factor)
            case Unshuffle():
                each = nn.PixelUnshuffle(layer.factor)
            case Resize():
                each = nn.Upsample(scale_factor=layer.factor, mode=layer.method)
            case _:
                each = nn.PReLU(maps) if layer.text == "prelu" else nn.Identity()
        if measurable:
            for parameter in each.parameters():
                nn.init.uniform_(parameter, 0.5, 1.5)
        layers.append(each.double())
        maps = layer.out_maps(maps)
    return layers


def torch_makes_something(stack: Stack, height: int, width: int) -> bool:
    """Say whether torch gets through a stack; some of its layers refuse, others make empty pictures."""
    import torch

    maps = torch.zeros(1, stack.channels, height, width, dtype=torch.float64)
    try:
        for layer in torch_layers(stack, measurable=False):
            maps = layer(maps)
    except RuntimeError:
        return False
    return maps.numel() > 0


@pytest.mark.torch
@settings(deadline=None, max_examples=80)
@given(text=stacks, height=st.integers(1, 14), width=st.integers(1, 14), data=st.data())
def test_shapes_parameters_and_measured_fields_of_random_stacks_are_torchs(
    text: str, height: int, width: int, data: st.DataObject
):
    torch = pytest.importorskip("torch", reason="needs the torch extra")
    stack = parse_stack(text, channels=2)
    try:
        stages = stack.stages(height, width)
    except ValueError:
        assert not torch_makes_something(stack, height, width)
        return
    assume(stages[-1].height * stages[-1].width < 20_000)

    maps = torch.zeros(1, 2, height, width, dtype=torch.float64)
    layers = torch_layers(stack, measurable=False)
    for layer, stage in zip(layers, stages, strict=True):
        maps = layer(maps)
        assert maps.shape == (1, stage.maps, stage.height, stage.width)
        assert sum(each.numel() for each in layer.parameters()) == stage.parameters

    row = data.draw(st.integers(0, stages[-1].height - 1))
    column = data.draw(st.integers(0, stages[-1].width - 1))
    torch.manual_seed(0)
    lr = torch.zeros(1, 2, height, width, dtype=torch.float64, requires_grad=True)
    torch.nn.Sequential(*torch_layers(stack, measurable=True))(lr)[0, :, row, column].sum().backward()
    assert lr.grad is not None
    measured = lr.grad[0].abs().sum(dim=0)
    measured = measured > 1e-9 * max(1e-3, float(measured.max()))
    rows, columns = stack.sources(row, height), stack.sources(column, width)
    expected = torch.zeros(height, width, dtype=torch.bool)
    for each in rows:
        expected[each, sorted(columns)] = True
    assert torch.equal(measured, expected)


@pytest.mark.torch
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation"), [(2, 2, 0, 3), (3, 1, 1, 2), (4, 3, 2, 2)]
)
def test_a_dilated_pooling_sees_what_torchs_does(kernel: int, stride: int, padding: int, dilation: int):
    torch = pytest.importorskip("torch", reason="needs the torch extra")
    stack = parse_stack(f"maxpool{kernel}:s{stride}:p{padding}:d{dilation}")
    pool = torch.nn.MaxPool2d(kernel, stride=stride, padding=padding, dilation=dilation)

    size = stack.sizes(15)[-1]
    assert pool(torch.zeros(1, 1, 15, 15)).shape[-2:] == (size, size)
    for output in range(size):  # one bright row at a time: the output is bright when it sees it
        seen = {
            row
            for row in range(15)
            if pool(torch.eye(15)[row][None, None, :, None].expand(1, 1, 15, 15))[0, 0, output, 0]
        }
        assert seen == stack.sources(output, 15)


@pytest.mark.torch
@settings(deadline=None, max_examples=40)
@given(text=stacks)
def test_path_counts_are_the_output_of_ones_through_weights_of_one(text: str):
    torch = pytest.importorskip("torch", reason="needs the torch extra")
    stack = parse_stack(text, channels=1) if "g2" not in text and "unshuffle" not in text else None
    assume(stack is not None and "pool" not in text and "shuffle" not in text and "prelu" not in text)
    assert stack is not None
    # One map everywhere, so that maps do not multiply the paths.
    stack = parse_stack(" ".join(_one_map(word) for word in text.split()))
    size = 40
    try:
        assume(stack.sizes(size)[-1] < 1500)
    except ValueError:
        assume(False)
    layers = torch_layers(stack, measurable=False)
    for layer in layers:
        for name, parameter in layer.named_parameters():
            torch.nn.init.constant_(parameter, 0.0 if name == "bias" else 1.0)

    ones = torch.ones(1, 1, size, size, dtype=torch.float64)
    made = torch.nn.Sequential(*layers)(ones)[0, 0]

    counts = stack.path_counts().counts
    # Away from borders: outputs whose unbounded field lies inside.
    inside = [
        place
        for place in range(made.shape[0])
        if stack.sources(place) == stack.sources(place, size) and _undisturbed(stack, place, size)
    ]
    for place in inside[:40]:
        for other in inside[:40]:
            expected = counts[place % len(counts)] * counts[other % len(counts)]
            assert float(made[place, other].detach()) == pytest.approx(float(expected), rel=1e-9, abs=1e-9)


def _one_map(word: str) -> str:
    name, *fields = word.split(":")
    return ":".join([name, "1", *fields[1:]]) if "conv" in name else word


def _undisturbed(stack: Stack, place: int, size: int) -> bool:
    """Say whether no layer on the way from the input to an output met a border."""
    places = {place}
    sizes = stack.sizes(size)
    for number in reversed(range(len(stack.layers))):
        places = {source for each in places for source, _ in stack.layers[number].taps(each)}
        if any(not 0 <= each < sizes[number] for each in places):
            return False
    return True


@pytest.mark.torch
@pytest.mark.parametrize("upsampling", ["subpixel", "transposed", "resize-nearest", "resize-bilinear"])
@pytest.mark.parametrize("changes", [{}, {"colors": 3}, {"frames": 5}])
def test_the_networks_are_the_stacks_that_the_arithmetic_has_of_them(
    upsampling: str, changes: dict[str, int]
):
    torch = pytest.importorskip("torch", reason="needs the torch extra")
    from sr_datasets.espcn.config import EspcnConfig
    from sr_datasets.espcn.model import Espcn

    model = Espcn(EspcnConfig(scale=3, upsampling=upsampling, icnr=False, **changes), seed=1)
    stack = espcn_stack(3, upsampling=upsampling, **changes)
    shape = (1, model.config.frames, model.config.colors, 12, 14)
    lr = torch.zeros(shape if model.config.frames > 1 else (1, *shape[2:]), requires_grad=True)

    sr = model(lr)

    assert model.num_parameters == stack.num_parameters
    last = stack.stages(12, 14)[-1]
    assert sr.shape == (1, last.maps, last.height, last.width)
    for place in (0, 16, 17, 18, 35):
        (grad,) = torch.autograd.grad(sr[0, :, place, 20].sum(), lr, retain_graph=True)
        rows = grad.abs().reshape(-1, 12, 14).sum(dim=(0, 2))
        # Torch's bilinear weights are float32: those that are zero may be 1e-8.
        seen = (rows > 1e-6 * rows.max()).nonzero().flatten().tolist()
        assert set(seen) == stack.sources(place, 12)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "at least one layer"),
        ("konv3:4", "'konv3:4' is no layer. Known are convK"),
        ("conv3", "behind the kernel stands the number of maps, such as conv3:64"),
        ("conv4:8", "no padding keeps the size with an even kernel. Say one, such as conv4:8:p0"),
        ("conv3:8:q1", "'q1' is no option of conv. Known are d, g, nobias, p, s"),
        ("conv3:8:a1", "'a1' is no option of conv"),
        ("shuffle2:s1", "'s1' is no option of shuffle. shuffle has none"),
        ("conv3:8:s1:s2", "s is said twice"),
        ("conv3:8:s0", "s0 must be at least 1"),
        ("tconv3:1:s2:p0:a2", "output padding 2 must be less than stride or dilation"),
        ("tconv3:1:nobias:cellbias", "exclude each other"),
        ("maxpool3:p2", "padding 2 is more than half of the kernel"),
        ("conv3:6 shuffle2", "shuffle2: 6 maps do not divide by 4"),
        ("conv3:6:g4", "1 maps in and 6 out do not both divide by 4 groups"),
        ("nearest9999", "enlarges 9999 times"),
    ],
)
def test_words_that_are_no_stack_are_told_what_is_wrong(text: str, complaint: str):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        parse_stack(text)

    assert complaint in str(caught.value)


def test_an_input_that_is_too_small_names_the_layer():
    with pytest.raises(ValueError, match="conv5:1:p0: a size of 3 is too small"):
        parse_stack("conv3:8 conv5:1:p0").stages(3, 9)
    with pytest.raises(ValueError, match="unshuffle2: a size of 3 does not divide"):
        parse_stack("unshuffle2").sizes(3)


def run(*words: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["arch", *words])
    assert result.exit_code == code, result.output
    return result.output


def test_the_command_prints_a_table_of_80_columns():
    text = run("espcn", "--scale", "3", "--input", "360x640")

    assert max(map(len, text.splitlines())) <= 80
    assert "output      1 map of 1080x1920, 3 per input sample" in text
    assert "22,729 parameters; 5.21 G multiply-adds" in text
    assert "output (540, 960) sees rows 176-184, columns 316-324, from 0" in text
    assert run("espcn", "--scale", "3") == text
    long = run("conv11:128:s2:p10:d2:nobias tconv11:128:s3:p10:d2:nobias", "--at", "0,0")
    assert max(map(len, long.splitlines())) <= 80
    assert "output (0, 0) sees rows" in long


def test_the_command_says_the_same_as_json_and_draws_the_overlap(tmp_path: Path):
    from PIL import Image

    picture = tmp_path / "overlap.png"

    said = json.loads(run("tconv3:1:s2 conv3:1", "--input", "8x9", "--json", "--png", str(picture)))

    assert said["output"] == {"maps": 1, "height": 16, "width": 18}
    assert said["layers"][0]["overlap"]["unevenness_2d"] == "4"
    assert said["field"]["jump"] == "1/2"
    assert said["region"] == {"output": [8, 9], "rows": [3, 5], "columns": [4, 5]}
    with Image.open(picture) as image:
        assert image.width > 300
        assert len(image.convert("RGB").getcolors(100_000)) > 5
    run("conv3:4 shuffle2", "--png", str(picture))


@pytest.mark.torch
def test_the_command_reads_model_files_and_presets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("torch", reason="needs the torch extra")
    from sr_datasets.espcn.checkpoint import Header, save_model
    from sr_datasets.espcn.config import EspcnConfig
    from sr_datasets.espcn.model import Espcn

    config = EspcnConfig(scale=2, colors=3, frames=3, upsampling="resize-nearest", activation="relu")
    save_model(tmp_path / "model.safetensors", Espcn(config), Header(kind="model", model=config))

    for path in (tmp_path, tmp_path / "model.safetensors"):
        text = run(str(path))
        assert "x2: conv5:64 relu conv3:32 relu nearest2 conv3:3" in text
        assert f"{Espcn(config).num_parameters:,} parameters" in text
    said = json.loads(
        run("residual", "--scale", "4", "--colors", "3", "--upsampling", "transposed", "--json")
    )
    assert said["parameters"] == 37_200


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["espcn"], "such as --scale 3"),
        (["konv3:5"], "'konv3:5' is no layer"),
        (["conv3:4 shuffle2", "--scale", "3"], "enlarges 2 times, --scale says 3"),
        (["conv3:4", "--input", "360"], "--input is '360', it must be like 360x640"),
        (["conv3:4", "--at", "1x2"], "--at is '1x2', it must be like 540,960"),
        (["conv3:4", "--colors", "3"], "--colors cannot be chosen here"),
        (["espcn", "--scale", "2", "--channels", "3"], "a preset's are --colors and --frames"),
        (["conv9:4:p0", "--input", "4x4"], "a size of 4 is too small"),
        (["conv3:4", "--at", "5000,0"], "there is no output 5000"),
    ],
)
def test_the_command_says_in_a_sentence_what_it_cannot_do(words: list[str], complaint: str):
    assert complaint in " ".join(run(*words, code=2).replace("│", " ").split())


def test_the_arithmetic_needs_no_torch():
    code = (
        "import sys; sys.modules['torch'] = None; sys.argv = ['sr-data', 'arch', 'espcn', '--scale', '3'];"
        "from sr_datasets.cli.main import main; main()"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stderr
    assert "22,729 parameters" in ran.stdout
