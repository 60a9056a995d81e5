"""``counterflow images``: what is written is what the library computes, and wrong input is refused in one sentence."""

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from counterflow import ImageFlow
from counterflow.cli import main
from counterflow.cli.image_files import new_folder, read_images
from counterflow.core.errors import PersistenceError, TrainingError
from counterflow.counterfactuals import latent_ascent
from counterflow.datasets.pictures import picture_form, read_pictures
from counterflow.persistence import load_folder
from tests.cli.test_bad_input import refused

NET = """
import torch
from torch import nn
weights = torch.tensor({weights})
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
with torch.no_grad():
    model[1].weight.copy_(weights[:, :64])
    model[1].bias.copy_(weights[:, 64])
bright = lambda x: x.mean((1, 2, 3))
dull = lambda x: x.detach().numpy()
broken = nn.Linear(3, 3)
text = "a model"
"""
QUICK = ("--flow", "image_realnvp", "--depth", "1", "--width", "4", "--gray-levels", "17", "--epochs", "2")


@pytest.fixture(scope="session")
def place(tmp_path_factory):
    """Digits as an array and as pictures, and a linear model of them."""
    folder = tmp_path_factory.mktemp("digits")
    digits = load_digits()
    linear = LogisticRegression(max_iter=60, tol=1e-2).fit(digits.data / 16, digits.target)
    np.savez(folder / "digits.npz", x=(digits.images[:160] / 16).astype(np.float32), y=digits.target[:160])
    np.savez(folder / "fours.npz", x=(digits.images[digits.target == 4][:3] / 16))
    (folder / "pictures" / "inner").mkdir(parents=True)
    for row in range(3):
        pixels = (digits.images[row] * 255 / 16).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "pictures" / ("inner" if row else ".") / f"digit{row}.png")
    weights = np.hstack([linear.coef_, linear.intercept_[:, None]]).tolist()
    (folder / "net.py").write_text(NET.format(weights=weights))
    return folder


@pytest.fixture(scope="session")
def fitted(place, tmp_path_factory):
    out = tmp_path_factory.mktemp("fitted") / "flow"
    assert main(["images", "fit", str(place / "digits.npz"), "--out", str(out), *QUICK]) == 0
    return out


@pytest.fixture
def model(place, monkeypatch):
    monkeypatch.syspath_prepend(str(place))
    return "net:model"


class TestFit:
    def test_the_folder_holds_the_flow_that_python_would_fit(self, place, fitted):
        from functools import partial

        from counterflow import flows

        small = partial(flows.image_realnvp, layers=1, hidden=(4, 4))
        images = np.load(place / "digits.npz")["x"]
        ours = ImageFlow(small, levels=17, max_epochs=2, random_state=0).fit(images)
        np.testing.assert_array_equal(ImageFlow.load(fitted).score_samples(images), ours.score_samples(images))
        assert json.loads((fitted / "images.json").read_text())["count"] == 160
        assert not (fitted / "fit-checkpoint").exists()

    def test_pictures_are_cut_and_shrunk_and_remembered(self, run, place):
        ended = run("images", "fit", place / "pictures", "--out", "flow", "--image-size", 4, *QUICK)
        assert ended.code == 0, ended
        assert "3 images of 4x4 pixels, gray" in ended.err
        assert "bits per dimension after 2 epochs" in ended.out
        assert run("images", "score", "flow", place / "pictures", "--out", "scores.csv").code == 0

    def test_ctrl_c_leaves_a_checkpoint_that_ends_as_if_nothing_had_been(
        self, run, place, fitted, tmp_path, monkeypatch
    ):
        from counterflow.estimators import image_flow
        from counterflow.training import fit as real_fit

        def interrupted(*arguments, **settings):
            def stop(record):
                if record.epoch == 2:
                    raise KeyboardInterrupt

            return real_fit(*arguments, on_epoch=stop, **settings)

        command = ("images", "fit", place / "digits.npz", "--out", "flow", *QUICK)
        monkeypatch.setattr(image_flow, "fit", interrupted)
        ended = run(*command)
        assert ended.code == 130
        assert "The same command with --resume goes on" in ended.err
        assert [path.name for path in (tmp_path / "flow").iterdir()] == ["fit-checkpoint"]
        monkeypatch.setattr(image_flow, "fit", real_fit)
        assert run(*command, "--resume").code == 0
        whole, resumed = load_folder(fitted, "image flow"), load_folder(tmp_path / "flow", "image flow")
        assert all(resumed.tensors[name].equal(tensor) for name, tensor in whole.tensors.items())

    @pytest.mark.parametrize("error", [PersistenceError, TrainingError])
    def test_a_failed_run_leaves_nothing(self, run, place, tmp_path, monkeypatch, error):
        from counterflow.estimators import image_flow

        def failed(*arguments, checkpoint, **settings):
            (checkpoint / "half").mkdir(parents=True)
            raise error("No space left on device.")

        monkeypatch.setattr(image_flow, "fit", failed)
        refused(run("images", "fit", place / "digits.npz", "--out", "flow", *QUICK), "No space left on device.")
        assert not (tmp_path / "flow").exists()

    def test_nothing_to_resume_is_said(self, run, place):
        ended = run("images", "fit", place / "pictures", "--out", "flow", "--resume", *QUICK)
        assert (ended.code, "holds nothing to resume" in ended.err) == (0, True)

    def test_a_checkpoint_of_another_run(self, run, place, monkeypatch, fitted):
        (fitted.parent / "other" / "fit-checkpoint").mkdir(parents=True)
        command = ("images", "fit", place / "pictures", "--out", fitted.parent / "other", "--resume", *QUICK)
        refused(run(*command), "fit-checkpoint' is damaged or of another run", "leave out --resume")


