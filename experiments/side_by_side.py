"""Generative models of MNIST side by side: likelihoods where there are any, time, and samples at two temperatures.

    python -m experiments.side_by_side --keep /tmp/images

Pixels are bytes with uniform noise of one gray level, on (0, 1). A normal law is fitted by maximum likelihood and with
an inverse Wishart prior (closed forms, on all training images and on few), a variational autoencoder and an adversarial
network are trained for some minutes of one core, and the flow is the one that ``experiments.image_models`` keeps in the
folder (a small one is trained in its place if there is none). Beside each sheet of samples are the training images next
to them. What is in the folder named by ``--keep`` is not trained again.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from counterflow import flows
from counterflow.generators import GAN, VAE, LogisticPixels, conv_gan, conv_vae, fit_gan, fit_vae, sliced_distance
from counterflow.metrics import bits_per_dimension
from counterflow.training import EpochRecord, FitReport, TrainingSettings
from experiments.image_data import ImageSet, dequantize, load_images
from experiments.image_models import Recipe, kept_flow
from experiments.tables import machine, results_path

__all__ = ["Contestant", "kept_gan", "kept_vae", "nearest", "normal_law", "normal_log_density", "shrunk", "tiled"]

_TEMPERATURES = (1.0, 0.7)
_FEW = 1000
_TIME_LIMIT = 3600.0
_PRIORS = (1600.0, 3000.0, 6000.0, 12_000.0, 25_000.0, 50_000.0, 100_000.0)


@dataclass(frozen=True)
class Contestant:
    """One line of the table.

    Args:
        nats: Log-likelihoods of test images per unit of the pixels on (0, 1), exact or a bound; ``None`` for none.
        kind: What kind of likelihood that is.
        draw: ``draw(n, temperature, generator)``, pictures on (0, 1), or ``None`` where no sheet is wanted.
        notes: Of the training.
    """

    nats: Tensor | None
    kind: str
    draw: Callable[[int, float, torch.Generator], Tensor] | None
    notes: dict


def noisy(images: Tensor, seed: int) -> Tensor:
    """Bytes as dequantized pixels."""
    return dequantize(images, torch.Generator().manual_seed(seed))


def normal_law(x: Tensor) -> tuple[Tensor, Tensor]:
    """The mean and the covariance of images, likeliest among all normal laws."""
    flat = x.flatten(1).double()
    mean = flat.mean(0)
    return mean, (flat - mean).T @ (flat - mean) / len(flat)


def shrunk(law: tuple[Tensor, Tensor], images: int, *, strength: float) -> tuple[Tensor, Tensor]:
    r"""The covariance that is likeliest a posteriori.

    .. math:: \hat\Sigma = \frac{n S + \kappa \operatorname{diag} S}{n + \kappa}

    is the mode under an inverse Wishart prior with :math:`\nu` degrees of freedom, :math:`\kappa = \nu + D + 1`, and
    its own mode at the diagonal of S. The prior is proper from :math:`\kappa > 2 D` on.
    """
    mean, covariance = law
    return mean, (images * covariance + strength * torch.diag(covariance.diagonal())) / (images + strength)


def normal_log_density(x: Tensor, law: tuple[Tensor, Tensor]) -> Tensor:
    """The log-density of images under a normal law, in nats."""
    factor = torch.linalg.cholesky(law[1])
    white = torch.linalg.solve_triangular(factor, (x.flatten(1).double() - law[0]).T, upper=False)
    constant = factor.diagonal().log().sum() + len(law[0]) / 2 * torch.log(torch.tensor(2 * torch.pi).double())
    return -white.square().sum(0) / 2 - constant


def normal_contestants(data: ImageSet, test: Tensor) -> dict[str, Contestant]:
    """Both normal laws, of all training images and of few; the strength of the prior is chosen on validation images."""
    found = {}
    valid = noisy(data.part(1)[0][:2000], 1)
    for rows, label in ((None, ""), (_FEW, f", {_FEW} images")):
        begin = time.perf_counter()
        x = noisy(data.part(0)[0][:rows], 0)
        likeliest = normal_law(x)
        seconds = time.perf_counter() - begin
        scores = {k: float(normal_log_density(valid, shrunk(likeliest, len(x), strength=k)).mean()) for k in _PRIORS}
        best = max(scores, key=lambda k: scores[k])
        laws = {f"normal law, maximum likelihood{label}": (likeliest, {"seconds": seconds, "images": len(x)})}
        notes = {"seconds": time.perf_counter() - begin, "images": len(x), "strength": best}
        laws[f"normal law, maximum a posteriori{label}"] = (shrunk(likeliest, len(x), strength=best), notes)
        for name, (law, told) in laws.items():
            draw = _normal_draws(law, data.images.shape[1:]) if name == "normal law, maximum a posteriori" else None
            found[name] = Contestant(normal_log_density(test, law), "exact", draw, told)
    return found


def _normal_draws(law: tuple[Tensor, Tensor], shape: torch.Size) -> Callable[[int, float, torch.Generator], Tensor]:
    factor = torch.linalg.cholesky(law[1])

    def draw(n: int, temperature: float, generator: torch.Generator) -> Tensor:
        noise = torch.randn(n, len(factor), generator=generator, dtype=factor.dtype)
        return (law[0] + temperature * noise @ factor.T).float().unflatten(1, shape)

    return draw


def kept_vae(data: ImageSet, keep: Path, *, epochs: int = 3, seed: int = 0) -> tuple[VAE, dict]:
    """The variational autoencoder, from its folder or trained now."""
    generator = torch.Generator().manual_seed(seed)
    law = LogisticPixels((0.0, 1.0), components=3)
    vae = conv_vae(tuple(data.images.shape[1:]), latent_features=32, pixels=law, generator=generator)
    return vae, _kept(vae, keep / data.name / "vae", data, _learn_vae, epochs=epochs, generator=generator)


def kept_gan(data: ImageSet, keep: Path, *, epochs: int = 2, seed: int = 0) -> tuple[GAN, dict]:
    """The adversarial network, from its folder or trained now."""
    generator = torch.Generator().manual_seed(seed)
    gan = conv_gan(tuple(data.images.shape[1:]), latent_features=64, generator=generator)
    return gan, _kept(gan, keep / data.name / "gan", data, _learn_gan, epochs=epochs, generator=generator)


def _learn_vae(vae: nn.Module, images: Tensor, **settings: object) -> FitReport:
    return fit_vae(vae, images, batch_size=64, **settings)


def _learn_gan(gan: nn.Module, images: Tensor, **settings: object) -> FitReport:
    return fit_gan(gan, images, batch_size=32, **settings)


def _kept(
    module: nn.Module,
    place: Path,
    data: ImageSet,
    learn: Callable[..., FitReport],
    *,
    epochs: int,
    generator: torch.Generator,
) -> dict:
    """Load a module's weights, or train it and keep them; give notes of its training."""
    path = place.with_suffix(".safetensors")
    if path.exists():
        module.load_state_dict(load_file(path))
        module.eval()
        return json.loads(path.with_suffix(".json").read_text())
    begin = time.process_time()
    report = learn(
        module,
        data.part(0)[0],
        validation=(data.part(1)[0][:2000], None),
        augment=lambda images, generator: (dequantize(images, generator), 0.0),
        settings=TrainingSettings(
            max_epochs=epochs, patience=epochs, compile=False, clip=200.0, progress=False, time_limit=_TIME_LIMIT
        ),
        generator=generator,
        on_epoch=_tell(place.name),
    )
    notes = {"seconds": time.process_time() - begin, "wall_seconds": report.seconds, "epochs": report.epochs}
    notes |= {"best_epoch": report.best_epoch, "watched": [record.validation for record in report.history]}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({key: value.contiguous() for key, value in module.state_dict().items()}, path)
    path.with_suffix(".json").write_text(json.dumps(notes))
    return notes


