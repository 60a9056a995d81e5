"""A generative model of shapes: a flow over latents of shapes, and a flow over the points of a shape."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from counterflow.core.checks import check_count
from counterflow.core.clouds import CloudLike, as_clouds, present_points
from counterflow.core.errors import ArgumentError, ShapeError
from counterflow.core.numerics import soft_bound
from counterflow.core.random import make_generator
from counterflow.flows import spline_coupling
from counterflow.nets import MLP
from counterflow.persistence import load_folder, save_folder
from counterflow.pointclouds.encoder import CloudEncoder, normal_entropy
from counterflow.pointclouds.point_flows import make_point_flow
from counterflow.pointclouds.settings import PointFlowSettings
from counterflow.pointclouds.units import Units

__all__ = ["PointFlow"]

_LOG_DEVIATION_BOUND = 6.0
_POINTS = 1024
_POINTS_AT_ONCE = 1 << 16
_CLOUDS_TO_INITIALIZE = 256


class PointFlow(nn.Module):
    r"""A law of clouds: a shape has a latent z, and its points are drawn one by one from a density that z sets.

    .. math:: p(X) = \int p(z) \prod_{i=1}^n p(x_i \mid z)\, dz, \qquad
        \log p(X) \ge \mathbb E_{q(z \mid X)} \Big[ \sum_i \log p(x_i \mid z) + \log p(z) \Big] + H\big(q(z \mid X)\big)

    Both p are flows; q is normal, of an encoder that knows no order of points. So a cloud may have any number of
    points, and as many can be drawn as wanted. Clouds are tensors ``(clouds, points, dimensions)``; where one has fewer
    points than the others, rows of NaN stand (:func:`~counterflow.core.clouds.as_clouds` makes such from lists). All
    densities are natural logarithms, in the units of the clouds.

    Clouds are centered in double precision (:class:`~counterflow.pointclouds.units.Units`), so that float64 clouds far
    from the origin keep their digits. All answers are in the model's own dtype, each the nearest number of it: far
    clouds are drawn as exactly as they were learned from by ``model.double()``.

    Args:
        settings: How it is built; ``None`` for the defaults.
        generator: Where initial weights are drawn from.

    Reference:
        Yang, Huang, Hao, Liu, Belongie, Hariharan, "PointFlow: 3D Point Cloud Generation with Continuous Normalizing
        Flows", 2019 (the bound; each density here has its constant once). Kim, Lee, Kang, Cho, Kim,
        "SoftFlow: Probabilistic Framework for Normalizing Flow on Manifolds", 2020 (``settings.noise``).

    Example:
        >>> model = PointFlow(PointFlowSettings(dimensions=2, latent_features=4, layers=2))
        >>> clouds = torch.randn(5, 100, 2)
        >>> z = model.encode(clouds)
        >>> z.shape, model.decode(z, 30).shape, model.elbo(clouds).shape, model.sample(3, 20).shape
        (torch.Size([5, 4]), torch.Size([5, 30, 2]), torch.Size([5]), torch.Size([3, 20, 2]))
    """

    initialized: Tensor

    def __init__(self, settings: PointFlowSettings | None = None, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.settings = settings = settings or PointFlowSettings()
        latent = settings.latent_features
        outputs = 2 * latent if settings.variational else latent
        self.encoder = CloudEncoder(
            settings.dimensions, outputs, each=settings.encoder, head=settings.head, generator=generator
        )
        self.prior = spline_coupling(
            latent, layers=settings.prior_layers, hidden=settings.prior_hidden, generator=generator
        )
        width = settings.embedding
        self.embedding = MLP(settings.context_features, width, hidden=(width,), zero=False, generator=generator)
        self.points = make_point_flow(settings, generator=generator)
        self.units = Units(settings.dimensions)
        self.register_buffer("initialized", torch.tensor(False))

    @torch.no_grad()
    def initialize(self, clouds: CloudLike) -> None:
        """Set what starts from data, once: a second call, or one after loading, changes nothing.

        That is where the clouds lie and how far they reach, and the encoder's last layer: means of deviation 1 over the
        clouds, known to within exp(-2). A fresh network says nearly the same of all clouds, and latents that say
        nothing are not learned from.

        Raises:
            DataError: All points are the same.
        """
        x = self.checked(clouds)
        if self.initialized:
            return
        self.units.fit(x[present_points(x)])
        self.initialized.fill_(True)
        self.encoder.standardize(*self._prepared(x[:_CLOUDS_TO_INITIALIZE]), means=self.settings.latent_features)

    def checked(self, clouds: CloudLike, *, name: str = "clouds") -> Float[Tensor, "clouds points dimensions"]:
        """Check clouds and bring them to the model's device, in their own dtype."""
        return as_clouds(clouds, dimensions=self.settings.dimensions, name=name).to(self.prior.device)

    def scaled(self, x: Float[Tensor, "*batch dimensions"]) -> Float[Tensor, "*batch dimensions"]:
        """Bring points to the units in which the flow learned, mean 0 and overall deviation 1, and to its dtype."""
        return self.units.scaled(x).to(self.prior.dtype)

    def posterior(self, clouds: CloudLike) -> tuple[Float[Tensor, "clouds latent"], Float[Tensor, "clouds latent"]]:
        """Compute mean and log deviation of each cloud's latent; minus infinity where the encoder is deterministic."""
        return self.read(*self._prepared(clouds))

    def read(
        self, points: Float[Tensor, "clouds points dimensions"], present: Bool[Tensor, "clouds points"]
    ) -> tuple[Float[Tensor, "clouds latent"], Float[Tensor, "clouds latent"]]:
        """Compute the same of clouds that are :meth:`scaled` and checked already, finite also where no point is."""
        answer = self.encoder(points, present)
        if not self.settings.variational:
            return answer, torch.full_like(answer, -torch.inf)
        mean, raw = answer.chunk(2, 1)
        return mean, soft_bound(raw, _LOG_DEVIATION_BOUND)

    def encode(self, x: CloudLike) -> Float[Tensor, "clouds latent"]:
        """Map clouds to latents: the mean of the encoder's law."""
        return self.posterior(x)[0]

    def decode(
        self, z: Float[Tensor, "clouds latent"], points: int = _POINTS, *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "clouds points dimensions"]:
        """Draw points of the shapes of latents, differentiable in the latents.

        Args:
            z: Latents.
            points: How many points of each.
            generator: Where they are drawn from; ``None`` takes the same noise for every shape and call, so that the
                answer is a function of ``z`` alone and equal places of two clouds belong together.

        Returns:
            The clouds in the model's dtype: placed in double precision, then rounded. In float32 that is to within
            half a unit at coordinates of several millions; ``model.double()`` gives all digits.
        """
        check_count(points, "points")
        self._check_latents(z, len(z))
        shape, dtype, device = (len(z), points, self.settings.dimensions), self.prior.dtype, self.prior.device
        if generator is None:
            fixed = torch.randn(shape[1:], generator=make_generator(0), dtype=dtype).to(device)
            noise = fixed.expand(shape)
        else:
            noise = torch.randn(shape, generator=generator, dtype=dtype, device=device)
        most = max(1, _POINTS_AT_ONCE // points)
        parts = zip(noise.split(most), self.context(z).split(most), strict=True)
        return self.units.unscaled(torch.cat([self.points.to_data(e, c)[0] for e, c in parts])).to(dtype)

    def reconstruct(
        self, clouds: CloudLike, points: int = _POINTS, *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "clouds points dimensions"]:
        """Draw new points of given shapes: :meth:`decode` of :meth:`encode`, without gradients."""
        with torch.no_grad():
            return self.decode(self.encode(clouds), points, generator=generator)

    @torch.no_grad()
    def sample(
        self, n: int, points: int = _POINTS, *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "n points dimensions"]:
        """Draw new shapes.

        Args:
            n: How many.
            points: How many points of each.
            generator: Where both are drawn from.
        """
        check_count(n, "n")
        generator = make_generator(generator, self.prior.device)
        return self.decode(self.prior.sample(n, generator=generator), points, generator=generator)

    @torch.no_grad()
    def interpolate(
        self, start: Float[Tensor, "_ d"], end: Float[Tensor, "_ d"], *, steps: int = 8, points: int = _POINTS
    ) -> Float[Tensor, "steps points d"]:
        r"""Go from one shape to another, through shapes that the prior takes for usual.

        .. math:: z_t = f^{-1}\big((1 - t) f(z_0) + t f(z_1)\big), \quad t = 0, \dots, 1

        Args:
            start: A cloud.
            end: Another.
            steps: How many shapes, both ends included.
            points: How many points of each; equal places move smoothly.

        Returns:
            The clouds; the first and the last are reconstructions.
        """
        check_count(steps, "steps", 2)
        ends, _ = self.prior.to_latent(self.encode([start, end]))
        shares = torch.linspace(0, 1, steps, dtype=ends.dtype, device=ends.device).unsqueeze(1)
        return self.decode(self.prior.to_data(torch.lerp(ends[:1], ends[1:], shares))[0], points)

    @torch.no_grad()
    def features(self, clouds: CloudLike, *, at_once: int = 64) -> Float[Tensor, "clouds latent"]:
        """Describe clouds by numbers for other models: :meth:`encode` without gradients, some clouds at a time."""
        check_count(at_once, "at_once")
        return torch.cat([self.encode(part) for part in self.checked(clouds).split(at_once)])

    def log_prob(self, z: Float[Tensor, "clouds latent"]) -> Float[Tensor, " clouds"]:
        """Compute the log-density of latents under the prior flow; for points see :meth:`point_log_prob`."""
        return self.prior(z)

    def point_log_prob(
        self, x: CloudLike, z: Float[Tensor, "clouds latent"], *, level: Float[Tensor, "clouds 1"] | None = None
    ) -> Float[Tensor, "clouds points"]:
        r"""Compute :math:`\log p(x_i \mid z)` of each point, in nats; 0 where there is no point.

        Args:
            x: Clouds.
            z: The latents of their shapes.
            level: The noise in the points, as a share of ``settings.noise``; ``None`` for none.

        Raises:
            ShapeError: There are not as many latents as clouds, or they are of another length.
        """
        scaled, present = self._prepared(x)
        self._check_latents(z, len(scaled))
        density = self.points(scaled, self.context(z, level)) - self.settings.dimensions * self.units.scale.log()
        return torch.where(present, density, 0.0)

    def elbo(
        self, clouds: CloudLike, *, samples: int = 1, generator: torch.Generator | None = None
    ) -> Float[Tensor, " clouds"]:
        """Estimate the evidence lower bound of each cloud, in nats: the formula of the class.

        The entropy is exact, the rest the mean over ``samples`` draws of the latent.

        Args:
            clouds: Clouds; a larger one has a bound of other size, for it is the density of all of its points.
            samples: How many latents are drawn for each.
            generator: Where they are drawn from.

        Raises:
            ArgumentError: The encoder is deterministic, so that there is no bound, or ``samples`` is below one.
        """
        check_count(samples, "samples")
        if not self.settings.variational:
            raise ArgumentError(
                "elbo must have a variational encoder, got variational=False. Use point_log_prob(x, model.encode(x)), "
                "or build the model with PointFlowSettings(variational=True)."
            )
        x = self.checked(clouds)
        mean, log_deviation = self.posterior(x)
        generator = make_generator(generator, mean.device)
        draws = torch.randn((samples, *mean.shape), generator=generator, dtype=mean.dtype, device=mean.device)
        bounds = [self._draw_bound(x, mean + log_deviation.exp() * noise) for noise in draws]
        return torch.stack(bounds).mean(0) + normal_entropy(log_deviation)

    def context(
        self, z: Float[Tensor, "clouds latent"], level: Float[Tensor, "clouds 1"] | None = None
    ) -> Float[Tensor, "clouds 1 width"]:
        """Compute what the flow over points is told: the latent and the level of noise, embedded."""
        if self.settings.noise:
            z = torch.cat([z, z.new_zeros(len(z), 1) if level is None else level], 1)
        return self.embedding(z).unsqueeze(1)

    def save(self, folder: str | Path) -> None:
        """Save settings and weights to a folder of JSON and safetensors; :meth:`load` reads it."""
        save_folder(folder, "pointflow", config=asdict(self.settings), tensors=self.state_dict())

    @classmethod
    def load(cls, folder: str | Path) -> "PointFlow":
        """Load what :meth:`save` wrote: the same settings, the same weights, bit by bit.

        Raises:
            PersistenceError: The folder is missing, damaged, of another kind or of another version.
        """
        config, tensors = load_folder(folder, "pointflow")
        settings: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in config.items()}
        model = cls(PointFlowSettings(**settings))
        first, _ = next(model.named_parameters())
        model.to(tensors[first].dtype)
        model.load_state_dict(tensors)
        return model.eval()

    def extra_repr(self) -> str:
        """Name the settings."""
        return str(self.settings)

    def _prepared(self, clouds: CloudLike) -> tuple[Tensor, Tensor]:
        """Clouds :meth:`scaled`, 0 where there is no point, and which are points."""
        scaled = as_clouds(self.scaled(self.checked(clouds)))  # again, for the model's dtype may be too small for them
        return scaled.nan_to_num(0.0), present_points(scaled)

    def _check_latents(self, z: Tensor, count: int) -> None:
        if z.shape != (count, self.settings.latent_features):
            raise ShapeError(
                f"z must have shape ({count}, {self.settings.latent_features}), one latent for each of {count} clouds, "
                f"got {tuple(z.shape)}. Take them from encode(clouds) of this model."
            )

    def _draw_bound(self, x: Tensor, z: Tensor) -> Tensor:
        return self.point_log_prob(x, z).sum(1) + self.prior(z)
