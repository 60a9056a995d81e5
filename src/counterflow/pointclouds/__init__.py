"""Point clouds: PointFlow, a generative model of shapes made of a flow over latents and a flow over points."""

from counterflow.core.clouds import as_clouds, present_points
from counterflow.pointclouds._fit_pointflow import fit_pointflow
from counterflow.pointclouds._fit_prior import fit_prior
from counterflow.pointclouds.draws import draw_points
from counterflow.pointclouds.files import read_cloud, read_mesh
from counterflow.pointclouds.mesh import Mesh, sample_surface
from counterflow.pointclouds.model import PointFlow
from counterflow.pointclouds.point_flows import make_point_flow
from counterflow.pointclouds.settings import PointFlowSettings
from counterflow.pointclouds.voxels import surface_voxels, voxel_points

__all__ = [
    "Mesh",
    "PointFlow",
    "PointFlowSettings",
    "as_clouds",
    "draw_points",
    "fit_pointflow",
    "fit_prior",
    "make_point_flow",
    "present_points",
    "read_cloud",
    "read_mesh",
    "sample_surface",
    "surface_voxels",
    "voxel_points",
]