def _tell(what: str) -> Callable[[EpochRecord], None]:
    def tell(record: EpochRecord) -> None:
        print(f"{what}: epoch {record.epoch}, train {record.train:.4f}, watched {record.validation:.4f}", flush=True)

    return tell


def vae_contestants(data: ImageSet, keep: Path, test: Tensor, *, samples: int, epochs: int) -> dict[str, Contestant]:
    """The autoencoder's two bounds."""
    vae, notes = kept_vae(data, keep, epochs=epochs)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        elbo = torch.cat([vae.elbo(part, samples=8, generator=generator) for part in test.split(500)])
    bound = vae.importance_bound(test, samples=samples, at_once=500, generator=generator)

    def draw(n: int, temperature: float, generator: torch.Generator) -> Tensor:
        return vae.sample(n, temperature=temperature, noise=False, generator=generator)

    return {
        "variational autoencoder, ELBO": Contestant(elbo, "lower bound", None, notes),
        f"variational autoencoder, {samples} weighted samples": Contestant(bound, "lower bound", draw, notes),
    }


def gan_contestant(data: ImageSet, keep: Path, *, epochs: int) -> dict[str, Contestant]:
    """The adversarial network, which has no likelihood."""
    gan, notes = kept_gan(data, keep, epochs=epochs)

    def draw(n: int, temperature: float, generator: torch.Generator) -> Tensor:
        return gan.sample(n, temperature=temperature, generator=generator)

    return {"adversarial network": Contestant(None, "none", draw, notes)}


def flow_contestant(data: ImageSet, keep: Path, test: Tensor) -> dict[str, Contestant]:
    """The flow that is kept, or a small one."""
    if (keep / data.name / "flow.json").exists():
        flow, notes = kept_flow(data, keep)
    else:
        small = Recipe(_small_flow, epochs=1)
        flow, notes = kept_flow(data, keep, name="small_flow", recipe=small)
    with torch.no_grad():
        nats = torch.cat([flow(part) for part in test.split(250)])

    def draw(n: int, temperature: float, generator: torch.Generator) -> Tensor:
        z = temperature * flow.base.sample((n,), generator=generator)
        with torch.no_grad():
            return torch.cat([flow.to_data(part)[0] for part in z.split(250)])

    return {"flow": Contestant(nats, "exact", draw, notes)}


