"""Counterfactual explanations: the question, the search, the judge, and the answer."""

from counterflow.counterfactuals._context_change import context_change
from counterflow.counterfactuals._latent_ascent import input_ascent, latent_ascent
from counterflow.counterfactuals.answer import AnswerIndex, CounterfactualAnswer
from counterflow.counterfactuals.auditing import Audit, GroupFigures, audit
from counterflow.counterfactuals.background import Background, learn_background
from counterflow.counterfactuals.density import ClassDensity
from counterflow.counterfactuals.dicoflex import DiCoFlex, DiCoFlexSkill
from counterflow.counterfactuals.explaining import Method, explain
from counterflow.counterfactuals.finish import Incumbent
from counterflow.counterfactuals.fitted import principal_reasons
from counterflow.counterfactuals.goals import Goal, ValueGoal
from counterflow.counterfactuals.group_changes import GroupChange
from counterflow.counterfactuals.groups import GroupAnswer, explain_group, try_change
from counterflow.counterfactuals.image_evaluation import ImageEvaluation, evaluate_images
from counterflow.counterfactuals.latent_ascent_answer import AscentAnswer
from counterflow.counterfactuals.lesson import Learner, Lesson, Skill
from counterflow.counterfactuals.paths import PathSettings, RecoursePath, recourse_path
from counterflow.counterfactuals.ppcef import PPCEF
from counterflow.counterfactuals.question import Question
from counterflow.counterfactuals.reasons import Reason, Reasons
from counterflow.counterfactuals.robustness import consensus, robust_share, with_consensus
from counterflow.counterfactuals.search import SearchSettings, search
from counterflow.counterfactuals.starts import propose_starts
from counterflow.counterfactuals.task import Quality, Task
from counterflow.counterfactuals.witness import WitnessReport

__all__ = [
    "PPCEF",
    "AnswerIndex",
    "AscentAnswer",
    "Audit",
    "Background",
    "ClassDensity",
    "CounterfactualAnswer",
    "DiCoFlex",
    "DiCoFlexSkill",
    "Goal",
    "GroupAnswer",
    "GroupChange",
    "GroupFigures",
    "ImageEvaluation",
    "Incumbent",
    "Learner",
    "Lesson",
    "Method",
    "PathSettings",
    "Quality",
    "Question",
    "Reason",
    "Reasons",
    "RecoursePath",
    "SearchSettings",
    "Skill",
    "Task",
    "ValueGoal",
    "WitnessReport",
    "audit",
    "consensus",
    "context_change",
    "evaluate_images",
    "explain",
    "explain_group",
    "input_ascent",
    "latent_ascent",
    "learn_background",
    "principal_reasons",
    "propose_starts",
    "recourse_path",
    "robust_share",
    "search",
    "try_change",
    "with_consensus",
]
