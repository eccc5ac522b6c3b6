"""Sphinx configuration: `sphinx-build -W -b html docs docs/_build/html`."""

from __future__ import annotations

import atexit
import shutil
import sys
import tempfile
from importlib import metadata
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import inventory

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

# Links into the docs of requests and httpx.
_scratch = Path(tempfile.mkdtemp(prefix="aries-docs-"))
atexit.register(shutil.rmtree, _scratch, ignore_errors=True)
intersphinx_mapping = {
    "requests": (
        "https://requests.readthedocs.io/en/latest/",
        inventory.write(_scratch / "requests.inv", "requests", inventory.REQUESTS),
    ),
    "httpx": ("https://www.python-httpx.org/", inventory.write(_scratch / "httpx.inv", "httpx", inventory.HTTPX)),
}
