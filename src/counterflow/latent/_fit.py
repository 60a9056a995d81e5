"""Training of a latent flow: latents once, then maximum likelihood with attributes hidden at random."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from counterflow.core.checks import check_count
from counterflow.core.errors import ArgumentError
from counterflow.core.random import derive_seed, make_generator
from counterflow.flows import Flow, initialize, spline_coupling
from counterflow.generators import Generator
from counterflow.latent.attributes import Attributes
from counterflow.latent.codes import as_autoencoder, encode_once
from counterflow.latent.keeping import whitened
from counterflow.latent.learning import learn_attributes
from counterflow.latent.model import LatentFlow
from counterflow.training import (
    Batch,
    Logger,
    TensorBatches,
    TrainingSettings,
    negative_log_likelihood,
    optimise,
)
from counterflow.training.batches import Array
from counterflow.training.data import hold_out
from counterflow.training.likelihood import held_out_loss
from counterflow.training.place import Place

__all__ = ["fit_latent_flow"]

_HELD_OUT_DRAWS = 4
_USUAL = TrainingSettings(max_epochs=200, patience=20, compile=False)


def fit_latent_flow(
    autoencoder: Any,
    x: Array,
    *,
    attributes: Any = None,
    flow: Callable[..., Flow] = spline_coupling,
    hide: float = 0.2,
    resample: bool = False,
    noise: float = 0.0,
    validation: float | tuple[Tensor, Any] = 0.1,
    batch_size: int = 256,
    settings: TrainingSettings | None = None,
    generator: torch.Generator | None = None,
    on_epoch: Logger | None = None,
) -> LatentFlow:
    r"""Plug a conditional flow into the latents of an autoencoder, which stays as it is.

    .. math:: \max_\phi \; \sum_i \log p_\phi\big(e(x_i) \mid y_i\big)

    Points are encoded once. A whitening whose mean is linear in the condition comes first, so that the flow starts
    where linear discriminant analysis ends. Attributes are hidden at random in every batch, so that conditions may be
    partial later. Training takes place where the points are.

    Args:
        autoencoder: Anything with ``encode(x)`` and ``decode(z)``, trained before; or a pair of functions.
        x: Points, in the form that the autoencoder takes.
        attributes: What is known of each point: a frame, or a dictionary from names to columns (words, truth values and
            whole numbers are classes, floats are numbers; ``None`` or NaN where a value is missing), or one column,
            called ``"class"``. ``None``: nothing is, and the flow makes a generator of the autoencoder.
        flow: What builds the density: a recipe of :mod:`counterflow.flows` for rows, or a function that is called
            alike, ``flow(features, context_features=..., generator=...)``.
        hide: The share of rows that lose attributes in a batch, in [0, 1]; 0 for conditions that are always whole.
        resample: Draw latents from the law of a variational encoder anew in every batch, in place of its mean.
        noise: Deviation of normal noise that latents get in every batch, in standard deviations of each; a little
            keeps the flow of few points from learning them by heart.
        validation: The share of points held out, in [0, 1), or ``(x, attributes)`` of your own.
        batch_size: The most points of a batch.
        settings: Epochs, learning rate, time limit, progress and so on; ``None`` for up to 200 epochs.
        generator: Where the randomness comes from.
        on_epoch: Called with the record of every epoch; to stop the run there, it returns ``False``.

    Returns:
        The latent flow; ``report`` says how training went.

    Raises:
        ArgumentError: A setting is out of its range, points or latents are not finite, or ``resample`` is asked of an
            encoder without a law.
        ShapeError: The autoencoder does not give back points of the same shape, or a column has another length.
        DataError: A column of attributes cannot be understood, or there are too few points.

    Reference:
        Wielopolski, Koperski, Zieba, "Flow Plugin Network for Conditional Generation", 2021.

    Example:
        >>> from counterflow.generators import Identity
        >>> generator = torch.Generator().manual_seed(0)
        >>> smile = torch.rand(1000, generator=generator) < 0.5
        >>> x = torch.randn(1000, 2, generator=generator) + 4 * smile[:, None]  # an autoencoder that does nothing
        >>> short = TrainingSettings(max_epochs=3, compile=False)
        >>> latent = fit_latent_flow(Identity(), x, attributes={"smile": smile}, settings=short, generator=generator)
        >>> edit = latent.edit(torch.zeros(1, 2), {"smile": True})
        >>> edit.before["smile"], edit.edited.round().tolist()
        ([False], [[4.0, 4.0]])
    """
    _check(hide, noise, batch_size)
    x = torch.as_tensor(x)
    generator = make_generator(generator)
    seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
    vary = _Vary(learn_attributes(attributes), hide)
    latents = partial(_latents, as_autoencoder(autoencoder), vary.attributes, resample=resample, noise=noise)
    rows, latent_shape = latents(x, attributes)
    own: Any = latents(*validation)[0][:2] if isinstance(validation, tuple) else validation
    rows, held = hold_out(rows, own, seed, raw=False, place=Place(rows.x.device, rows.x.dtype))
    density = _density(flow, vary(rows, make_generator(derive_seed(seed, "start"), rows.x.device)), seed=seed)
    deal = TensorBatches(rows, batch_size)
    report = optimise(
        density,
        negative_log_likelihood,
        lambda source: (vary(batch, source) for batch in deal(source)),
        validate=None if held is None else _held_out(held, vary, seed, chunk=2 * batch_size),
        settings=settings or _USUAL,
        generator=make_generator(seed),
        on_epoch=on_epoch,
    )
    return LatentFlow(
        autoencoder,
        density,
        attributes=vary.attributes,
        event_shape=tuple(x.shape[1:]),
        latent_shape=latent_shape,
        partial=hide > 0 or bool(vary.attributes.missing(attributes, len(x))),
        report=report,
    )


class _Vary:
    """What every batch gets anew: noise for its latents, and attributes that are hidden."""

    def __init__(self, attributes: Attributes, hide: float) -> None:
        self.attributes, self.hide = attributes, hide

    def __call__(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Draw latents from rows of means and deviations, and hide attributes."""
        mean, deviation = batch.x.chunk(2, dim=1)
        noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype, device=mean.device)
        context = batch.context
        if context is not None and self.hide:
            context = self.attributes.hide(context, self.hide, generator=generator)
        return batch._replace(x=mean + deviation * noise, context=context)


