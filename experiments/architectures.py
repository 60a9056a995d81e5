"""How counterfactuals of pictures depend on the generator in whose latent the search climbs.

    python -m experiments.architectures nice glow vae ... --keep /tmp/images     # train and ask these, or all
    python -m experiments.architectures --keep /tmp/images                       # all, then compare and write

The same questions about the bundled digits of 8x8 are put to flows of several architectures, to a variational
autoencoder and to the pixels themselves: 100 test pictures of all classes to the class that the classifier puts
second, and every 4 to 9, at confidence 0.99. One rule sets the step length of each: of the rates with which most of
40 validation pictures succeed, the one whose median change (L2) is least. What is in the folder named by ``--keep``
is not computed again.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from counterflow.core.outcomes import RowStatus
from counterflow.counterfactuals import AscentAnswer, evaluate_images, latent_ascent
from experiments.architectures_compare import alike, draw_sheet
from experiments.architectures_models import ARCHITECTURES, trained
from experiments.image_data import ImageSet, dequantize, load_images, pixels
from experiments.image_models import kept_classifier
from experiments.images import CONFIDENCE, judges
from experiments.tables import machine, results_path

__all__ = ["QUESTIONS", "asked", "best_rate", "second_class", "summary"]

QUESTIONS = ("second class", "4 to 9")
_RATES = (0.006, 0.02, 0.06, 0.2)
_STEPS = 250
_VALIDATION, _ROWS = 40, 100


def second_class(net: nn.Module, x: Tensor) -> Tensor:
    """The class that a classifier finds second for each picture."""
    with torch.no_grad():
        return net(x).topk(2, dim=1).indices[:, 1]


def right_ones(net: nn.Module, data: ImageSet, fold: int, label: int | None = None) -> Tensor:
    """The pictures of a fold that the classifier gets right."""
    images, labels = data.part(fold, label)
    x = pixels(images, bits=data.bits)
    with torch.no_grad():
        return x[net(x).argmax(1) == labels]


def asked(generator: Any, net: nn.Module, x: Tensor, *, target: Tensor, rate: float) -> AscentAnswer:
    """Latent ascent with the settings that all share."""
    settings = {"confidence": CONFIDENCE, "max_steps": _STEPS, "clip": (0.0, 1.0)}
    return latent_ascent(generator, net, x, target, learning_rate=rate, **settings)


def best_rate(generator: Any, net: nn.Module, x: Tensor) -> tuple[float, list[list[float]]]:
    """The rate of the rule, and what each gave: rate, success, median L2."""
    target, tried = second_class(net, x), []
    for rate in _RATES:
        answer = asked(generator, net, x, target=target, rate=rate)
        length = _l2(answer)[answer.found]
        tried.append([rate, float(answer.found.double().mean()), float(length.median()) if len(length) else 1e9])
    return min(tried, key=lambda row: (-row[1], row[2]))[0], tried


def questions(net: nn.Module, data: ImageSet) -> dict[str, tuple[Tensor, Tensor]]:
    """Pictures and targets of both questions."""
    x, fours = right_ones(net, data, 2)[:_ROWS], right_ones(net, data, 2, 4)
    return {QUESTIONS[0]: (x, second_class(net, x)), QUESTIONS[1]: (fours, torch.full((len(fours),), 9))}


def run(name: str, net: nn.Module, data: ImageSet, keep: Path) -> dict[str, Any]:
    """Train one, find its rate, ask; from the folder if that was done."""
    path = keep / "architectures" / f"{name}_answers.pt"
    if path.exists():
        return torch.load(path, weights_only=True)
    generator, notes = trained(name, data, keep / "architectures")
    rate, tried = best_rate(generator, net, right_ones(net, data, 1)[:_VALIDATION])
    found: dict[str, Any] = {"notes": {**notes, "rate": rate, "tried": tried}, "answers": {}}
    for question, (x, target) in questions(net, data).items():
        begin = time.process_time()
        answer = asked(generator, net, x, target=target, rate=rate)
        seconds = time.process_time() - begin
        columns = {key: value for key, value in vars(answer).items() if isinstance(value, Tensor)}
        status = [one.name for one in answer.status]
        found["answers"][question] = {**columns, "status": status, "target": target, "seconds": seconds}
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(found, path)
    print(name, json.dumps(found["notes"]), flush=True)
    return found


def _record(columns: dict[str, Any]) -> AscentAnswer:
    """The answer that was kept, without its path."""
    tensors = {key: value for key, value in columns.items() if isinstance(value, Tensor) and key != "target"}
    return AscentAnswer(**tensors, status=tuple(RowStatus[name] for name in columns["status"]), path=())


def summary(answer: AscentAnswer, target: Tensor, *, real: tuple[Tensor, Tensor], known: dict) -> dict[str, Any]:
    """Success, distances, neighbors and agreement, each with its 95% interval."""
    judged = evaluate_images(answer, target, reference=real[0], labels=real[1], models=known)
    wanted = ("found", "l1", "l2", "neighbors_pixels", "roughness", "steps", "reconstruction_error")
    return {
        name: [round(float(number), 4) for number in interval]
        for name, interval in judged.summary().items()
        if name in wanted or name.startswith("agrees_")
    }


def _l2(answer: AscentAnswer) -> Tensor:
    return (answer.images - answer.originals).flatten(1).norm(dim=1)


def compare(data: ImageSet, keep: Path) -> dict[str, Any]:
    """Measure what all gave, and how alike it is."""
    net, of_net = kept_classifier(data, keep)
    known, accuracies = judges(data, keep)
    images, labels = data.part(0)
    real = dequantize(images, torch.Generator().manual_seed(1), bits=data.bits), labels
    kept = {name: run(name, net, data, keep) for name in ARCHITECTURES}
    result: dict[str, Any] = {"accuracy": {"asked": of_net["accuracy"], **accuracies}, "models": {}, "alike": {}}
    for name, found in kept.items():
        result["models"][name] = dict(found["notes"])
        for question in QUESTIONS:
            columns = found["answers"][question]
            measured = summary(_record(columns), columns["target"], real=real, known=known)
            result["models"][name][question] = {"seconds": columns["seconds"], **measured}
    for question in QUESTIONS:
        answers = {name: _record(found["answers"][question]) for name, found in kept.items()}
        result["alike"][question] = alike(answers)
        if question == QUESTIONS[1]:
            draw_sheet(answers, results_path("architectures.png"))
    return result


def main() -> None:
    """Train and ask; with all of them done, compare and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help=f"some of {', '.join(ARCHITECTURES)}; none for all and the comparison")
    parser.add_argument("--keep", type=Path, required=True, help="the folder of trained weights")
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = load_images("digits")
    if options.names:
        net = kept_classifier(data, options.keep)[0]
        for name in options.names:
            run(name, net, data, options.keep)
        return
    result = compare(data, options.keep)
    settings = {"confidence": CONFIDENCE, "rates": _RATES, "most_steps": _STEPS, "validation_pictures": _VALIDATION}
    path = results_path("architectures.json")
    path.write_text(json.dumps({"machine": machine(), "settings": settings, **result}, indent=2) + "\n")
    print(json.dumps(result, indent=1), flush=True)


if __name__ == "__main__":
    main()
