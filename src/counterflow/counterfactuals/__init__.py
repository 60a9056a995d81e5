"""Counterfactual explanations: the question, the search, the judge, and the answer."""

from counterflow.counterfactuals.answer import AnswerIndex, CounterfactualAnswer
from counterflow.counterfactuals.background import Background, learn_background
from counterflow.counterfactuals.density import ClassDensity
from counterflow.counterfactuals.explaining import Method, explain
from counterflow.counterfactuals.goals import Goal, ValueGoal
from counterflow.counterfactuals.lesson import Learner, Lesson, Skill
from counterflow.counterfactuals.ppcef import PPCEF
from counterflow.counterfactuals.question import Question
from counterflow.counterfactuals.search import SearchSettings, search
from counterflow.counterfactuals.task import Task
from counterflow.counterfactuals.witness import WitnessReport

__all__ = [
    "PPCEF",
    "AnswerIndex",
    "Background",
    "ClassDensity",
    "CounterfactualAnswer",
    "Goal",
    "Learner",
    "Lesson",
    "Method",
    "Question",
    "SearchSettings",
    "Skill",
    "Task",
    "ValueGoal",
    "WitnessReport",
    "explain",
    "learn_background",
    "search",
]
