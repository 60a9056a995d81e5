"""Files of clouds and meshes: written by hand, byte by byte, and damaged in every way that has a sentence."""

import struct

import numpy as np
import pytest
import torch

from counterflow.core.errors import DataError
from counterflow.pointclouds import Mesh, read_cloud, read_mesh, sample_surface

CORNERS = [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 2.0, 0.0], [0.0, 2.0, 0.5]]
OFF = "OFF\n4 2 0\n0 0 0\n1 0 0\n1 2 0\n0 2 .5\n3 0 1 2\n3 0 2 3\n"
PLY = """ply
format {order} 1.0
comment made by hand
element vertex 4
property double x
property float y
property uchar red
property float z
element face 1
property list uchar int vertex_indices
property short material
element edge 1
property int vertex1
end_header
"""


def ply(order):
    """A square with colors, a material and an edge, in one of the three forms."""
    head = PLY.format(order=order).encode()
    if order == "ascii":
        rows = [f"{x} {y} {200 + k} {z}\n" for k, (x, y, z) in enumerate(CORNERS)]
        return head + "".join([*rows, "4 0 1 2 3 -7\n", "2\n"]).encode()
    mark = "<" if "little" in order else ">"
    rows = [struct.pack(mark + "dfBf", x, y, 200 + k, z) for k, (x, y, z) in enumerate(CORNERS)]
    return head + b"".join([*rows, struct.pack(mark + "B4ih", 4, 0, 1, 2, 3, -7), struct.pack(mark + "i", 2)])


def counted(order, count):
    """A point and a face whose list has a count in floating point."""
    head = f"ply\nformat {order} 1.0\nelement vertex 1\n" + "".join(f"property float {axis}\n" for axis in "xyz")
    head += "element face 1\nproperty list float uchar vertex_indices\nend_header\n"
    body = f"0 0 0\n{count} 0 1 2\n".encode()
    return head.encode() + (body if order == "ascii" else struct.pack("<4f3B", 0, 0, 0, float(count), 0, 1, 2))


def npy(header):
    """A file of numpy's with a header by hand, and no numbers."""
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode()


HUGE = f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({10**15}, 3)}}\n"


