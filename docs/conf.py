"""How the documentation is built: `make docs` executes every page and takes warnings for errors."""

import os

import counterflow

os.environ["OMP_NUM_THREADS"] = "1"  # the executed pages inherit it
os.environ["TQDM_DISABLE"] = "1"
os.environ["PYTHONWARNINGS"] = "ignore:IProgress not found"  # tqdm would like widgets, which no page has

project = "counterflow"
author = "The counterflow developers"
project_copyright = "the counterflow developers"
version = release = counterflow.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax", "sphinx.ext.viewcode"]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = "counterflow"
html_static_path = []

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

# Every code cell runs on every build, and one that fails stops the build.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 180

# Shapes are part of the signatures, so the signatures show them.
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
maximum_signature_line_length = 100
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
# Sections of our docstrings that napoleon does not know by itself.
napoleon_custom_sections = [("Reference", "References")]