def _latents(
    autoencoder: Generator, attributes: Attributes, x: Tensor, values: Any, *, resample: bool, noise: float
) -> tuple[Batch, tuple[int, ...]]:
    """Latents and the deviation of each, side by side, with their conditions; and the shape of a latent."""
    mean, deviation, shape = encode_once(autoencoder, x, spread=resample)
    jitter = noise * mean.std(0).expand_as(mean)
    spread = jitter if deviation is None else torch.hypot(jitter, deviation)
    context = attributes.encode(values, len(mean)).to(mean) if attributes.members else None
    return Batch(torch.cat([mean, spread], 1), context), shape


def _density(build: Callable[..., Flow], rows: Batch, *, seed: int) -> Flow:
    """The flow to be trained, in the dtype and on the device of the rows, started from them."""
    features, width = rows.x.shape[1], 0 if rows.context is None else rows.context.shape[1]
    made = build(features, context_features=width, generator=make_generator(derive_seed(seed, "flow")))
    if not isinstance(made, Flow) or (made.event_shape, made.context_features) != ((features,), width):
        raise ArgumentError(
            f"flow must build a Flow of {features} features when called as flow({features}, context_features={width}, "
            f"generator=...), got {type(made).__name__}. Pass a recipe for rows such as flows.maf."
        )
    return initialize(whitened(made).to(rows.x), rows.x, rows.context)


def _held_out(held: Batch, vary: _Vary, seed: int, *, chunk: int) -> Callable[[Any], Tensor]:
    """The loss of held-out rows, with noise and hidden attributes drawn once."""
    generator = make_generator(derive_seed(seed, "held-out"), held.x.device)
    drawn = [vary(held, generator) for _ in range(_HELD_OUT_DRAWS)]
    context = None if held.context is None else torch.cat([one.context for one in drawn if one.context is not None])
    return held_out_loss(Batch(torch.cat([one.x for one in drawn]), context), chunk)


def _check(hide: float, noise: float, batch_size: int) -> None:
    check_count(batch_size, "batch_size")
    if not 0 <= hide <= 1:
        raise ArgumentError(f"hide must be a share in [0, 1], got {hide}. The default is 0.2.")
    if not 0 <= noise < float("inf"):
        raise ArgumentError(f"noise must be at least 0 and finite, got {noise}. Use 0 for none.")