def write(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("order", ["ascii", "binary_little_endian", "binary_big_endian"])
def test_ply_files_of_all_forms(tmp_path, order):
    mesh = read_mesh(write(tmp_path, "a.ply", ply(order)))
    assert mesh.vertices.tolist() == CORNERS
    assert mesh.faces.tolist() == [[0, 1, 2], [0, 2, 3]]
    assert read_cloud(tmp_path / "a.ply").tolist() == CORNERS


@pytest.mark.parametrize("order", ["ascii", "binary_little_endian"])
def test_points_that_bring_lists(tmp_path, order):
    head = f"ply\nformat {order} 1.0\nelement vertex 2\nproperty list uchar short near\n"
    head += "".join(f"property float {axis}\n" for axis in "xyz") + "end_header\n"
    text = b"1 7 1 2 3\n0 4 5 6\n"
    body = text if order == "ascii" else struct.pack("<Bh3f", 1, 7, 1, 2, 3) + struct.pack("<B3f", 0, 4, 5, 6)
    assert read_cloud(write(tmp_path, "a.ply", head.encode() + body)).tolist() == [[1, 2, 3], [4, 5, 6]]


def test_windows_line_ends_and_large_binary_tables(tmp_path):
    points = np.random.default_rng(0).normal(size=(5000, 3)).astype("<f4")
    head = "ply\nformat binary_little_endian 1.0\nelement vertex 5000\n" + "".join(
        f"property float {axis}\n" for axis in "xyz"
    )
    path = write(tmp_path, "a.ply", (head + "end_header\n").encode() + points.tobytes())
    assert torch.equal(read_cloud(path), torch.as_tensor(points))
    assert read_mesh(path).faces.shape == (0, 3)
    path = write(tmp_path, "b.ply", ply("ascii").replace(b"\n", b"\r\n"))
    assert read_mesh(path).vertices.tolist() == CORNERS


@pytest.mark.parametrize(
    "text",
    [
        OFF,
        OFF.replace("OFF\n4 2 0", "OFF4 2 0"),
        OFF.replace("OFF\n4 2 0", "# a comment\n\nOFF # more\n4 2 0"),
        OFF.replace("OFF", "COFF").replace("1 0 0\n", "1 0 0 255 0 0 255\n"),
        OFF.replace("3 0 1 2\n3 0 2 3", "4 0 1 2 3 0.5 0.5 0.5").replace("4 2 0", "4 1 0"),
        OFF.replace("\n", "\r\n"),
    ],
)
def test_off_files_of_all_forms(tmp_path, text):
    mesh = read_mesh(write(tmp_path, "a.OFF", text))
    assert mesh.vertices.tolist() == CORNERS
    assert mesh.faces.tolist() == [[0, 1, 2], [0, 2, 3]]


def test_arrays(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(6).reshape(3, 2))
    assert read_cloud(tmp_path / "a.npy").tolist() == [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]


@pytest.mark.parametrize("kind", [">f8", "<f8", ">f4", "f2", "g", ">i4", "u1"])
def test_arrays_of_any_type_of_numbers_keep_their_digits(tmp_path, kind):
    """Witness: numpy's own numbers, one by one."""
    values = np.array([[4649776.224, 7], [250, -3]]).clip(0, 60000 if kind == "f2" else 255 if kind == "u1" else None)
    np.save(tmp_path / "a.npy", values.astype(kind))
    assert read_cloud(tmp_path / "a.npy").double().tolist() == values.astype(kind).astype(float).tolist()


@pytest.mark.parametrize("order", ["ascii", "binary_big_endian"])
def test_doubles_of_ply_files_keep_their_digits(tmp_path, order):
    x = 4649776.224
    content = ply(order).replace(*([b"0.0 0.0 200", f"{x} 0.0 200".encode()] if order == "ascii" else
        [struct.pack(">dfB", 0, 0, 200), struct.pack(">dfB", x, 0, 200)]))  # fmt: skip
    assert read_cloud(write(tmp_path, "a.ply", content))[0].tolist() == [x, 0.0, 0.0]
    content = ply("ascii").replace(b"double", b"float")
    assert read_cloud(write(tmp_path, "b.ply", content)).dtype == torch.float32


def test_an_archive_is_no_array(tmp_path):
    np.savez(tmp_path / "a.npz", points=np.zeros((5, 3)))
    (tmp_path / "a.npz").rename(tmp_path / "a.npy")
    with pytest.raises(DataError, match="must hold an array of numbers, got a file that cannot be read"):
        read_cloud(tmp_path / "a.npy")


def test_points_lie_evenly_on_the_surface():
    """Witness: two triangles of areas 1 and 3, and the mean of points that are even on a triangle."""
    vertices = torch.tensor([[0.0, 0, 0], [2, 0, 0], [0, 1, 0], [0, 0, 5], [6, 0, 5], [0, 1, 5], [9, 9, 9]])
    mesh = Mesh(vertices, torch.tensor([[0, 1, 2], [3, 4, 5], [6, 6, 6]]))
    points = sample_surface(mesh, 40_000, generator=torch.Generator().manual_seed(0))
    upper = points[:, 2] > 2
    assert upper.double().mean().item() == pytest.approx(0.75, abs=0.01)
    assert torch.allclose(points[upper].mean(0), vertices[3:6].mean(0), atol=0.02)
    assert torch.allclose(points[upper, :2].T.cov(), torch.tensor([[2.0, -1 / 6], [-1 / 6, 1 / 18]]), atol=0.03)


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("a.off", "PLY\n", r"line 1, must hold 'OFF', the head of such files, got 'PLY'"),
        ("a.off", "OFF\n4 two 0\n", r"line 2, must hold the numbers of points and of faces, got '4 two 0'"),
        ("a.off", "OFF\n2 0 0\n0 0 0\n", r"must go on with point 1 of 2, three numbers, got its end after line 3"),
        ("a.off", "OFF\n1 0 0\n0 0\n", r"line 3, must hold point 0 of 1, three numbers, got '0 0'"),
        ("a.off", "OFF\n1 0 0\n0 0 zero\n", r"line 3, must hold point 0 of 1, three numbers, got '0 0 zero'"),
        ("a.off", OFF.replace("3 0 1 2", "3 0 1 4"), r"line 7, must hold a number n of at least 3 and n corners"),
        ("a.off", OFF.replace("3 0 1 2", "2 0 1"), r"line 7, must hold a number n of at least 3"),
        ("a.off", OFF.replace("3 0 1 2", "nan 0 1 2"), r"line 7, must hold a number n of at least 3"),
        ("a.off", OFF.replace("3 0 1 2", "3 0 inf 2"), r"line 7, must hold a number n of at least 3"),
        ("a.off", OFF.replace("1 2 0", "1 nan 0"), r"must hold finite points, got \[1.0, nan, 0.0\] as point 2"),
        ("a.off", "OFF\n0 0 0\n", r"must hold at least one point, got none"),
        ("a.off", b"OFF BINARY\n\x00\x00", r"must be an OFF file of text, got a binary one"),
        ("a.off", "", r"must go on with 'OFF', got its end"),
        ("a.ply", OFF, r"must begin with 'ply', got b'OFF"),
        ("a.ply", b"ply\nformat ascii 1.0\n", r"must have a line 'end_header'"),
        ("a.ply", ply("ascii").replace(b"1.0", b"2.0"), r"line 2, must be a format 1.0"),
        ("a.ply", ply("ascii").replace(b"double x", b"real x"), r"line 5, must be .* got 'property real x'"),
        ("a.ply", ply("ascii").replace(b"float y", b"float v"), r"an element 'vertex' with properties x, y and z"),
        ("a.ply", ply("ascii")[:-16], r"got its end after|must hold the"),
        ("a.ply", ply("ascii").replace(b"200", b"red"), r"line 15, must hold the 4 properties of a vertex, got"),
        ("a.ply", ply("ascii").replace(b"4 0 1", b"9 0 1"), r"line 19, must hold the 2 properties of a face"),
        (
            "a.ply",
            ply("ascii").replace(b"4 0 1", b"4 0 8"),
            r"faces of corners from 0 to 3, all whole, got \[0.0, 8.0, 2.0, 3.0\]",
        ),
        ("a.ply", ply("ascii").replace(b"4 0 1", b"nan 0 1"), r"line 19, must hold the 2 properties of a face"),
        (
            "a.ply",
            ply("ascii").replace(b"4 0 1", b"4 0 inf"),
            r"faces of corners from 0 to 3, all whole, got \[0.0, inf",
        ),
        ("a.ply", ply("binary_little_endian")[:-12], r"must hold 1 of 'face', got its end after 0"),
        ("a.ply", ply("binary_big_endian")[:-40], r"must hold 4 of 'vertex', got its end after 3"),
        ("a.off", OFF.replace("4 2 0", "\u00b2 2 0"), r"line 2, must hold the numbers of points and of faces"),
        ("a.off", OFF.replace("4 2 0", "9" * 5000 + " 2 0"), r"line 2, must hold the numbers of points and of faces"),
        ("a.off", OFF.replace("3 0 1 2", "3 0 1 1.5"), r"line 7, must hold .* all of them whole, got '3 0 1 1.5'"),
        ("a.off", OFF.replace("3 0 1 2", "3.5 0 1 2"), r"line 7, must hold .* all of them whole, got '3.5 0 1 2'"),
        ("a.ply", ply("ascii").replace(b"4 0 1", b"4 0 1.5"), r"all whole, got \[0.0, 1.5, 2.0, 3.0\]"),
        (
            "a.ply",
            ply("ascii").replace(b"float y", b"float x"),
            r"line 6, .* a name of its own, got 'property float x'",
        ),
        ("a.ply", ply("ascii").replace(b"edge 1", b"vertex 1"), r"line 12, .* a name of its own, got 'element vertex"),
        ("a.ply", counted("ascii", "inf"), r"line 11, must hold the 1 properties of a face, got 'inf 0 1 2'"),
        ("a.ply", counted("ascii", "2.5"), r"line 11, must hold the 1 properties of a face, got '2.5 0 1 2'"),
        ("a.ply", counted("binary_little_endian", "inf"), r"must hold 1 of 'face', got a list of inf numbers after 0"),
        ("a.ply", counted("binary_little_endian", "2.5"), r"must hold 1 of 'face', got a list of 2.5 numbers after 0"),
        ("a.ply", counted("binary_little_endian", "1e30"), r"must hold 1 of 'face', got its end after 0"),
        ("a.npy", npy("{'descr': '<f8', 'fortran_order': False, 'shape': (9, 3"), r"must hold an array of numbers"),
        ("a.npy", npy(HUGE), r"must hold an array of numbers"),
        ("a.stl", "solid", r"must be a file .off or .ply, got '.stl'"),
        ("a.npy", "not an array", r"must hold an array of numbers"),
        ("a.npy", "", r"must hold an array of numbers"),
    ],
)
def test_damaged_files_say_where(tmp_path, name, content, match):
    with pytest.raises(DataError, match=match):
        read_cloud(write(tmp_path, name, content))


@pytest.mark.parametrize(
    ("values", "match"),
    [
        (np.zeros(3), r"numbers of shape \(points, dimensions\)"),
        (np.zeros((0, 3)), r"numbers of shape"),
        (np.array([["a", "b"]]), r"numbers of shape"),
        (np.array([[1.0, np.nan]]), r"finite points"),
        (np.array([[None, 1]], dtype=object), r"must hold an array of numbers"),  # it would have to be unpickled
    ],
)
def test_arrays_that_are_no_clouds(tmp_path, values, match):
    np.save(tmp_path / "a.npy", values, allow_pickle=True)
    with pytest.raises(DataError, match=match):
        read_cloud(tmp_path / "a.npy")


def test_missing_files_and_flat_meshes(tmp_path):
    with pytest.raises(DataError, match="must be a file that can be read: No such file"):
        read_cloud(tmp_path / "nowhere.npy")
    with pytest.raises(DataError, match="triangles with an area, got 1 of which none"):
        sample_surface(Mesh(torch.zeros(3, 3), torch.tensor([[0, 1, 2]])))
    with pytest.raises(DataError, match="triangles with an area, got 0"):
        sample_surface(Mesh(torch.zeros(3, 3), torch.zeros(0, 3, dtype=torch.long)))
