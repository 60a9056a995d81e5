"""Exact normalizing flows in PyTorch, and counterfactual explanations that say how plausible they are."""

__version__ = "0.1.0"