class TestExplain:
    def explain(self, run, fitted, place, *options, images="fours.npz"):
        return run("images", "explain", fitted, place / images, "--model", "net:model", *options)

    def test_arrays_are_those_of_latent_ascent(self, run, fitted, place, model, tmp_path):
        options = ("--target", 9, "--confidence", 0.8, "--learning-rate", 0.2, "--max-steps", 300)
        ended = self.explain(run, fitted, place, *options, "--out", "out.npz", "--sheet", "sheet.png")
        assert ended.code == 0, ended
        assert "Of 3 images: 3 changed as asked. Wrote 'out.npz'." in ended.out
        written = np.load(tmp_path / "out.npz")
        import net

        originals = torch.from_numpy(np.load(place / "fours.npz")["x"][:, None]).float()
        settings = {"confidence": 0.8, "learning_rate": 0.2, "max_steps": 300, "clip": (0.0, 1.0)}
        expected = latent_ascent(ImageFlow.load(fitted).flow_, net.model, originals, 9, **settings)
        np.testing.assert_array_equal(written["images"], expected.images)
        np.testing.assert_array_equal(written["originals"], originals)
        np.testing.assert_array_equal(written["heatmap"], expected.heatmap)
        np.testing.assert_allclose(written["probability"], expected.probability)
        assert written["status"].tolist() == ["found"] * 3
        assert written["steps"].tolist() == expected.steps.tolist()
        assert picture_form(tmp_path / "sheet.png")[1] > 300

    def test_a_folder_holds_pictures_and_a_table(self, run, place, model, tmp_path):
        run("images", "fit", place / "pictures", "--out", "flow", *QUICK)
        out = ("--out", "made", "--model", "net:bright")
        ended = run("images", "explain", "flow", place / "pictures", "--target", "increase", "--change", 0.05, *out)
        assert ended.code == 0, ended
        names = sorted(path.name for path in (tmp_path / "made").iterdir())
        stems = ["digit0", "inner-digit1", "inner-digit2"]
        assert names == sorted(["answers.csv", *(f"{stem}{end}.png" for stem in stems for end in ("", "-change"))])
        with (tmp_path / "made" / "answers.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["image"] for row in rows] == ["digit0.png", "inner/digit1.png", "inner/digit2.png"]
        for stem, row in zip(stems, rows, strict=True):
            pixels = read_pictures([tmp_path / "made" / f"{stem}.png"], size=8, gray=True) / 255
            assert pixels.mean().item() == pytest.approx(float(row["prediction"]), abs=1e-3)
            assert float(row["prediction"]) >= float(row["original_prediction"]) + 0.05
        assert not list(tmp_path.glob(".made*"))

    def test_an_onnx_file_is_climbed_as_the_network_it_came_from(self, run, fitted, place, model, tmp_path):
        import warnings

        import net

        pytest.importorskip("onnx")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch announces another exporter, which needs a package more
            axes = {"x": {0: "n"}}
            example = (torch.zeros(1, 1, 8, 8),)
            torch.onnx.export(net.model, example, "net.onnx", dynamo=False, input_names=["x"], dynamic_axes=axes)
        options = ("--target", 9, "--confidence", 0.6, "--learning-rate", 0.2)
        assert self.explain(run, fitted, place, *options, "--out", "one.npz").code == 0
        assert self.explain(run, fitted, place, *options, "--out", "two.npz", "--model", "net.onnx").code == 0
        one, two = np.load(tmp_path / "one.npz"), np.load(tmp_path / "two.npz")
        np.testing.assert_allclose(one["images"], two["images"], atol=1e-3)

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            (("--target", "19"), "target must be a class from 0 to 9, got 19"),
            (("--target", "nine"), "--target must be a class (a whole number), a value, 'increase' or 'decrease'"),
            (("--target", "9.5"), "a regressor must answer one number for each of 3 images"),
            (("--target", "9", "--optimizer", "adamw"), "--optimizer must be adam or gradient, got 'adamw'"),
            (("--target", "9", "--output", "logit"), "--output must be logits or probabilities, got 'logit'"),
            (("--target", "9", "--confidence", "2"), "confidence must be above 0 and at most 1"),
            (("--target", "9", "--model", "net:modle"), "'net' has no 'modle'. Did you mean 'model'?"),
            (("--target", "9", "--model", "net:text"), "a torch module or a function of images is needed, got a str"),
            (("--target", "9", "--model", "net:broken"), "net:broken fails on an image of shape (1, 1, 8, 8)"),
            (("--target", "9", "--model", "net:dull"), "net:dull must answer a tensor that gradients pass through"),
            (("--target", "9", "--model", "net.pt"), "--model net.pt"),
            (("--target", "9", "--model", "gone.onnx"), "there is no file 'gone.onnx'"),
            (("--target", "9", "--out", "out.txt"), "'out.txt' must end in .npz, or be the name of a new folder"),
            (("--target", "9", "--out", "gone/out.npz"), "there is no folder 'gone' to write 'out.npz' to"),
            (("--target", "9", "--sheet", "sheet.txt"), "'sheet.txt' must end in .png or .pdf or .svg"),
        ],
    )
    def test_what_cannot_be_done_is_said_and_nothing_is_written(
        self, run, fitted, place, model, tmp_path, options, words
    ):
        refused(self.explain(run, fitted, place, "--out", "out.npz", *options), words)
        assert not list(tmp_path.iterdir())

    def test_a_folder_that_is_not_empty_is_not_written_to(self, run, fitted, place, model, tmp_path):
        (tmp_path / "made").mkdir()
        (tmp_path / "made" / "mine.png").write_text("mine")
        refused(self.explain(run, fitted, place, "--target", 9, "--out", "made"), "'made' is there already")

    def test_images_of_another_kind(self, run, fitted, place, model, tmp_path):
        np.savez(tmp_path / "wide.npz", x=np.zeros((2, 8, 9)))
        np.savez(tmp_path / "colors.npz", x=np.zeros((2, 8, 8, 3), dtype=np.uint8))
        for name, have in (("wide", "(1, 8, 9)"), ("colors", "(3, 8, 8)")):
            ended = run("images", "explain", fitted, f"{name}.npz", "--model", model, "--target", 9, "--out", "out.npz")
            refused(ended, f"'{name}.npz' holds images", have, "fitted on (1, 8, 8)")

    def test_a_folder_of_another_kind(self, run, place, model, tmp_path):
        command = ("--model", model, "--target", 9, "--out", "out.npz")
        refused(run("images", "explain", "gone", place / "fours.npz", *command), "'gone'")


