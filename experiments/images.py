"""Counterfactuals of pictures: ascent in the latent space of a flow beside the attack in the space of pixels.

``python -m experiments.images mnist --keep FOLDER`` asks the question of a set (:data:`QUESTIONS`) about test pictures
that the classifier gets right: the flow answers by latent ascent, and the attack by ascent in pixels, which is tuned on
these very pictures for the least change at the same confidence. Judged are both by the ten nearest real pictures, by
classifiers that had no part in it and by the flow's density. Models are trained first where the folder lacks them.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.svm import SVC
from torch import Tensor, nn

from counterflow.counterfactuals import AscentAnswer, ImageEvaluation, evaluate_images, input_ascent, latent_ascent
from counterflow.flows import Flow
from experiments.image_data import ImageSet, dequantize, load_images, pixels
from experiments.image_models import kept_classifier, kept_flow
from experiments.tables import machine, results_path

__all__ = ["QUESTIONS", "Question", "ask_flow", "judges", "pictures_to_ask", "tuned_attack"]

CONFIDENCE = 0.99
SPEED_STEPS = (50, 100, 200)
"""The most steps of a picture where time is measured."""

REAL_PICTURES = 10_000
"""The most training pictures from which neighbors are taken and other classifiers are trained."""


@dataclass(frozen=True)
class Question:
    """What is asked about a set.

    Args:
        source: The class of the pictures.
        target: The class that they shall get.
        learning_rate: Of the latent ascent, by Adam.
        max_steps: After which it gives up.
    """

    source: int
    target: int
    learning_rate: float = 2e-2
    max_steps: int = 1000


QUESTIONS = {
    "digits": [Question(4, 9)],
    "mnist": [Question(4, 9, learning_rate=5e-2, max_steps=2000)],
    "smile": [Question(0, 1)],
    "utk": [Question(0, 1)],
    "pneumonia": [Question(1, 0), Question(0, 1)],
    "covid": [Question(0, 1)],
}
"""The questions of each set."""

ATTACKS = [("adam", rate) for rate in (1e-4, 5e-4, 2e-3, 1e-2)] + [
    ("gradient", rate) for rate in (1e-3, 1e-2, 1e-1, 1.0)
]


def pictures_to_ask(data: ImageSet, net: nn.Module, question: Question, count: int) -> Tensor:
    """Test pictures of the source class that the classifier gets right, in their order."""
    images, _ = data.part(2, question.source)
    x = pixels(images, bits=data.bits)
    with torch.no_grad():
        right = torch.cat([net(part).argmax(1) for part in x.split(500)]) == question.source
    return x[right][:count]


def ask_flow(flow: Flow, net: nn.Module, x: Tensor, question: Question, **settings: Any) -> AscentAnswer:
    """Latent ascent as the papers do it."""
    asked = {"learning_rate": question.learning_rate, "max_steps": question.max_steps, **settings}
    return latent_ascent(flow, net, x, question.target, confidence=CONFIDENCE, clip=(0.0, 1.0), **asked)


def tuned_attack(net: nn.Module, x: Tensor, target: int) -> tuple[AscentAnswer, dict[str, object]]:
    """The attack in pixels whose median change is least among those that succeed most often."""
    tried = []
    for optimizer, rate in ATTACKS:
        settings = {"optimizer": optimizer, "learning_rate": rate, "max_steps": 1000, "clip": (0.0, 1.0)}
        answer = input_ascent(net, x, target=target, confidence=CONFIDENCE, **settings)
        change = (answer.images - answer.originals).flatten(1).norm(dim=1)[answer.found]
        success = float(answer.found.double().mean())
        length = float(change.median()) if len(change) else float("inf")
        tried.append((-success, length, {"optimizer": optimizer, "learning_rate": rate}, answer))
    best = min(tried, key=lambda row: row[:2])
    return best[3], {**best[2], "tried": [[*row[2].values(), -row[0], row[1]] for row in tried]}


def judges(data: ImageSet, keep: Path) -> tuple[dict[str, Any], dict[str, float]]:
    """Classifiers that had no part in the search, with their accuracies: a second network, an SVM, a forest."""
    x, labels = _real(data)
    flat = x.flatten(1).numpy()
    known: dict[str, Any] = {
        "svm": SVC(C=5.0, gamma="scale").fit(flat, labels),
        "forest": RandomForestClassifier(300, random_state=0, n_jobs=1).fit(flat, labels),
    }
    images, truth = data.part(2)
    images, truth = images[truth >= 0][:2000], truth[truth >= 0][:2000]
    test = pixels(images, bits=data.bits).flatten(1).numpy()
    shares = {name: float((model.predict(test) == truth.numpy()).mean()) for name, model in known.items()}
    net, notes = kept_classifier(data, keep, kind="strided")
    return {**known, "second_network": net}, {**shares, "second_network": notes["accuracy"]}


def _real(data: ImageSet) -> tuple[Tensor, np.ndarray]:
    """Labeled training pictures, no more than fit, with their classes."""
    images, labels = data.part(0)
    images, labels = images[labels >= 0][:REAL_PICTURES], labels[labels >= 0][:REAL_PICTURES]
    return dequantize(images, torch.Generator().manual_seed(1), bits=data.bits), labels.numpy()


def evaluate(
    data: ImageSet, answers: dict[str, AscentAnswer], question: Question, *, flow: Flow, net: nn.Module, known: dict
) -> dict[str, ImageEvaluation]:
    """Judge both answers alike."""
    x, labels = _real(data)
    features: dict[str, Callable[[Tensor], Tensor]] = {"features": _features(net)}
    return {
        name: evaluate_images(
            answer,
            question.target,
            reference=x,
            labels=labels,
            features=features,
            models=known,
            densities={"flow": flow.log_prob},
        )
        for name, answer in answers.items()
    }


def _features(net: nn.Module) -> Callable[[Tensor], Tensor]:
    """What the classifier makes of pictures before its last layer."""
    assert isinstance(net, nn.Sequential)
    return net[:-1]


def compare(data: ImageSet, question: Question, keep: Path, *, count: int) -> tuple[dict, dict[str, AscentAnswer]]:
    """Ask one question and measure."""
    net, of_net = kept_classifier(data, keep)
    flow, of_flow = kept_flow(data, keep)
    known, shares = judges(data, keep)
    x = pictures_to_ask(data, net, question, count)
    begin = time.perf_counter()
    answers = {"latent": ask_flow(flow, net, x, question)}
    middle = time.perf_counter()
    print(f"latent: {answers['latent'].found.sum()} of {len(x)} found in {middle - begin:.0f} s", flush=True)
    answers["input"], settings = tuned_attack(net, x, question.target)
    judged = evaluate(data, answers, question, flow=flow, net=net, known=known)
    agreeing = [name for name in judged["latent"].values if name.startswith("agrees_")]
    found = {
        "question": [data.classes[question.source], data.classes[question.target]],
        "pictures": len(x),
        "accuracy": {"asked": of_net["accuracy"], **shares},
        "flow": of_flow,
        "success": {name: float(answer.found.double().mean()) for name, answer in answers.items()},
        "seconds": {"latent": middle - begin},
        "attack": settings,
        **{name: _plain(one.summary()) for name, one in judged.items()},
        "difference": _plain({name: judged["latent"].difference(judged["input"], name) for name in agreeing}),
    }
    return found, answers


def _plain(intervals: dict[str, Any]) -> dict[str, list[float]]:
    return {name: [round(float(number), 4) for number in interval] for name, interval in intervals.items()}


def speed(data: ImageSet, keep: Path, *, most: int, together: int = 100, alone: int = 100) -> dict[str, float]:
    """Seconds for pictures that climb together and for the same number, or fewer of them, one after another.

    The last picture on its way costs as much per step as many, so the ratio falls with the number of steps allowed.
    """
    question = replace(QUESTIONS[data.name][0], learning_rate=5e-2, max_steps=most)
    net, flow = kept_classifier(data, keep)[0], kept_flow(data, keep)[0]
    x = dequantize(data.part(0, question.source)[0][:together], torch.Generator().manual_seed(2), bits=data.bits)
    ask_flow(flow, net, x[:2], replace(question, max_steps=2))
    begin = time.perf_counter()
    answer = ask_flow(flow, net, x, question)
    middle = time.perf_counter()
    for i in range(alone):
        ask_flow(flow, net, x[i : i + 1], question)
    singly = (time.perf_counter() - middle) * together / alone
    steps = answer.steps.double()
    return {
        "pictures": together,
        "together": middle - begin,
        "singly": singly,
        "ratio": singly / (middle - begin),
        "mean_steps": float(steps.mean()),
        "most_steps": float(steps.max()),
    }


def main() -> None:
    """Ask, measure, write and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=tuple(QUESTIONS))
    parser.add_argument("--keep", type=Path, required=True, help="the folder of trained weights")
    parser.add_argument("--pictures", type=int, default=100)
    parser.add_argument("--sheets", type=Path, help="a folder for sheets of pictures before, after and heat map")
    parser.add_argument("--speed", action="store_true", help="measure a batch against single runs instead")
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = load_images(options.name)
    if options.speed:
        alone = 100 if options.name == "digits" else 10
        found = [speed(data, options.keep, most=most, alone=alone) for most in SPEED_STEPS]
        _write(f"images_speed_{options.name}.json", {"machine": machine(), "results": found})
        return
    settings = {"confidence": CONFIDENCE, "questions": [vars(question) for question in QUESTIONS[options.name]]}
    results: list[dict] = []
    for question in QUESTIONS[options.name]:
        found, answers = compare(data, question, options.keep, count=options.pictures)
        results.append(found)
        _write(f"images_{options.name}.json", {"machine": machine(), "settings": settings, "results": results})
        if options.sheets is not None:
            _draw(answers, data.classes, options.sheets / f"{options.name}_{question.source}_{question.target}.png")


def _write(name: str, found: dict) -> None:
    results_path(name).write_text(json.dumps(found, indent=2) + "\n")
    for result in found.get("results", [found]):
        print(json.dumps(result), flush=True)


def _draw(answers: dict[str, AscentAnswer], classes: tuple[str, ...], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from counterflow import plotting

    path.parent.mkdir(parents=True, exist_ok=True)
    for name, answer in answers.items():
        axes = plotting.plot_ascent(answer, most=10, names=classes, title=f"{name} space")
        axes.figure.savefig(path.with_stem(f"{path.stem}_{name}"), dpi=90)


if __name__ == "__main__":
    main()
