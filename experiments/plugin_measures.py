"""What is measured of a plug-in: its samples, its classes, its densities and its edits."""

import warnings
from typing import Any

import numpy as np
import torch
from sklearn.base import clone
from sklearn.covariance import LedoitWolf
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch import Tensor

from counterflow.latent import ClassAttribute, LatentFlow
from experiments.plugin_data import Part, PluginSet
from experiments.plugin_models import Judge

__all__ = ["changed", "classes", "densities", "draws", "edits"]

_STRENGTHS = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
_TEMPERATURES = (1.0, 0.9, 0.8)


def share(right: Tensor) -> float:
    """The share of rows where something is so."""
    return float(right.double().mean())


def draws(latent: LatentFlow, judge: Judge, data: PluginSet, *, count: int = 1000) -> dict[str, Any]:
    """Judges on samples whose attributes are those of random test points, beside real ones and reconstructions."""
    generator = torch.Generator().manual_seed(11)
    wanted = data.test.rows(torch.randint(len(data.test.x), (count,), generator=generator)).known
    sets = {
        f"samples, temperature {t}": (latent.sample(count, wanted, temperature=t, generator=generator), wanted)
        for t in _TEMPERATURES
    }
    sets |= {"real": (data.test.x, data.test.known), "reconstructed": (decoded(latent, data.test.x), data.test.known)}
    name = _first(latent).name
    alone = {name: wanted[name]}
    if len(data.test.known) > 1:
        sets["samples, one attribute given"] = (latent.sample(count, alone, generator=generator), alone)
    return {what: _agreement(judge, x, known) for what, (x, known) in sets.items()}


def _agreement(judge: Judge, x: Tensor, known: dict[str, Tensor]) -> dict[str, float]:
    """How often a judge tells a class as asked, or how far it is from a number, and the correlation with it."""
    found, told = {}, judge.tell(x)
    for name, column in known.items():
        if isinstance(judge.attributes.member(name), ClassAttribute):
            found[name] = share(told[name] == column)
        else:
            found[f"{name}, mean error"] = float((told[name] - column).abs().mean())
            found[f"{name}, correlation"] = float(torch.corrcoef(torch.stack([told[name], column]))[0, 1])
    return found


@torch.no_grad()
def decoded(latent: LatentFlow, x: Tensor) -> Tensor:
    """Reconstructions, some at a time."""
    return torch.cat([latent.decode(latent.encode(part)) for part in x.split(500)])


@torch.no_grad()
def encoded(latent: LatentFlow, x: Tensor) -> Tensor:
    """Latents, some at a time."""
    return torch.cat([latent.encode(part) for part in x.split(500)])


def classes(latent: LatentFlow, data: PluginSet, *, most: int = 2000) -> dict[str, Any]:
    """Accuracy and log-loss of Bayes' rule beside other classifiers on the same latents of the same points."""
    name = _first(latent).name
    z = [encoded(latent, part.x).double().numpy() for part in (data.learn, data.test)]
    y = [part.known[name].numpy() for part in (data.learn, data.test)]
    found = latent.classify(data.test.x, name)
    ours = {"Bayes' rule of the flow": found.probabilities.double().numpy()}
    if len(data.test.known) > 1:
        others = {other: column for other, column in data.test.known.items() if other != name}
        known = latent.classify(data.test.x, name, known=others)
        ours["Bayes' rule of the flow, the others known"] = known.probabilities.double().numpy()
    models = {
        "logistic regression": (LogisticRegression(max_iter=2000), "logisticregression__C", [0.01, 0.1, 1.0, 10.0]),
        "RBF-SVM": (SVC(), "svc__C", [0.3, 1.0, 3.0, 10.0, 30.0]),
    }
    probabilities: dict[str, Any] = {**ours}
    accuracy = {what: float((np.array(found.classes)[p.argmax(1)] == y[1]).mean()) for what, p in ours.items()}
    for what, (model, setting, values) in models.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            search = GridSearchCV(make_pipeline(StandardScaler(), model), {setting: values}, cv=3)
            search.fit(z[0][:most], y[0][:most])
            best = clone(search.best_estimator_).fit(z[0], y[0])
        accuracy[what] = float(best.score(z[1], y[1]))
        if hasattr(best, "predict_proba"):
            probabilities[what] = best.predict_proba(z[1])
    gauss = _gaussian_densities(z[0], y[0], z[1])
    accuracy["normal law of each class"] = float((np.array(found.classes)[gauss.argmax(1)] == y[1]).mean())
    places = np.searchsorted(found.classes, y[1])
    loss = {what: float(-np.log(p[np.arange(len(p)), places].clip(1e-12)).mean()) for what, p in probabilities.items()}
    return {"attribute": name, "accuracy": accuracy, "log_loss": loss, "tuned_on": min(most, len(z[0]))}


