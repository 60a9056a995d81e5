"""Autoencoders, plain and variational, as generators."""

from collections.abc import Callable
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from counterflow.core.errors import ArgumentError

__all__ = ["AutoencoderGenerator"]


class AutoencoderGenerator(nn.Module):
    r"""An encoder and a decoder of any autoencoder: :math:`z = e(x)`, and :math:`x \approx g(z)`.

    A variational encoder answers with a law; its mean is taken, so that a point always has the same latent. Answers
    that are understood: a tensor; a tuple or list whose first member is the latent or its mean; a distribution, which
    has ``.mean``; an object whose ``.latent_dist`` is one (encoders), or whose ``.sample`` is a tensor (decoders).

    Args:
        encoder: From points to latents: a module or a function.
        decoder: From latents to points, differentiable: a module or a function.

    Example:
        >>> import torch
        >>> half = AutoencoderGenerator(lambda x: (x[:, :1], "log-variance"), lambda z: z.expand(-1, 2))
        >>> half.decode(half.encode(torch.tensor([[1.0, 1.2]])))
        tensor([[1., 1.]])
    """

    def __init__(self, encoder: Callable[[Tensor], Any], decoder: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.owner: Any = None

    @classmethod
    def of(cls, autoencoder: Any) -> Any:
        """Wrap a torch module with methods ``encode`` and ``decode``, so that its answers are read; give back others.

        Generators of this room are modules too, and are given back: they answer in tensors.
        """
        ours = type(autoencoder).__module__.startswith("counterflow.generators")
        if ours or not isinstance(autoencoder, nn.Module):
            return autoencoder
        encode: Any = autoencoder.encode
        decode: Any = autoencoder.decode
        made = cls(encode, decode)
        made.owner = autoencoder  # registered, so that it is frozen and moved with the generator
        return made

    def encode(self, x: Float[Tensor, "rows *event"]) -> Float[Tensor, "rows *latent"]:
        """Map points to latents, to the mean where there is a law of them."""
        return _mean(self.encoder(x))

    def decode(self, z: Float[Tensor, "rows *latent"]) -> Float[Tensor, "rows *event"]:
        """Map latents to points."""
        answer = _first(self.decoder(z))
        return _tensor(getattr(answer, "sample", answer) if not isinstance(answer, Tensor) else answer, "decoder")


def _first(answer: Any) -> Any:
    return answer[0] if isinstance(answer, tuple | list) else answer


def _mean(answer: Any) -> Tensor:
    answer = _first(answer)
    if isinstance(answer, Tensor):
        return answer
    law = getattr(answer, "latent_dist", answer)
    mean = getattr(law, "mean", law)
    return _tensor(law if callable(mean) else mean, "encoder")


def _tensor(answer: Any, who: str) -> Tensor:
    if not isinstance(answer, Tensor):
        raise ArgumentError(
            f"the {who} must answer a tensor or something that holds one, got {type(answer).__name__}. "
            "Pass functions that give tensors: AutoencoderGenerator(encoder, decoder)."
        )
    return answer
