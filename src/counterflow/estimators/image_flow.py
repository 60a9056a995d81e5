"""The density of images in the manner of scikit-learn: trained, saved, scored, and ready for latent ascent."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, no_type_check

import numpy as np
import torch
from jaxtyping import Float
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from counterflow.core.checks import check_count, check_event, check_positive
from counterflow.core.errors import ArgumentError, PersistenceError
from counterflow.core.random import make_generator
from counterflow.estimators.density_folder import report_from_plain, report_to_plain
from counterflow.estimators.inputs import seed_from
from counterflow.estimators.pixels import as_images, with_noise
from counterflow.flows import RECIPES, TABLE_RECIPES, Flow, from_config
from counterflow.metrics import bits_per_dimension
from counterflow.persistence import load_folder, save_folder
from counterflow.tables.hints import did_you_mean, listed
from counterflow.training import fit

__all__ = ["ImageFlow"]

_KIND = "image flow"
_AT_ONCE = 256


class ImageFlow(DensityMixin, BaseEstimator):
    r"""A normalizing flow of images.

    Gray levels lie evenly between 0 and 1. While it trains, each is spread over its cell by uniform noise, so that the
    density at an image bounds its probability from below; the flow works on images as they are,
    ``latent_ascent(learned.flow_, model, images, target, clip=(0.0, 1.0))``.

    Args:
        flow: ``"glow"``, ``"image_realnvp"``, or a function that builds a flow of images,
            ``flow(event_shape, bounds=..., generator=...)``, such as ``partial(flows.glow, steps=4)``.
        levels: How many gray levels there are: 256 for bytes.
        max_epochs: The most passes over the images.
        patience: Stop after this many epochs in a row without a better held-out density.
        batch_size: The most images of a batch.
        learning_rate: Adam's step size at the start; it falls to zero over ``max_epochs``.
        validation: The share of images held out to stop early, in [0, 1).
        time_limit: Seconds after which training stops; ``None`` for no limit.
        device: Where to train: ``"auto"``, ``"cpu"``, ``"cuda"``. Everything else happens on the CPU.
        checkpoint: A folder that follows the training; the same ``fit`` called again goes on from it.
        progress: Show a progress bar on an interactive terminal.
        random_state: A seed, a random generator of numpy, or ``None`` for another result each time.

    Attributes:
        flow_ (Flow): The trained flow, in float32 on the CPU.
        shape_ (tuple): ``(channels, height, width)``.
        report_ (FitReport): How training ended.

    Example:
        >>> from functools import partial
        >>> from counterflow import flows
        >>> images = torch.rand(60, 1, 4, 4, generator=torch.Generator().manual_seed(0)).mul(255).byte()
        >>> small = partial(flows.image_realnvp, layers=1, hidden=(4,))
        >>> learned = ImageFlow(small, max_epochs=1, random_state=0).fit(images)
        >>> learned.bits_per_dimension(images).shape, learned.sample(3, random_state=0).shape
        ((60,), torch.Size([3, 1, 4, 4]))
    """

    @no_type_check  # scikit-learn: a constructor stores what it is given, whatever it is, and ``fit`` checks
    def __init__(
        self,
        flow: str | Callable[..., Flow] = "glow",
        *,
        levels: int = 256,
        max_epochs: int = 100,
        patience: int = 15,
        batch_size: int = 128,
        learning_rate: float = 1e-3,
        validation: float = 0.1,
        time_limit: float | None = None,
        device: str = "auto",
        checkpoint: str | Path | None = None,
        progress: bool = False,
        random_state: int | np.random.RandomState | np.random.Generator | None = None,
    ) -> None:
        self.flow = flow
        self.levels = levels
        self.max_epochs = max_epochs
        self.patience = patience
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.validation = validation
        self.time_limit = time_limit
        self.device = device
        self.checkpoint = checkpoint
        self.progress = progress
        self.random_state = random_state

    def fit(self, X: Any, y: object = None) -> "ImageFlow":
        """Learn the density of images.

        Args:
            X: Bytes, or numbers from 0 to 1: ``(n, height, width)``, ``(n, channels, height, width)`` or
                ``(n, height, width, channels)``.
            y: Ignored.

        Raises:
            ShapeError: These are no images.
            DataError: Numbers lie outside 0 to 1, or there are too few images.
            ArgumentError: A setting is out of its range.
        """
        check_count(self.levels, "levels", minimum=2)
        pixels = as_images(X)
        generator = make_generator(seed_from(self.random_state, "fit"))
        self.shape_ = tuple(pixels.shape[1:])
        self.flow_ = self._build(generator)
        self.report_ = fit(
            self.flow_,
            pixels,
            validation=self.validation,
            max_epochs=self.max_epochs,
            patience=self.patience,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            device=self.device,
            compile=False,  # whether it pays is found out by the clock, and results must not depend on that
            generator=generator,
            checkpoint=self.checkpoint,
            resume=self.checkpoint is not None,
            progress=bool(self.progress),
            time_limit=self.time_limit,
            augment=with_noise(self.levels),
        )
        return self

    @torch.no_grad()
    def score_samples(self, X: Any) -> Float[np.ndarray, " n"]:
        """The natural log-density of each image, per unit of each pixel, where a pixel goes from 0 to 1."""
        pixels = self._checked(X)
        return torch.cat([self.flow_(part) for part in pixels.split(_AT_ONCE)]).double().numpy()

    def score(self, X: Any, y: object = None) -> float:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The mean of :meth:`score_samples`."""
        return float(self.score_samples(X).mean())

    def bits_per_dimension(self, X: Any) -> Float[np.ndarray, " n"]:
        """Bits that a code made of the flow needs for each number of an image: about what the paper tables hold."""
        scores = self.score_samples(X)
        return bits_per_dimension(scores, int(np.prod(self.shape_)), step=1 / (self.levels - 1))

    @torch.no_grad()
    def sample(
        self, n_samples: int = 1, *, temperature: float = 1.0, random_state: Any = None
    ) -> Float[Tensor, "n channels height width"]:
        """Make images up.

        Args:
            n_samples: How many.
            temperature: What latents are multiplied with: below 1 for likelier images with less variety.
            random_state: As in the constructor.
        """
        check_is_fitted(self)
        check_count(n_samples, "n_samples")
        check_positive(temperature, "temperature")
        z = self.flow_.base.sample((n_samples,), generator=make_generator(seed_from(random_state, "sample")))
        return torch.cat([self.flow_.to_data(temperature * part)[0] for part in z.split(_AT_ONCE)]).clamp(0.0, 1.0)

    def save(self, folder: str | Path) -> Path:
        """Save to a folder of JSON and safetensors; :meth:`load` reads it.

        Raises:
            PersistenceError: A function composed the flow by hand, so that nothing can build it again.
        """
        check_is_fitted(self)
        if self.flow_.config is None:
            raise PersistenceError("only a flow of a recipe can be saved, got one composed by hand. Use flows.glow.")
        config = {"flow": self.flow_.config, "levels": self.levels, "report": report_to_plain(self.report_)}
        return save_folder(folder, _KIND, config=config, tensors=self.flow_.state_dict())

    @classmethod
    def load(cls, folder: str | Path) -> "ImageFlow":
        """Load what :meth:`save` wrote: the same scores and images, bit by bit.

        Raises:
            PersistenceError: The folder is missing, damaged, of another kind or of another version.
        """
        config, tensors = load_folder(folder, _KIND)
        learned = cls(config["flow"]["recipe"], levels=config["levels"])
        learned.flow_ = from_config(config["flow"])
        learned.flow_.load_state_dict(tensors)
        learned.flow_.eval()
        learned.shape_, learned.report_ = learned.flow_.event_shape, report_from_plain(config["report"])
        return learned

    def _build(self, generator: torch.Generator) -> Flow:
        half = 0.5 / (self.levels - 1)
        known = sorted(set(RECIPES) - set(TABLE_RECIPES))
        build: Any = self.flow if callable(self.flow) else RECIPES.get(self.flow) if self.flow in known else None
        if build is None:
            raise ArgumentError(
                f"flow must be a function that builds a flow of images or one of {listed(known)}, got {self.flow!r}."
                f"{did_you_mean(str(self.flow), known)}"
            )
        return build(self.shape_, bounds=(-half, 1 + half), generator=generator)

    def _checked(self, X: Any) -> Tensor:
        check_is_fitted(self)
        pixels = as_images(X)
        check_event(pixels, self.shape_, "images")
        return pixels
