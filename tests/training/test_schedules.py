import math

import pytest
import torch

from counterflow.training.schedules import constant, cosine, plateau


def torch_rates(make_scheduler, losses, base=0.3):
    """The learning rates that a scheduler of torch gives, before each epoch."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=base)
    scheduler = make_scheduler(optimizer)
    rates = []
    for loss in losses:
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
            scheduler.step(loss)
        else:
            scheduler.step()
    return rates


def our_rates(schedule, losses, base=0.3, **settings):
    return [base * schedule(losses[:epoch], **settings) for epoch in range(len(losses))]


def test_cosine_is_torchs_cosine_annealing():
    expected = torch_rates(lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=17), [1.0] * 17)
    assert our_rates(cosine, [1.0] * 17, max_epochs=17, patience=5) == pytest.approx(expected, rel=1e-9)


def test_cosine_has_its_closed_form_and_stays_at_zero():
    assert cosine([0.0] * 3, max_epochs=12, patience=1) == pytest.approx((1 + math.sqrt(0.5)) / 2)
    assert cosine([0.0] * 12, max_epochs=12, patience=1) == 0.0
    assert cosine([0.0] * 20, max_epochs=12, patience=1) == 0.0


@pytest.mark.parametrize("patience", [1, 3, 7])
def test_plateau_is_torchs_reduce_on_plateau(patience):
    noise = torch.rand(120, generator=torch.Generator().manual_seed(patience))
    losses = [3 / (1 + epoch) + value for epoch, value in enumerate(noise.tolist())]
    expected = torch_rates(
        lambda o: torch.optim.lr_scheduler.ReduceLROnPlateau(
            o, factor=0.5, patience=patience // 3, threshold=0.0, eps=0.0
        ),
        losses,
    )
    assert expected[-1] < 0.05 * expected[0]
    assert our_rates(plateau, losses, max_epochs=120, patience=patience) == pytest.approx(expected, rel=1e-12)


def test_constant_is_one():
    assert our_rates(constant, [5.0, 4.0, 9.0], base=0.3, max_epochs=3, patience=1) == [0.3] * 3
