"""Sphinx configuration: `sphinx-build -W -b html docs docs/_build/html`."""

from __future__ import annotations

import os
from importlib import metadata

project = "aries-auth"
author = "the aries-auth contributors"
release = version = metadata.version("aries-auth")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.intersphinx",
    "sphinx.ext.napoleon",
    "sphinx_click",
    "sphinx_copybutton",
]
exclude_patterns = ["_build", "examples"]
html_theme = "furo"
html_title = "aries-auth"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 120
nb_merge_streams = True

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_type_aliases = {"ClientSecret": "ClientSecret"}
napoleon_google_docstring = True
napoleon_use_ivar = True

# Links into the docs of Python and requests (httpx has no inventory). Their inventories are fetched at build time, so a
# build without the network goes without the links.
if os.environ.get("ARIES_DOCS_ONLINE"):
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "requests": ("https://requests.readthedocs.io/en/latest", None),
    }
