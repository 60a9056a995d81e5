"""The plug-in: a conditional flow of the latents of an autoencoder that stays as it is."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterflow.core.checks import check_count, check_finite, check_positive
from counterflow.core.errors import ArgumentError, ShapeError
from counterflow.flows import Flow, change_context
from counterflow.generators import Generator
from counterflow.latent.attributes import Attributes
from counterflow.latent.classifying import Classification, bayes_rule, checked_prior
from counterflow.latent.codes import as_autoencoder, check_decoded, check_rows, lent
from counterflow.latent.columns import Columns, Value
from counterflow.latent.conditioned import ConditionedGenerator
from counterflow.latent.editing import (
    LatentEdit,
    RoundTrip,
    changed_conditions,
    edit_status,
    keep_rows,
    root_mean_square,
    same,
)
from counterflow.latent.keeping import load_parts, save_parts
from counterflow.tables.hints import listed
from counterflow.training import FitReport

__all__ = ["LatentFlow"]


class LatentFlow(nn.Module):
    r"""An autoencoder with a flow of its latents, given what is known of a point.

    .. math:: z = e(x), \qquad z \sim p(z \mid y) = p_U\big(f(z; y)\big) \left| \det \tfrac{\partial f}{\partial z}
        \right|, \qquad x \approx g(z)

    The autoencoder is borrowed frozen and in evaluation mode at every call, and given back as it came. A condition is a
    dictionary from the names of attributes to values, one for all points or one for each; what is left out, ``None`` or
    NaN is not known. :func:`fit_latent_flow` makes a trained one.

    Args:
        autoencoder: Anything with ``encode(x)`` and ``decode(z)``, or a pair of functions.
        flow: The density of latents, laid out as vectors; its context has the length of ``attributes.width``.
        attributes: What a condition is made of.
        event_shape: The shape of one point.
        latent_shape: The shape of one latent.
        partial: Whether conditions in which something is missing were learned.
        report: How the flow was trained.

    Raises:
        ShapeError: The flow does not fit the latents or the attributes.

    Reference:
        Wielopolski, Koperski, Zieba, "Flow Plugin Network for Conditional Generation", 2021.

    Example:
        >>> from counterflow import flows
        >>> from counterflow.generators import Identity
        >>> from counterflow.latent import learn_attributes
        >>> attributes = learn_attributes({"smile": [0, 1]})
        >>> flow = flows.maf(2, context_features=attributes.width)
        >>> latent = LatentFlow(Identity(), flow, attributes=attributes, event_shape=(2,), latent_shape=(2,))
        >>> latent.sample(5, {"smile": 1}).shape, latent.classify(torch.zeros(1, 2)).probabilities
        (torch.Size([5, 2]), tensor([[0.5000, 0.5000]]))
    """

    def __init__(
        self,
        autoencoder: Any,
        flow: Flow,
        *,
        attributes: Attributes,
        event_shape: tuple[int, ...],
        latent_shape: tuple[int, ...],
        partial: bool = True,
        report: FitReport | None = None,
    ) -> None:
        super().__init__()
        needed = ((torch.Size(latent_shape).numel(),), attributes.width)
        if (flow.event_shape, flow.context_features) != needed:
            raise ShapeError(
                f"the flow must have points of shape {needed[0]} and a context of length {needed[1]}, got "
                f"{flow.event_shape} and {flow.context_features}. Build it for the latents and the attributes."
            )
        self.autoencoder: Generator = as_autoencoder(autoencoder)
        self.flow, self.attributes = flow, attributes
        self.event_shape, self.latent_shape = tuple(event_shape), tuple(latent_shape)
        self.partial, self.report = partial, report

    def encode(self, x: Float[Tensor, "rows *event"]) -> Float[Tensor, "rows *latent"]:
        """Map points to latents of the autoencoder.

        Raises:
            ShapeError: The points have another shape than those learned from.
        """
        check_rows(x, self.event_shape, "x")
        with lent(self.autoencoder):
            return self.autoencoder.encode(x)

    def decode(self, z: Float[Tensor, "rows *latent"]) -> Float[Tensor, "rows *event"]:
        """Map latents to points.

        Raises:
            ShapeError: The latents have another shape than those learned from, or so have the points.
        """
        check_rows(z, self.latent_shape, "z")
        with lent(self.autoencoder):
            x = self.autoencoder.decode(z)
        check_decoded(x, self.event_shape)
        return x

    def log_prob(self, z: Float[Tensor, "rows *latent"], condition: Any = None) -> Float[Tensor, " rows"]:
        """Compute the natural log-density of latents; for points, hand in ``encode(x)``.

        Args:
            z: Latents.
            condition: What is known of them; ``None`` for nothing.

        Raises:
            ArgumentError: The condition names no attribute, holds no value of it, or misses one that must be known.
            ShapeError: The latents have another shape than those learned from.
        """
        check_rows(z, self.latent_shape, "z")
        return self.flow(z.flatten(1), self._context(condition, len(z)))

    @torch.no_grad()
    def sample(
        self,
        count: int,
        condition: Any = None,
        *,
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "count *event"]:
        """Draw points.

        Args:
            count: How many.
            condition: What they shall be: one value for all, or one for each of them.
            temperature: Factor of the flow's latent; below 1 points are more usual and less diverse.
            generator: Where the randomness comes from.

        Returns:
            Decoded latents.

        Raises:
            ArgumentError: ``count`` is below one, ``temperature`` not positive, or the condition wrong.
        """
        check_count(count, "count")
        check_positive(temperature, "temperature")
        u = temperature * self.flow.base.rsample((count,), generator=generator)
        z, _ = self.flow.to_data(u, self._context(condition, count))
        return self.decode(z.unflatten(1, self.latent_shape))

    @torch.no_grad()
    def classify(
        self,
        x: Float[Tensor, "rows *event"],
        attribute: str | None = None,
        *,
        known: Any = None,
        prior: Sequence[float | int] | Float[Tensor, " classes"] | None = None,
    ) -> Classification:
        r"""Say how probable each class is, by Bayes' rule.

        .. math:: p(y \mid x) \propto p(y)\, p(e(x) \mid y)

        Args:
            x: Points.
            attribute: The attribute to tell; it may be left out where only one has classes.
            known: What is known of the others; those left out are not known.
            prior: p(y), one number for each class; ``None`` for the shares of the training data.

        Returns:
            The probabilities, with the density of each latent.

        Raises:
            ArgumentError: The attribute has no classes, or prior or condition are wrong.
        """
        member = self.attributes.class_member(attribute)
        shares = checked_prior(member.shares if prior is None else prior, member)  # type: ignore[arg-type]
        z = self.encode(x).flatten(1)
        others = self.attributes.columns(known, len(x))
        densities = [self.flow(z, self._context({**others, member.name: value}, len(x))) for value in member.classes]
        return Classification(member.name, member.classes, *bayes_rule(torch.stack(densities), shares))

    @torch.no_grad()
    def edit(
        self,
        x: Float[Tensor, "rows *event"],
        after: Any,
        *,
        before: Any = None,
        strength: float | Float[Tensor, " points"] = 1.0,
        keep_residual: bool = False,
    ) -> LatentEdit:
        r"""Change attributes of points and keep everything else.

        .. math:: u = f(e(x); y), \qquad z' = e(x) + s\,\big(f^{-1}(u; y') - e(x)\big), \qquad x' = g(z')

        Points that have the attributes already are given back unchanged.

        Args:
            x: Points.
            after: The attributes to change, with their new values.
            before: What is known of the points. A class that shall change and is not named here is inferred by
                :meth:`classify`; what does not change is kept, whether known or not.
            strength: s: 0 gives the reconstructions, 1 the change, more goes beyond. One for all points or for each.
            keep_residual: Carry along what the autoencoder loses: :math:`x' = g(z') + x - g(e(x))`.

        Returns:
            The record, which says of each point how it ended.

        Raises:
            ArgumentError: A condition is wrong, nothing shall change, a number shall change whose value before is not
                known, or a strength is negative.
        """
        check_finite(x, "x")
        old, new = changed_conditions(self.attributes, after, before=before, rows=len(x), infer=partial(self._infer, x))
        already = torch.tensor([same(old, new, row) for row in range(len(x))], device=x.device)
        z, c, changed = self.encode(x), self._context(old, len(x)), self._context(new, len(x))
        flat = change_context(self.flow, z.flatten(1), before=c, after=changed, strength=strength)  # type: ignore[arg-type]
        moved = keep_rows(already, z, flat.view_as(z))
        reconstructions, made = self.decode(z), self.decode(moved)
        edited = keep_rows(already, x, made + x - reconstructions if keep_residual else made)
        again = self.encode(edited).flatten(1)
        support = self.flow(again, changed) - self.flow(again, c)
        parts = {"originals": x, "edited": edited, "reconstructions": reconstructions, "latents": z}
        parts |= {"edited_latents": moved, "support": support}
        trip, status = self.round_trip(x, old), edit_status(support, already)
        return LatentEdit(**parts, before=old, after=new, round_trip=trip, status=status)

    @torch.no_grad()
    def round_trip(self, x: Float[Tensor, "rows *event"], condition: Any = None) -> RoundTrip:
        """Measure what is lost on the way to a latent and back, by the autoencoder and by the flow."""
        z = self.encode(x)
        context = self._context(condition, len(x))
        back, _ = self.flow.to_data(self.flow.to_latent(z.flatten(1), context)[0], context)
        return RoundTrip(root_mean_square(self.decode(z) - x), root_mean_square(back - z.flatten(1)))

    def at(self, condition: Any = None) -> ConditionedGenerator:
        """Fix one condition: a generator whose latents are those of the flow, for latent ascent among its likes."""
        context = self._context(condition, 1)
        fixed = None if context is None else context[0]
        return ConditionedGenerator(self.autoencoder, self.flow, fixed, latent_shape=self.latent_shape)

    def save(self, folder: str | Path) -> None:
        """Save the flow and the attributes to a folder of JSON and safetensors, without the autoencoder.

        Raises:
            PersistenceError: The flow was composed by hand, so that no recipe can rebuild it.
        """
        save_parts(
            folder,
            self.flow,
            attributes=self.attributes,
            autoencoder=self.autoencoder,
            settings={"event_shape": self.event_shape, "latent_shape": self.latent_shape, "partial": self.partial},
        )

    @classmethod
    def load(cls, folder: str | Path, autoencoder: Any) -> "LatentFlow":
        """Load what :meth:`save` wrote, for the same autoencoder.

        Raises:
            PersistenceError: The folder is missing, damaged or of another kind, or the weights of the autoencoder are
                not those that were learned with.
            ShapeError: The autoencoder decodes points of another shape.
        """
        flow, attributes, settings = load_parts(folder, as_autoencoder(autoencoder))
        made = cls(autoencoder, flow, attributes=attributes, **settings)
        made.decode(torch.zeros(1, *made.latent_shape).to(flow.base.anchor))
        return made

    def extra_repr(self) -> str:
        """Name the attributes."""
        return f"attributes={self.attributes.names}"

    def _context(self, condition: Any, rows: int) -> Tensor | None:
        """A condition as vectors for the flow."""
        missing = [] if self.partial else self.attributes.missing(condition, rows)
        if missing:
            raise ArgumentError(
                f"a condition must hold {listed(missing)}: the flow never saw one without. Or fit with hide above 0."
            )
        context = self.attributes.encode(condition, rows).to(self.flow.device, self.flow.dtype)
        return context if self.attributes.members else None

    def _infer(self, x: Tensor, name: str, known: Columns) -> list[Value]:
        """The most probable class of each point, given what is known of the others."""
        return self.classify(x, name, known=known).labels