def densities(latent: LatentFlow, data: PluginSet) -> dict[str, float]:
    """Mean test log-density of latents in nats, given all attributes, beside a normal law of each class.

    For an attribute that is a number the normal law's mean follows it linearly.
    """
    z, test = (encoded(latent, part.x) for part in (data.learn, data.test))
    with torch.no_grad():
        parts = zip(test.split(500), _split(data.test, 500), strict=True)
        ours = torch.cat([latent.log_prob(one, part.known) for one, part in parts])
        nothing = torch.cat([latent.log_prob(one) for one in test.split(500)])
    name = _first(latent).name
    y, held = data.learn.known[name].numpy(), data.test.known[name].numpy()
    pair = [one.double().numpy() for one in (z, test)]
    numbers = [n for n in latent.attributes.names if n != name]
    if numbers:
        design = [np.stack([np.ones(len(part.x)), *(part.known[n].double().numpy() for n in numbers)], 1)
                  for part in (data.learn, data.test)]  # fmt: skip
        slope = np.linalg.lstsq(design[0], pair[0], rcond=None)[0]
        pair = [rows - d @ slope for rows, d in zip(pair, design, strict=True)]
    gauss = _gaussian_densities(pair[0], y, pair[1])
    chosen = gauss[np.arange(len(held)), np.searchsorted(np.unique(y), held)]
    ahead = ours.double() - torch.from_numpy(chosen)
    return {
        "flow": float(ours.double().mean()),
        "flow, nothing known": float(nothing.double().mean()),
        "normal law of each class": float(chosen.mean()),
        "flow minus normal law": float(ahead.mean()),
        "its standard error": float(ahead.std() / len(ahead) ** 0.5),
    }


def _split(part: Part, size: int) -> list[Part]:
    return [part.rows(rows) for rows in torch.arange(len(part.x)).split(size)]


