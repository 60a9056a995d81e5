"""CelebA, CheXpert and Mall, on small files of the form in which their owners ship them."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from counterflow import datasets
from counterflow.core.errors import ArgumentError, DataError, MissingExtra
from counterflow.datasets.pictures import read_pictures

COLORS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}


def write_picture(path, size, color="red"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path, quality=95)


# -------------------------------------------------------------------------------------------------------- pictures
@pytest.fixture
def stripes(tmp_path):
    """12 wide and 8 high: red, green and blue, 4 wide each."""
    pixels = np.repeat(np.array([list(COLORS.values())], dtype=np.uint8), 4, axis=1).repeat(8, axis=0)
    Image.fromarray(pixels).save(tmp_path / "stripes.png")
    return tmp_path / "stripes.png"


def test_a_crop_is_the_middle_of_the_picture(stripes):
    """Of 12 by 8 pixels a crop to 4 by 8 is the green stripe; stretched to 3 by 1, each stripe is a pixel."""
    narrow = read_pictures([stripes], size=(8, 4), fit="crop")
    assert (narrow.shape, narrow.dtype) == ((1, 3, 8, 4), torch.uint8)
    assert narrow.unique(dim=2).unique(dim=3).flatten().tolist() == list(COLORS["green"])
    whole = read_pictures([stripes], size=(1, 3), fit="stretch")[0, :, 0]
    assert whole.argmax(0).tolist() == [0, 1, 2]


def test_shrinking_averages(tmp_path):
    """Witness: a triangle's weights, by which Pillow averages, are symmetric, so a fine checkerboard turns gray."""
    board = np.indices((32, 32)).sum(0) % 2 * 255
    Image.fromarray(board.astype(np.uint8)).save(tmp_path / "board.png")
    small = read_pictures([tmp_path / "board.png"], size=4, gray=True)
    assert (small.shape, small.float().sub(127.5).abs().max() < 3) == ((1, 1, 4, 4), True)


def test_gray_is_the_usual_weighted_brightness(stripes):
    gray = read_pictures([stripes], size=(8, 12), gray=True)[0, 0, 0, [1, 5, 9]]
    assert gray.tolist() == pytest.approx([0.299 * 255, 0.587 * 255, 0.114 * 255], abs=1)


def test_pictures_that_cannot_be_read_are_named(tmp_path):
    (tmp_path / "text.jpg").write_text("no picture")
    write_picture(tmp_path / "cut.jpg", (90, 90))
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "cut.jpg").read_bytes()[:400])
    for name, words in [("text.jpg", "cannot be read"), ("cut.jpg", "cannot be read"), ("none.jpg", "not there")]:
        with pytest.raises(DataError, match=f"{name}' .*{words}"):
            read_pictures([tmp_path / name], size=4)


def test_a_size_is_checked(stripes):
    with pytest.raises(ArgumentError, match="size must be a whole number of at least 1, got 0"):
        read_pictures([stripes], size=(0, 4))


def test_words_are_checked_without_the_hook_too(run_unhooked):
    """The tests' hook refuses these words itself, so they are tried in a process without it."""
    script = """
from counterflow import datasets
from counterflow.core.errors import ArgumentError
from counterflow.datasets.pictures import read_pictures

for call in (
    lambda: read_pictures([], size=4, fit="pad"),
    lambda: datasets.chexpert(".", uncertain="half"),
    lambda: datasets.chexpert(".", view="AP"),
):
    try:
        call()
    except ArgumentError as error:
        print(error)
"""
    assert run_unhooked(script).splitlines() == [
        "fit must be 'crop' or 'stretch', got 'pad'. Choose one of these.",
        "uncertain must be 'ones', 'zeros' or 'leave out', got 'half'.",
        "view must be 'frontal', 'lateral' or None for both, got 'AP'.",
    ]


