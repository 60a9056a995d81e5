"""No pickle, no code from strings, no global seed, nothing that trusts a file."""

import ast

import pytest

from tests.house.sources import PACKAGE, imported, modules, tree

UNSAFE_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
UNSAFE_CALLS = {
    "eval",
    "exec",
    "torch.save",
    "torch.manual_seed",
    "torch.random.manual_seed",
    "torch.set_default_dtype",
    "torch.set_default_device",
    "torch.use_deterministic_algorithms",
    "np.random.seed",
    "numpy.random.seed",
    "random.seed",
    "yaml.unsafe_load",
}


def unsafe(source: ast.AST) -> list[str]:
    """What a file does that the library never does."""
    bad = [name for name, _ in imported(source) if name.partition(".")[0] in UNSAFE_MODULES]
    calls = [node for node in ast.walk(source) if isinstance(node, ast.Call)]
    bad += [ast.unparse(call.func) for call in calls if ast.unparse(call.func) in UNSAFE_CALLS]
    bad += ["torch.load" for call in calls if ast.unparse(call.func) == "torch.load" and not _weights_only(call)]
    bad += ["yaml.load" for call in calls if ast.unparse(call.func) == "yaml.load" and not _safe_loader(call, source)]
    bad += ["allow_pickle" for call in calls if any(_allows_pickle(keyword) for keyword in call.keywords)]
    return bad


def _weights_only(call: ast.Call) -> bool:
    return any(keyword.arg == "weights_only" and ast.unparse(keyword.value) == "True" for keyword in call.keywords)


def _safe_loader(call: ast.Call, source: ast.AST) -> bool:
    classes = [node for node in ast.walk(source) if isinstance(node, ast.ClassDef)]
    safe = {node.name for node in classes if [ast.unparse(base) for base in node.bases] == ["yaml.SafeLoader"]}
    return any(keyword.arg == "Loader" and ast.unparse(keyword.value) in safe for keyword in call.keywords)


def _allows_pickle(keyword: ast.keyword) -> bool:
    return keyword.arg == "allow_pickle" and ast.unparse(keyword.value) != "False"


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_nothing_unsafe(path):
    assert unsafe(tree(path)) == []


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import pickle", ["pickle"]),
        ("from joblib import load", ["joblib"]),
        ("torch.load(path)", ["torch.load"]),
        ("torch.load(path, weights_only=False)", ["torch.load"]),
        ("torch.load(path, weights_only=True)", []),
        ("np.load(path, allow_pickle=True)", ["allow_pickle"]),
        ("np.load(path, allow_pickle=False)", []),
        ("yaml.load(text, Loader=yaml.Loader)", ["yaml.load"]),
        ("class Strict(yaml.SafeLoader): ...\nyaml.load(text, Loader=Strict)", []),
        ("class Lax(yaml.Loader): ...\nyaml.load(text, Loader=Lax)", ["yaml.load"]),
        ("torch.manual_seed(0)", ["torch.manual_seed"]),
        ("generator.manual_seed(0)", []),
        ("model.eval()", []),
        ("eval('1')", ["eval"]),
    ],
)
def test_the_check_itself_finds_them(code, expected):
    assert unsafe(ast.parse(code)) == expected
