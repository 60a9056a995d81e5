"""What DiCoFlex knows once it has learned: a flow that draws counterfactuals of any row in one pass."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from counterflow.core.errors import ArgumentError, ShapeError
from counterflow.core.random import make_generator
from counterflow.counterfactuals.dicoflex.drafter import Drafter
from counterflow.counterfactuals.dicoflex.examples import changeable
from counterflow.counterfactuals.dicoflex.options import Options
from counterflow.persistence import SavedFolder
from counterflow.tables import Rules, Schema

__all__ = ["DiCoFlexSkill"]


class DiCoFlexSkill:
    """A trained drafter; rows go in and come out as numbers of the codec.

    Args:
        drafter: The flow, trained.
        norms: The least and the greatest exponent that it was trained for.
        masks: The different sets of locked columns that it was trained on.
    """

    def __init__(self, drafter: Drafter, *, norms: tuple[float, float], masks: Bool[Tensor, "masks columns"]) -> None:
        self.drafter = drafter.eval().requires_grad_(requires_grad=False)
        self.norms = norms
        self.masks = masks

    @property
    def schema(self) -> Schema:
        """The columns."""
        return self.drafter.options.schema

    @contextmanager
    def at(self, device: str) -> Generator[None]:
        """Let the flow draw on a device for a while; rows come from the CPU and go back to it."""
        self.drafter.flow.to(device)
        try:
            yield
        finally:
            self.drafter.flow.cpu()

    def has_seen(self, locked: Bool[Tensor, " columns"]) -> bool:
        """Whether exactly these columns were locked in some question of the training."""
        return bool((self.masks == locked).all(1).any())

    def draw(
        self,
        numbers: Float[Tensor, "rows columns"],
        labels: Int[Tensor, " rows"] | int,
        *,
        norm: float = 2.0,
        locked: Bool[Tensor, "..."] | None = None,
        count: int = 100,
        temperature: float = 0.8,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "count rows columns"]:
        """Draw counterfactuals as the flow makes them: legal rows, and no call of the model has judged them.

        Args:
            numbers: The factual rows.
            labels: The index of the class (or of the bin of values) that is wished for each, or one for all.
            norm: The exponent p of the distance: the smaller, the fewer columns change.
            locked: Columns that must stay, ``(columns,)`` or one set for each row, beside those that the schema fixes.
            count: How many for each row.
            temperature: Below 1, likely changes become likelier.
            generator: Where the randomness comes from; ``None`` for the operating system's.

        Returns:
            The draws.

        Raises:
            ArgumentError: A class does not exist, or norm, count or temperature is not above 0.
            ShapeError: A shape does not fit.
        """
        self._check(numbers, norm=norm, count=count, temperature=temperature)
        target = torch.as_tensor(labels).expand(len(numbers))
        if len(target) and not 0 <= int(target.min()) <= int(target.max()) < self.drafter.classes:
            raise ArgumentError(f"labels must lie in 0..{self.drafter.classes - 1}, got {target.unique().tolist()}.")
        return self.draft(
            Rules.compile(self.schema, None, numbers),
            target,
            norm=norm,
            locked=None if locked is None else locked.expand(numbers.shape),
            count=count,
            temperature=temperature,
            generator=make_generator(generator),
        )

    def draft(
        self,
        rules: Rules,
        target: Int[Tensor, " rows"],
        *,
        norm: float,
        count: int,
        temperature: float,
        generator: torch.Generator,
        locked: Bool[Tensor, "rows columns"] | None = None,
    ) -> Float[Tensor, "count rows columns"]:
        """Draw legal rows under rules of any kind; what they lock is a condition of the flow, and so is ``locked``."""
        power = min(max(norm, self.norms[0]), self.norms[1])
        stays = ~changeable(rules) if locked is None else ~changeable(rules) | locked
        draws = self.drafter.draw(
            rules,
            self.drafter.context(rules.factual, target, locked=stays, norm=power),
            allowed=self.drafter.options.allowed(rules, locked=stays),
            count=count,
            temperature=temperature,
            generator=generator,
        )
        return rules.project(draws)

    def to_parts(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Plain settings and tensors for a saved folder."""
        drafter = self.drafter
        plan = {"classes": drafter.classes, "hidden": list(drafter.hidden), "width": drafter.width}
        tensors = {f"drafter.{name}": tensor for name, tensor in drafter.state_dict().items()}
        return {"norms": list(self.norms), **plan}, tensors | {"masks": self.masks}

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], folder: SavedFolder, schema: Schema) -> "DiCoFlexSkill":
        """Build it again from what :meth:`to_parts` gave."""
        tensors = folder.part("skill")
        weights = folder.part("skill.drafter")
        options = Options(schema, {name: weights[f"options.{name}"] for name in ("low", "high", "count")})
        drafter = Drafter(options, config["classes"], hidden=tuple(config["hidden"]), width=config["width"])
        drafter.load_state_dict(weights)
        least, greatest = config["norms"]
        return cls(drafter, norms=(least, greatest), masks=tensors["masks"])

    def _check(self, numbers: Tensor, *, norm: float, count: int, temperature: float) -> None:
        if numbers.ndim != 2 or numbers.shape[1] != len(self.schema):
            raise ShapeError(f"numbers must have shape (rows, {len(self.schema)}), got {tuple(numbers.shape)}.")
        for name, value in (("norm", norm), ("count", count), ("temperature", temperature)):
            if not value > 0:
                raise ArgumentError(f"{name} must be above 0, got {value}.")
