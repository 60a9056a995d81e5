"""DiCoFlex: one conditional flow that draws many counterfactuals of a row at once, under limits free at inference."""

from counterflow.counterfactuals.dicoflex.config import DiCoFlex
from counterflow.counterfactuals.dicoflex.neighbors import Neighbors
from counterflow.counterfactuals.dicoflex.skill import DiCoFlexSkill

__all__ = ["DiCoFlex", "DiCoFlexSkill", "Neighbors"]