def test_without_pillow_the_extra_is_named(monkeypatch, stripes):
    monkeypatch.setattr("counterflow.datasets.pictures.find_spec", lambda _: None)
    with pytest.raises(MissingExtra, match=r"reading pictures needs .*pip install 'counterflow\[images\]'"):
        read_pictures([stripes], size=4)


# ---------------------------------------------------------------------------------------------------------- celeba
FACES = {  # name: (Blond_Hair, Smiling, part)
    "000001.jpg": (1, -1, 0),
    "000002.jpg": (-1, -1, 0),
    "000003.jpg": (1, 1, 0),
    "000004.jpg": (-1, 1, 1),
    "000005.jpg": (1, -1, 2),
}


def write_lists(folder, *, attributes="list_attr_celeba.txt", partition="list_eval_partition.txt"):
    """The owners' text files: a count, names, rows padded with blanks; and rows of name and part."""
    rows = [f"{name} {blond:2d} {smiling:2d}" for name, (blond, smiling, _) in FACES.items()]
    for path in (folder / attributes, folder / partition):
        path.parent.mkdir(parents=True, exist_ok=True)
    (folder / attributes).write_text("\n".join([str(len(FACES)), "Blond_Hair Smiling ", *rows]) + "\n")
    (folder / partition).write_text("".join(f"{name} {part}\n" for name, (*_, part) in FACES.items()))


def write_faces(folder, pictures="img_align_celeba"):
    for (name, (blond, *_)), shade in zip(FACES.items(), range(0, 250, 50), strict=True):
        write_picture(folder / pictures / name, (178, 218), (shade, 200 if blond == 1 else 0, 0))


@pytest.fixture
def faces(tmp_path):
    write_lists(tmp_path)
    write_faces(tmp_path)
    return tmp_path


def test_faces_with_their_attribute_and_part(faces):
    data = datasets.celeba(faces)
    assert (data.images.shape, data.images.dtype) == ((5, 3, 64, 64), torch.uint8)
    assert (data.labels.tolist(), data.label_names) == ([1, 0, 1, 0, 1], ("Blond_Hair",))
    assert data.split == ("train", "train", "train", "valid", "test")
    assert data.names[0] == "img_align_celeba/000001.jpg"
    red, green, _ = data.images.float().mean((2, 3)).T
    assert red.tolist() == pytest.approx([0, 50, 100, 150, 200], abs=4)
    assert (green > 100).tolist() == data.labels.bool().tolist()


def test_several_attributes_and_other_sizes(faces):
    data = datasets.celeba(faces, ["Smiling", "Blond_Hair"], size=(16, 12), gray=True, limit=2)
    assert data.images.shape == (4, 1, 16, 12)
    assert data.labels.tolist() == [[0, 1], [0, 0], [1, 0], [0, 1]]
    assert data.part("train").names == ("img_align_celeba/000001.jpg", "img_align_celeba/000002.jpg")


def test_one_part_alone_is_that_part_of_all(faces):
    alone, whole = datasets.celeba(faces, split="valid"), datasets.celeba(faces).part("valid")
    assert torch.equal(alone.images, whole.images)
    assert torch.equal(alone.labels, whole.labels)
    assert (alone.names, alone.split) == (whole.names, whole.split)
    assert alone.floats.max() == alone.images.max() / 255


def test_faces_as_kaggle_and_as_the_owners_folders_have_them(faces, tmp_path_factory):
    """Witness: the same pictures and labels from three ways to ship them."""
    expected = datasets.celeba(faces)
    kaggle, owners = tmp_path_factory.mktemp("kaggle"), tmp_path_factory.mktemp("owners")
    write_faces(kaggle, "img_align_celeba/img_align_celeba")
    rows = [f"{name},{blond},{smiling}\n" for name, (blond, smiling, _) in FACES.items()]
    (kaggle / "list_attr_celeba.csv").write_text("".join(["image_id,Blond_Hair,Smiling\n", *rows]))
    rows = [f"{name},{part}\n" for name, (*_, part) in FACES.items()]
    (kaggle / "list_eval_partition.csv").write_text("".join(["image_id,partition\n", *rows]))
    write_faces(owners, "Img/img_align_celeba")
    write_lists(owners, attributes="Anno/list_attr_celeba.txt", partition="Eval/list_eval_partition.txt")
    for folder in (kaggle, owners):
        data = datasets.celeba(folder)
        assert torch.equal(data.images, expected.images)
        assert torch.equal(data.labels, expected.labels)
        assert data.split == expected.split


