"""SOAP: Adam in a turned basis."""

import pytest

torch = pytest.importorskip("torch", reason="needs the torch extra")

from sr_datasets.espcn.soap import KERNEL_MEMORY, Soap  # noqa: E402

pytestmark = pytest.mark.torch


def kernels(*shapes: tuple[int, ...], seed: int = 0) -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.nn.Parameter(torch.randn(shape, generator=generator, dtype=torch.float64)) for shape in shapes
    ]


def give(parameters: list[torch.nn.Parameter], *, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in parameters:
        parameter.grad = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)


def test_a_bias_takes_the_steps_of_adam():
    ours, theirs = kernels((7,)), kernels((7,))
    soap, adam = Soap(ours, betas=(0.9, 0.99)), torch.optim.Adam(theirs, betas=(0.9, 0.99))
    for step in range(30):
        for parameters, optimizer in ((ours, soap), (theirs, adam)):
            give(parameters, seed=step)
            optimizer.param_groups[0]["lr"] = 0.01
            optimizer.step()
    torch.testing.assert_close(ours[0], theirs[0])


def test_a_step_does_not_depend_on_the_basis_that_outputs_and_inputs_are_written_in():
    """Turned gradients make turned steps, which Adam's do not: what SOAP is for (Vyas et al., section 3)."""
    generator = torch.Generator().manual_seed(5)
    left, right = (
        torch.linalg.qr(torch.randn(5, 5, generator=generator, dtype=torch.float64))[0] for _ in range(2)
    )
    plain, turned = ([torch.nn.Parameter(torch.zeros(5, 5, dtype=torch.float64))] for _ in range(2))
    optimizers = Soap(plain, refresh=1), Soap(turned, refresh=1)
    for _ in range(12):
        gradient = torch.randn(5, 5, generator=generator, dtype=torch.float64)
        plain[0].grad, turned[0].grad = gradient, left @ gradient @ right.mT
        for optimizer in optimizers:
            optimizer.step()
    assert plain[0].abs().max() > 1e-3
    torch.testing.assert_close(left @ plain[0] @ right.mT, turned[0], rtol=1e-6, atol=1e-9)


def test_kernels_of_one_shape_do_not_notice_each_other():
    # Square, in float64: the first gradient of a wide kernel leaves some eigenvectors to chance.
    together, alone = kernels((9, 1, 3, 3), (9, 1, 3, 3), (9,)), kernels((9, 1, 3, 3), (9, 1, 3, 3), (9,))
    one, others = Soap(together), [Soap([parameter]) for parameter in alone]
    for step in range(15):
        give(together, seed=step)
        give(alone, seed=step)
        for optimizer in (one, *others):
            optimizer.step()
    for first, second in zip(together, alone, strict=True):
        torch.testing.assert_close(first, second)


def test_its_memory_written_into_another_makes_it_go_on_alike():
    before, after = kernels((5, 4, 3, 3), (5,)), kernels((5, 4, 3, 3), (5,))
    first, second = Soap(before), Soap(after)
    for step in range(11):
        give(before, seed=step)
        first.step()
    assert tuple(first.state[before[0]]) == KERNEL_MEMORY
    second.steps = first.steps
    with torch.no_grad():
        for old, new in zip(before, after, strict=True):
            new.copy_(old)
            for name, tensor in first.state[old].items():
                second.state[new][name].copy_(tensor)
    for step in range(11, 25):
        for parameters, optimizer in ((before, first), (after, second)):
            give(parameters, seed=step)
            optimizer.step()
    assert all(torch.equal(old, new) for old, new in zip(before, after, strict=True))
