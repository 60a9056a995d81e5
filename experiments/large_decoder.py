"""Latent ascent through a decoder of images of a megapixel: how much memory it takes.

    python -m experiments.large_decoder

The decoder has the shape of StyleGAN's synthesis network, 4x4 to 1024x1024 in eight doublings, with a quarter of its
widths and random weights: what is measured is memory and time, not beauty. Each setting runs in a process of its own,
whose largest resident memory the system tells; what Python and torch took before the decoder was built is subtracted.
The model asked is a network that sees the whole image. One run has no encoder and searches the latents.
"""

import argparse
import json
import resource
import subprocess
import sys
import time

import torch
from torch import Tensor, nn

from counterflow.counterfactuals import AscentAnswer, latent_ascent
from counterflow.generators import AutoencoderGenerator, InversionSettings, InvertedDecoder
from counterflow.nets import ImageDecoder, ImageEncoder
from experiments.tables import machine, results_path

__all__ = ["large_decoder", "measure"]

_SHAPE, _LATENT = (3, 1024, 1024), 512
_WIDTHS = (256, 256, 256, 128, 128, 64, 32, 16, 8)
_GRID = [(1, 1), (2, 2), (4, 4), (4, 1)]
"""How many images, and how many of them climb together."""


def large_decoder(*, recompute: bool, seed: int = 0) -> ImageDecoder:
    """The decoder."""
    generator = torch.Generator().manual_seed(seed)
    return ImageDecoder(
        _LATENT,
        _SHAPE,
        widths=_WIDTHS,
        activation="leaky_relu",
        normalize=True,
        recompute=recompute,
        generator=generator,
    )


class _Judge(nn.Module):
    """A network of the whole image, shrunk first: one logit, scaled so that an ascent has something to do."""

    def __init__(self, side: int, outputs: int, *, scale: float, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.shrink, self.scale = nn.AvgPool2d(1024 // side), scale
        self.net = ImageEncoder((3, side, side), outputs, widths=(8, 16, 16), generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * self.net(self.shrink(x))


def megabytes() -> float:
    """The largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(images: int, batch: int, *, recompute: bool, search: bool, steps: int) -> dict[str, object]:
    """Run one setting in this process."""
    torch.set_num_threads(1)
    before = megabytes()
    decoder, judge = large_decoder(recompute=recompute), _Judge(64, 1, scale=200.0, seed=1)
    encoder = _Judge(64, _LATENT, scale=1.0, seed=2)
    with torch.no_grad():
        z = torch.randn(images, _LATENT, generator=torch.Generator().manual_seed(3))
        x = torch.cat([decoder(part) for part in z.split(1)])
    settings = InversionSettings(starts=1, steps=3, points_at_once=1)
    generator = (
        InvertedDecoder(decoder, _LATENT, settings=settings, encoder=encoder)
        if search
        else AutoencoderGenerator(encoder, decoder)
    )
    begin = time.process_time()
    answer = latent_ascent(generator, judge, x, "increase", max_steps=steps, batch_size=batch, learning_rate=0.1)
    seconds = time.process_time() - begin
    asked = {"images": images, "batch": batch, "recompute": recompute, "search": search, "steps": steps}
    return {**asked, "before_mb": before, "peak_mb": megabytes() - before, "seconds": seconds, **_told(answer)}


def _told(answer: AscentAnswer) -> dict[str, object]:
    kept = (answer.originals, answer.images, answer.reconstructions, *answer.path)
    return {
        "status": [status.value for status in answer.status],
        "steps_made": answer.steps.tolist(),
        "reconstruction_error": answer.reconstruction_error.tolist(),
        "shape": list(answer.images.shape),
        "record_mb": sum(tensor.nbytes for tensor in kept) / 2**20,
    }


def in_its_own_process(**asked: object) -> dict[str, object]:
    """Measure a setting where nothing was before."""
    command = [sys.executable, "-m", "experiments.large_decoder", "--one", json.dumps(asked)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    print(json.dumps(found), flush=True)
    return found


def main() -> None:
    """Measure every setting and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--one", type=json.loads, help="one setting, in this process")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(**options.one)))
        return
    runs = [
        in_its_own_process(images=images, batch=batch, recompute=recompute, search=False, steps=1)
        for recompute in (False, True)
        for images, batch in _GRID
    ]
    runs.append(in_its_own_process(images=2, batch=1, recompute=True, search=True, steps=4))
    decoder = large_decoder(recompute=False)
    shape = {"widths": _WIDTHS, "sizes": decoder.sizes, "weights": sum(p.numel() for p in decoder.parameters())}
    result = {"machine": machine(), "decoder": shape, "latent": _LATENT, "runs": runs}
    results_path("large_decoder.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