def replace(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("list_attr_celeba.txt", "5\n", "6\n", "must count the 5 pictures below, got '6'"),
        ("list_attr_celeba.txt", "000004.jpg -1", "000004.jpg  0", "must say 1 or -1 .*'000004.jpg'"),
        ("list_eval_partition.txt", "000005.jpg 2\n", "", "got 5 and 4; '000005.jpg' stands in one alone"),
        ("list_eval_partition.txt", "000005.jpg 2", "000005.jpg 3", "must say 0, 1 or 2 .*'000005.jpg'"),
        ("list_eval_partition.txt", "000005.jpg 2", "000005.jpg", "must say 0, 1 or 2 .*'000005.jpg'"),
    ],
)
def test_lists_that_do_not_fit_are_refused(faces, file, old, new, words):
    replace(faces / file, old, new)
    with pytest.raises(DataError, match=words):
        datasets.celeba(faces)


def test_what_is_asked_of_faces_is_checked(faces):
    with pytest.raises(ArgumentError, match="attribute must be among .*got 'Blonde_Hair'. Did you mean 'Blond_Hair'"):
        datasets.celeba(faces, "Blonde_Hair")
    with pytest.raises(ArgumentError, match="split must be one of 'test', 'train', 'valid' or None for all, got 'tes'"):
        datasets.celeba(faces, split="tes")
    with pytest.raises(ArgumentError, match="limit must be a whole number of at least 1"):
        datasets.celeba(faces, limit=0)
    with pytest.raises(ArgumentError, match="the part must be one of 'train', got 'test'"):
        datasets.celeba(faces, split="train").part("test")


@pytest.mark.parametrize("missing", ["list_attr_celeba.txt", "list_eval_partition.txt"])
def test_missing_lists_are_named(faces, missing):
    (faces / missing).unlink()
    with pytest.raises(DataError, match=f"must hold '{missing}' or "):
        datasets.celeba(faces)


def test_missing_faces_are_named(faces):
    (faces / "img_align_celeba" / "000003.jpg").unlink()
    with pytest.raises(DataError, match=r"000003.jpg' is listed and not there"):
        datasets.celeba(faces)
    assert len(datasets.celeba(faces, limit=2)) == 4


