"""Flows: one recipe per paper, and :class:`Flow` for bijections of your own."""

from counterflow.flows._realnvp import realnvp
from counterflow.flows.flow import Flow
from counterflow.flows.recipe import from_config, load

__all__ = ["Flow", "from_config", "load", "realnvp"]