class TestImages:
    @pytest.mark.parametrize(
        ("content", "words"),
        [
            ({"y": np.zeros(3)}, "'t.npz' has no array x, but y"),
            ({"x": np.array([{}])}, "'t.npz' cannot be read"),
            ({"x": np.zeros((3, 4))}, "'t.npz', x: must have shape (n, height, width)"),
            ({"x": np.full((3, 4, 4), 200.0)}, "'t.npz', x: must lie between 0 and 1, got numbers from 200 to 200"),
        ],
    )
    def test_arrays_that_are_no_images(self, run, tmp_path, content, words):
        np.savez(tmp_path / "t.npz", **content)
        refused(run("images", "fit", "t.npz", "--out", "flow", *QUICK), words)
        assert not (tmp_path / "flow").exists()

    def test_a_file_that_is_no_archive(self, run, tmp_path):
        (tmp_path / "t.npz").write_text("no archive")
        refused(run("images", "fit", "t.npz", "--out", "flow"), "'t.npz' cannot be read")

    def test_paths_that_hold_nothing(self, run, tmp_path):
        (tmp_path / "empty").mkdir()
        refused(run("images", "fit", "gone.npz", "--out", "flow"), "there is no file 'gone.npz'")
        refused(run("images", "fit", "gone", "--out", "flow"), "'gone' must be a folder of pictures or a file .npz")
        refused(run("images", "fit", "empty", "--out", "flow"), "the folder 'empty' holds no pictures")

    def test_pictures_of_several_sizes(self, run, place, tmp_path):
        Image.new("L", (8, 6)).save(tmp_path / "a.png")
        Image.new("L", (9, 6)).save(tmp_path / "b.png")
        refused(run("images", "fit", ".", "--out", "flow"), "a.png' has 8x6 pixels", "b.png' has 9x6", "--image-size")

    def test_a_picture_that_cannot_be_read(self, run, tmp_path):
        (tmp_path / "bad.png").write_text("no picture")
        refused(run("images", "fit", ".", "--out", "flow"), "the picture 'bad.png' cannot be read")

    def test_settings_of_pictures_do_not_apply_to_arrays(self, run, place):
        ended = run("images", "fit", place / "digits.npz", "--out", "flow", "--image-size", 4)
        refused(ended, "--image-size and --gray are for pictures")

    def test_an_unknown_flow_and_a_file_for_a_folder(self, run, place, tmp_path):
        (tmp_path / "file").write_text("")
        refused(run("images", "fit", place / "digits.npz", "--out", "flow", "--flow", "glwo"), "Did you mean 'glow'?")
        refused(run("images", "fit", place / "digits.npz", "--out", "file"), "'file' is a file")

    def test_colors_stay_unless_gray_is_asked(self, tmp_path):
        Image.new("RGB", (4, 2), (255, 0, 51)).save(tmp_path / "a.png")
        Image.new("L", (4, 2), 51).save(tmp_path / "b.jpg")
        colors = read_images(tmp_path)
        assert colors.pixels.shape == (2, 3, 2, 4)
        torch.testing.assert_close(colors.pixels[0, :, 1, 1], torch.tensor([1.0, 0.0, 0.2]))
        assert colors.names == ["a.png", "b.jpg"]
        assert read_images(tmp_path, gray=True).pixels.shape == (2, 1, 2, 4)

    def test_a_folder_that_fails_half_way_is_not_left(self, tmp_path):
        def write():
            with new_folder(tmp_path / "made") as aside:
                (aside / "one.png").write_text("half")
                raise OSError(28, "No space left on device")

        with pytest.raises(PersistenceError, match="Could not write"):
            write()
        assert not list(tmp_path.iterdir())


def test_scores_and_samples(run, fitted, place, tmp_path):
    assert run("images", "score", fitted, place / "digits.npz", "--out", "scores.csv").code == 0
    learned, images = ImageFlow.load(fitted), np.load(place / "digits.npz")["x"]
    with (tmp_path / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    np.testing.assert_allclose([float(row["log_density"]) for row in rows], learned.score_samples(images))
    np.testing.assert_allclose([float(row["bits_per_dimension"]) for row in rows], learned.bits_per_dimension(images))
    assert run("images", "sample", fitted, "--out", "made.npz", "-n", 4, "--temperature", 0.5, "--seed", 3).code == 0
    expected = learned.sample(4, temperature=0.5, random_state=3)
    np.testing.assert_array_equal(np.load(tmp_path / "made.npz")["x"], expected)
    assert run("images", "sample", fitted, "--out", "made.png", "-n", 4).code == 0
    assert picture_form(tmp_path / "made.png")[1] > 300
    refused(run("images", "sample", fitted, "--out", "made.txt"), "'made.txt' must end in .npz or .png")
