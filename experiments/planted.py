"""Tags planted into pictures, and how much of a map of importance lies on them."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from experiments.image_data import ImageSet

__all__ = ["Tag", "attributions", "mass_share", "plant", "saliency", "tagged_set", "wipe"]


@dataclass(frozen=True)
class Tag:
    """A bright square.

    Args:
        top: Its first row.
        left: Its first column.
        size: Rows and columns.
        level: The byte it is painted with.
    """

    top: int
    left: int
    size: int
    level: int = 240

    def mask(self, height: int, width: int) -> Tensor:
        """Where it is: a map of truth values."""
        mask = torch.zeros(height, width, dtype=torch.bool)
        mask[self.top : self.top + self.size, self.left : self.left + self.size] = True
        return mask


def plant(images: Tensor, tag: Tag) -> Tensor:
    """Bytes ``(n, channels, height, width)`` with the tag on them."""
    return torch.where(tag.mask(*images.shape[-2:]), torch.full_like(images, tag.level), images)


def wipe(images: Tensor, kept: Tensor, level: int) -> Tensor:
    """Bytes whose pixels outside of a mask are all of one gray."""
    return torch.where(kept, images, torch.full_like(images, level))


def tagged_set(data: ImageSet, tag: Tag, label: int) -> ImageSet:
    """The set with the tag on every picture of one class, in all folds."""
    chosen = (data.labels == label).view(-1, 1, 1, 1)
    return replace(data, name=f"{data.name}_tagged", images=torch.where(chosen, plant(data.images, tag), data.images))


def mass_share(maps: Tensor, mask: Tensor) -> Tensor:
    r"""How much of each map lies in a region, signs aside.

    .. math:: s = \sum_{p \in M} |m_p| \big/ \sum_p |m_p|

    Args:
        maps: ``(n, height, width)``, or with channels, whose absolute values are added.
        mask: ``(height, width)``, the region M.

    Returns:
        One share for each map; ``nan`` for a map of zeros.
    """
    mass = maps.abs() if maps.dim() == 3 else maps.abs().sum(1)
    return (mass * mask).flatten(1).sum(1) / mass.flatten(1).sum(1)


def saliency(net: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    """The absolute gradient of the logit of a class by the pixels."""
    x = x.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(net(x).gather(1, target[:, None]).sum(), x)
    return gradient.abs()


def attributions(net: nn.Module, x: Tensor, target: Tensor, *, mean: Tensor) -> dict[str, Tensor]:
    """What captum says of the logit of a class: saliency, and integrated gradients from black and from a mean."""
    from captum.attr import IntegratedGradients, Saliency

    integrated = IntegratedGradients(net)
    settings = {"target": target, "n_steps": 64, "method": "gausslegendre"}
    return {
        "saliency": Saliency(net).attribute(x.clone().requires_grad_(), target=target).detach(),
        "integrated_black": integrated.attribute(x, baselines=0.0, **settings).detach().float(),
        "integrated_mean": integrated.attribute(x, baselines=mean.expand_as(x), **settings).detach().float(),
    }
