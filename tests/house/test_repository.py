"""The papers of the house agree with each other."""

import re
import tomllib

import pytest
import yaml

import counterflow
from tests.house.allowed import BRITISH
from tests.house.sources import ROOT

RUNTIME = {
    "torch", "numpy", "scikit-learn", "narwhals", "pyarrow", "safetensors", "tqdm", "typer", "pyyaml", "jaxtyping",
}  # fmt: skip
SPELLING = re.compile(
    r"\w*(?:standardis|normalis|initialis|discretis|quantis|vectoris|regularis|generalis|optimis|minimis|maximis|summaris"
    r"|visualis|recognis|colour|behaviour|neighbour|favour|labell|modell)\w*",
    re.IGNORECASE,
)
TEXTS = [
    path
    for folder, pattern in [("src", "*.py"), ("tests", "*.py"), ("docs", "*.md"), ("benchmarks", "*.py"), (".", "*.md")]
    for path in ((ROOT / folder).glob(pattern) if folder == "." else (ROOT / folder).rglob(pattern))
    if "_build" not in path.parts and path.name not in {"test_repository.py", "allowed.py"}
]


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def _name(requirement: str) -> str:
    return re.match(r"[\w-]+", requirement).group().lower()


def test_the_runtime_needs_what_was_agreed(project):
    assert {_name(requirement) for requirement in project["dependencies"]} == RUNTIME


def test_every_requirement_is_pinned(project, pins):
    extras = [requirement for extra in project["optional-dependencies"].values() for requirement in extra]
    needed = {_name(requirement) for requirement in [*project["dependencies"], *extras]} - {"counterflow"}
    assert not needed - set(pins)


def test_torch_is_pinned_without_a_build(pins):
    assert pins["torch"] == "2.13.0"
    assert not any("+" in version or name.startswith("nvidia") for name, version in pins.items())


def test_all_is_every_extra_a_user_may_want(project):
    extras = project["optional-dependencies"]
    chores = {"all", "test", "docs", "lint", "bench", "experiments"} | {"sbi"}  # who wants the plug-in has sbi
    assert extras["all"] == [f"counterflow[{','.join(name for name in extras if name not in chores)}]"]


@pytest.mark.parametrize("target", ["demo", "test", "bench", "docs", "lint", "clean"])
def test_every_make_target_explains_itself(target):
    assert re.search(rf"^{target}:.* ## \w", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


def test_continuous_integration_is_make_test():
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    assert script.read_text(encoding="utf-8").splitlines()[-1] == "make test"


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == counterflow.__version__
    assert citation["license"] == "Apache-2.0"


def test_the_changelog_tells_of_this_version():
    assert f"[{counterflow.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_license_is_whole():
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text


@pytest.mark.parametrize("path", [path for path in TEXTS if path.suffix == ".md"], ids=lambda path: path.name)
def test_every_link_inside_the_repository_leads_somewhere(path):
    targets = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", path.read_text(encoding="utf-8"))
    assert [target for target in targets if not (path.parent / target).exists()] == []


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_spelling_is_american(path):
    words = {word.lower() for word in SPELLING.findall(path.read_text(encoding="utf-8"))}
    parts = {part for word in words for part in word.split("_") if SPELLING.match(part)}
    assert not parts - set(BRITISH)