def _gaussian_densities(z: np.ndarray, y: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Log-densities under a normal law of each class, with covariances shrunk as Ledoit and Wolf do."""
    columns = []
    for value in np.unique(y):
        law = LedoitWolf().fit(z[y == value])
        normal = torch.distributions.MultivariateNormal(
            torch.from_numpy(law.location_), torch.from_numpy(law.covariance_)
        )
        columns.append(normal.log_prob(torch.from_numpy(test)).numpy())
    return np.stack(columns, 1)


def changed(latent: LatentFlow, data: PluginSet, *, most: int = 400) -> dict[str, tuple[Part, dict[str, Tensor]]]:
    """What is asked of test points: another class of each attribute with classes, and twenty years more or less."""
    generator, part = torch.Generator().manual_seed(12), data.test.rows(torch.arange(min(most, len(data.test.x))))
    asked = {}
    for member in latent.attributes.members:
        old = part.known[member.name]
        if isinstance(member, ClassAttribute):
            values = torch.tensor(member.classes)
            step = torch.randint(1, len(values), old.shape, generator=generator)
            new = values[(torch.searchsorted(values, old) + step) % len(values)]
        else:
            new = torch.where(old < member.center, old + 20, old - 20)
        asked[member.name] = (part, {member.name: new})
    return asked


def edits(latent: LatentFlow, judge: Judge, data: PluginSet) -> dict[str, Any]:
    """Edits judged from outside: what was to change, what was to stay, and how far from the original they are."""
    found = {}
    for name, (part, new) in changed(latent, data).items():
        rows = {}
        for strength in _STRENGTHS:
            edit = latent.edit(part.x, new, before=part.known, strength=strength)
            rows[f"edit, strength {strength}"] = {
                **_judged(judge, part, name, new, edit.edited),
                "the flow's own word": share(edit.found),
                "autoencoder's error": float(edit.round_trip.autoencoder.mean()),
                "flow's error": float(edit.round_trip.flow.max()),
            }
        kept = latent.edit(part.x, new, before=part.known, keep_residual=True).edited
        if part.x.dim() == 4:
            rows["edit, residual kept"] = _judged(judge, part, name, new, kept.clamp(0, 1))
        guessed = latent.edit(part.x, new) if isinstance(latent.attributes.member(name), ClassAttribute) else None
        if guessed is not None:
            rows["edit, nothing known before"] = _judged(judge, part, name, new, guessed.edited)
        generator = torch.Generator().manual_seed(13)
        wanted = {**part.known, **new}
        rows["random sample of the new attributes"] = _judged(
            judge, part, name, new, latent.sample(len(part.x), wanted, generator=generator)
        )
        rows["nearest real point with the new attribute"] = _judged(
            judge, part, name, new, nearest(part, data, name, new)
        )
        rows["reconstruction"] = _judged(judge, part, name, new, decoded(latent, part.x))
        found[name] = rows
    return found


def nearest(part: Part, data: PluginSet, name: str, new: dict[str, Tensor]) -> Tensor:
    """For each point the nearest of the half to learn from that has the new attribute (a number: within two)."""
    away = torch.cdist(part.x.flatten(1), data.learn.x.flatten(1))
    fits = (new[name][:, None] - data.learn.known[name][None]).abs() <= (2 if new[name].is_floating_point() else 0)
    return data.learn.x[away.masked_fill(~fits, torch.inf).argmin(1)]


def _judged(judge: Judge, part: Part, name: str, new: dict[str, Tensor], x: Tensor) -> dict[str, float]:
    told, real = judge.tell(x), judge.tell(part.x)
    row: dict[str, float] = {}
    for other in judge.attributes.names:
        number = not isinstance(judge.attributes.member(other), ClassAttribute)
        if other == name and not number:
            row["success"] = share(told[name] == new[name])
        elif other == name:
            row["nearer the new than the old"] = share(
                (told[name] - new[name]).abs() < (told[name] - part.known[name]).abs()
            )
            row["moved, of 20"] = float(((told[name] - real[name]) * (new[name] - part.known[name]).sign()).mean())
        elif number:
            row[f"{other}, mean change"] = float((told[other] - real[other]).abs().mean())
        else:
            row[f"{other} kept"] = share(told[other] == part.known[other])
    row["distance to the original"] = float(_distance(x, part.x).mean())
    if x.dim() == 4:
        for what, measure in {"ink": _ink, "slant": _slant}.items():
            row[f"{what}, correlation"] = float(torch.corrcoef(torch.stack([measure(x), measure(part.x)]))[0, 1])
    return row


def _distance(x: Tensor, other: Tensor) -> Tensor:
    """The root of the mean squared difference of pixels; of clouds the mean distance to nearest points, both ways."""
    if x.dim() == 4:
        return (x - other).square().flatten(1).mean(1).sqrt()
    away = torch.cdist(x, other)
    return (away.amin(1).mean(1) + away.amin(2).mean(1)) / 2


def _ink(x: Tensor) -> Tensor:
    """How bright an image is: for digits, how thick the pen."""
    return x.flatten(1).mean(1)


def _slant(x: Tensor) -> Tensor:
    """How far the bright part leans to a side."""
    gray = x.mean(1)
    rows = torch.linspace(-1, 1, gray.shape[1])[:, None]
    columns = torch.linspace(-1, 1, gray.shape[2])
    weight = gray / gray.sum((1, 2), keepdim=True).clamp(min=1e-9)
    y, x_ = ((weight * place).sum((1, 2))[:, None, None] for place in (rows, columns))
    return (weight * (rows - y) * (columns - x_)).sum((1, 2)) / (weight * (rows - y).square()).sum((1, 2))


def _first(latent: LatentFlow) -> ClassAttribute:
    """The attribute with classes that is asked for."""
    return next(member for member in latent.attributes.members if isinstance(member, ClassAttribute))