# -------------------------------------------------------------------------------------------------------- chexpert
HEADING = ["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *datasets.FINDINGS]


def chest_row(path, view="Frontal", **found):
    values = {"Path": path, "Sex": "Female", "Age": "68", "Frontal/Lateral": view, "AP/PA": "AP", **found}
    return ",".join(values.get(name, "") for name in HEADING)


@pytest.fixture
def chests(tmp_path):
    """40 patients with a frontal and a lateral view each, of which the first 8 are doubted; and two to test."""
    folder = tmp_path / "CheXpert-v1.0-small"
    rows = []
    for patient in range(1, 41):
        found = {"Cardiomegaly": "-1.0" if patient <= 8 else "1.0" if patient % 2 else "", "Edema": "0.0"}
        for view in ("frontal", "lateral"):
            name = f"train/patient{patient:05d}/study1/view1_{view}.jpg"
            write_picture(folder / name, (39, 32), (patient, patient, patient))
            rows.append(chest_row(f"{folder.name}/{name}", view.capitalize(), **found))
    (folder / "train.csv").write_text("\n".join([",".join(HEADING), *rows]) + "\n")
    rows = []
    for patient, value in [(64541, "1.0"), (64542, "0.0")]:
        name = f"valid/patient{patient}/study1/view1_frontal.jpg"
        write_picture(folder / name, (39, 32))
        rows.append(chest_row(f"{folder.name}/{name}", Cardiomegaly=value, Edema="1.0"))
    (folder / "valid.csv").write_text("\n".join([",".join(HEADING), *rows]) + "\n")
    return folder


def patients(data):
    return [name.split("/")[1] for name in data.names]


def test_radiographs_with_their_finding_and_part(chests):
    data = datasets.chexpert(chests)
    assert data.images.shape == (34, 1, 128, 128)
    assert data.part("test").labels.tolist() == [1, 0]
    assert data.part("test").names[0] == "valid/patient64541/study1/view1_frontal.jpg"
    for name, label, picture in zip(patients(data), data.labels.tolist(), data.images, strict=True):
        number = int(name.removeprefix("patient"))
        if number < 64541:
            assert label == number % 2
            assert picture.float().mean() == pytest.approx(number, abs=1)


@pytest.mark.parametrize(("policy", "labels"), [("ones", {1}), ("zeros", {0}), ("leave out", set())])
def test_what_reports_doubt(chests, policy, labels):
    data = datasets.chexpert(chests, uncertain=policy, size=8)
    doubted = [
        label for name, label in zip(patients(data), data.labels.tolist(), strict=True) if name <= "patient00008"
    ]
    assert set(doubted) == labels
    assert len(data) == 34 + len(doubted) == (34 if policy == "leave out" else 42)
    assert len(datasets.chexpert(chests, "Edema", uncertain="leave out", size=8)) == 42


def test_no_patient_is_in_two_parts_and_none_ever_moves(chests):
    both = datasets.chexpert(chests, uncertain="ones", view=None, held_out=0.3, size=8)
    parts = {name: set(patients(both.part(name))) for name in ("train", "valid", "test")}
    assert len(both) == 82
    assert sum(map(len, parts.values())) == len(set.union(*parts.values())) == 42
    assert 5 <= len(parts["valid"]) <= 20
    frontal = datasets.chexpert(chests, uncertain="ones", held_out=0.3, limit=3, size=8)
    assert all(set(patients(frontal.part(name))) <= parts[name] for name in parts)
    assert set(datasets.chexpert(chests, held_out=0.0, size=8).split) == {"train", "test"}


def test_views(chests):
    lateral = datasets.chexpert(chests, view="lateral", size=8)
    assert {name.rpartition("_")[2] for name in lateral.names} == {"lateral.jpg"}
    assert set(lateral.split) == {"train", "valid"}


def test_several_findings(chests):
    data = datasets.chexpert(chests, ["Edema", "Cardiomegaly"], size=8, split="test")
    assert (data.labels.tolist(), data.label_names) == ([[1, 1], [1, 0]], ("Edema", "Cardiomegaly"))


def test_what_is_asked_of_radiographs_is_checked(chests):
    with pytest.raises(ArgumentError, match="finding must be among .*got 'Cardiomegalia'. Did you mean 'Cardiomegaly'"):
        datasets.chexpert(chests, "Cardiomegalia")
    with pytest.raises(ArgumentError, match="finding must be among"):
        datasets.chexpert(chests, [])
    with pytest.raises(ArgumentError, match="held_out must be at least 0 and below 1, got 1.0"):
        datasets.chexpert(chests, held_out=1.0)


def test_damaged_lists_of_radiographs_are_refused(chests):
    replace(
        chests / "valid.csv",
        "64542/study1/view1_frontal.jpg,Female,68,Frontal,AP,,,0.0",
        "64542/a.jpg,,,Frontal,,,,2.0",
    )
    with pytest.raises(DataError, match="must be 1, 0, -1 or blank, got '2.0' for 'Cardiomegaly'"):
        datasets.chexpert(chests)
    replace(chests / "valid.csv", "valid/patient64541", "valid/p64541")
    with pytest.raises(DataError, match=r"a path must be like .*got 'CheXpert-v1.0-small/valid/p64541/"):
        datasets.chexpert(chests)
    replace(chests / "train.csv", "Cardiomegaly", "Cardiomegali")
    with pytest.raises(DataError, match="must have a column 'Cardiomegaly', .*Did you mean 'Cardiomegali'"):
        datasets.chexpert(chests)


# ------------------------------------------------------------------------------------------------------------ mall
def write_truth(path, counts, heads):
    """As in the owners' file: a column of counts, and a row of cells that each hold a struct with ``loc``."""
    frames = np.empty((1, len(heads)), dtype=object)
    for place, points in enumerate(heads):
        frames[0, place] = {"loc": points}
    savemat(path, {"count": np.array(counts, dtype=np.uint8)[:, None], "frame": frames})


@pytest.fixture
def frames(tmp_path):
    for place in range(6):
        write_picture(tmp_path / "frames" / f"seq_{place + 1:06d}.jpg", (640, 480), (40 * place, 0, 0))
    counts = [3, 1, 4, 0, 2, 6]
    write_truth(tmp_path / "mall_gt.mat", counts, [np.full((count, 2), 7.5) for count in counts])
    return tmp_path


def test_frames_with_their_counts(frames):
    data = datasets.mall(frames, train=4)
    assert (data.images.shape, data.labels.dtype) == ((6, 3, 64, 64), torch.float32)
    assert (data.labels.tolist(), data.label_names) == ([3, 1, 4, 0, 2, 6], ("count",))
    assert data.split == ("train",) * 4 + ("test",) * 2
    assert data.images[:, 0].float().mean((1, 2)).tolist() == pytest.approx([0, 40, 80, 120, 160, 200], abs=4)
    assert datasets.mall(frames).split == ("train",) * 6
    assert datasets.mall(frames, train=4, split="test", size=(48, 64), gray=True).images.shape == (2, 1, 48, 64)


def test_one_frame_alone(frames):
    for path in sorted((frames / "frames").iterdir())[1:]:
        path.unlink()
    write_truth(frames / "mall_gt.mat", [1], [np.full((1, 2), 7.5)])
    assert datasets.mall(frames).labels.tolist() == [1]


def test_frames_that_do_not_fit_are_refused(frames):
    (frames / "frames" / "seq_000006.jpg").unlink()
    with pytest.raises(DataError, match="must hold a frame for each of 6 counts, got 5"):
        datasets.mall(frames)
    write_picture(frames / "frames" / "seq_000007.jpg", (640, 480))
    with pytest.raises(DataError, match=r"seq_000006.jpg' is listed and not there"):
        datasets.mall(frames)


@pytest.mark.parametrize(
    ("counts", "heads", "words"),
    [
        ([3, 1, 4, 0, 2, 6], [3, 1, 4, 0, 2], "must hold heads for each of 6 counts, got 5"),
        ([3, 1, 4, 0, 2, 6], [3, 1, 5, 0, 2, 6], "counts 4 people in frame 3 and locates 5"),
    ],
)
def test_counts_must_be_those_of_the_heads(frames, counts, heads, words):
    write_truth(frames / "mall_gt.mat", counts, [np.zeros((count, 2)) for count in heads])
    with pytest.raises(DataError, match=words):
        datasets.mall(frames)


def test_other_truths_are_refused(frames):
    savemat(frames / "mall_gt.mat", {"number": np.ones(6)})
    with pytest.raises(DataError, match="must hold 'count' and 'frame'"):
        datasets.mall(frames)
    (frames / "mall_gt.mat").write_text("no matrix at all, whatever its name may say")
    with pytest.raises(DataError, match="cannot be read"):
        datasets.mall(frames)