def _small_flow(shape: tuple[int, int, int], **settings: object) -> flows.Flow:
    return flows.image_realnvp(shape, layers=1, hidden=(8,), bounds=(0.0, 1.0), **settings)


def line(contestant: Contestant, data: ImageSet, real: Tensor, directions: Tensor) -> dict[str, object]:
    """What the table says of a model; ``real`` are 1000 images that none has seen."""
    numbers = data.images[0].numel()
    said: dict[str, object] = {"likelihood": contestant.kind, "training": contestant.notes}
    if contestant.nats is not None:
        nats = contestant.nats.double()
        said["nats"] = float(nats.mean()) - numbers * 8 * float(torch.log(torch.tensor(2.0).double()))
        said["standard_error"] = float(nats.std() / len(nats) ** 0.5)
        said["bits_per_dimension"] = bits_per_dimension(float(nats.mean()), numbers, step=1 / 256)
    if contestant.draw is not None:
        begin = time.perf_counter()
        made = contestant.draw(1000, 1.0, torch.Generator().manual_seed(3))
        said["seconds_for_1000_samples"] = time.perf_counter() - begin
        said["sliced_distance"] = float(sliced_distance(made, real, directions=directions))
    return said


def sheets(contestants: dict[str, Contestant], train: Tensor, *, side: int = 6) -> None:
    """Draw samples at two temperatures, each sheet with the nearest training images beside it."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from PIL import Image

    shown = {name: one for name, one in contestants.items() if one.draw is not None}
    figure, axes = plt.subplots(len(shown), 2 * len(_TEMPERATURES), figsize=(10, 2.62 * len(shown)))
    for row, (name, contestant) in zip(axes, shown.items(), strict=True):
        for i, temperature in enumerate(_TEMPERATURES):
            made = contestant.draw(side * side, temperature, torch.Generator().manual_seed(4))
            pairs = ((made, f"temperature {temperature}"), (nearest(made, train), "nearest training images"))
            for ax, (images, title) in zip(row[2 * i : 2 * i + 2], pairs, strict=True):
                ax.imshow(tiled(images, side), cmap="gray", vmin=0, vmax=1)
                ax.set_title(title, fontsize=9)
                ax.set(xticks=[], yticks=[])
        row[0].set_ylabel(name.partition(", ")[0], fontsize=10)
    figure.tight_layout()
    figure.savefig(results_path("side_by_side.png"), dpi=80)
    with Image.open(results_path("side_by_side.png")) as drawn:  # sixteen grays are enough, and a fraction of the bytes
        drawn.convert("L").quantize(16).save(results_path("side_by_side.png"), optimize=True)


def nearest(made: Tensor, train: Tensor) -> Tensor:
    """The training image nearest to each, by the squared distance of pixels."""
    flat = made.flatten(1)
    found = torch.cat([torch.cdist(flat, part.flatten(1)) for part in train.split(10_000)], dim=1)
    return train[found.argmin(1)]


def tiled(images: Tensor, side: int) -> Tensor:
    """Gray images as one sheet."""
    height, width = images.shape[-2:]
    return images[:, 0].view(side, side, height, width).permute(0, 2, 1, 3).reshape(side * height, side * width)


def main() -> None:
    """Fit, measure, print, write and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, required=True, help="the folder of trained weights")
    parser.add_argument("--train", choices=("vae", "gan"), help="train this one only, and stop")
    parser.add_argument("--vae-epochs", type=int, default=10)
    parser.add_argument("--gan-epochs", type=int, default=5)
    parser.add_argument("--test", type=int, default=1000, help="how many test images")
    parser.add_argument("--samples", type=int, default=64, help="of the importance-weighted bound")
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = load_images("mnist")
    if options.train:
        learn = {"vae": kept_vae, "gan": kept_gan}[options.train]
        learn(data, options.keep, epochs=options.vae_epochs if options.train == "vae" else options.gan_epochs)
        return
    test = noisy(data.part(2)[0][: options.test], 5)
    contestants = {
        **normal_contestants(data, test),
        **gan_contestant(data, options.keep, epochs=options.gan_epochs),
        **vae_contestants(data, options.keep, test, samples=options.samples, epochs=options.vae_epochs),
        **flow_contestant(data, options.keep, test),
    }
    directions = nn.functional.normalize(torch.randn(256, test[0].numel(), generator=torch.Generator().manual_seed(6)))
    real = noisy(data.part(2)[0][-1000:], 7)
    table = {name: line(one, data, real, directions) for name, one in contestants.items()}
    print(json.dumps(table, indent=2), flush=True)
    settings = {"test_images": len(test), "samples": options.samples, "few": _FEW, "priors": _PRIORS}
    result = {"machine": machine(), "settings": settings, "models": table}
    results_path("side_by_side.json").write_text(json.dumps(result, indent=2) + "\n")
    sheets(contestants, noisy(data.part(0)[0], 0))


if __name__ == "__main__":
    main()
