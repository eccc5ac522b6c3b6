"""Sphinx configuration: `sphinx-build -W -n -b html docs docs/_build/html`."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from importlib import metadata
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import inventory

project = "aries-auth"
author = project_copyright = "the aries-auth contributors"
description = (
    "OAuth 2.0 for the Aries API in requests and httpx: log in once, and the token stays fresh and is never lost."
)
release = version = metadata.version("aries-auth")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.intersphinx",
    "sphinx.ext.napoleon",
    "sphinx_click",
    "sphinx_copybutton",
    "sphinx_design",
    "sitekit",
]
exclude_patterns = ["_build", "checks", "examples", "pictures"]
nitpick_ignore_regex = inventory.NOWHERE

html_theme = "furo"
html_title = f"aries-auth {release}"
html_baseurl = os.environ.get("READTHEDOCS_CANONICAL_URL", "https://aries-auth.readthedocs.io/en/latest/")
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_last_updated_fmt = "%Y-%m-%d"  # the build's date; a page that git knows has its own
html_theme_options = {
    "source_repository": "https://github.com/aries-auth/aries-auth/",
    "source_branch": "main",
    "source_directory": "docs/",
    "top_of_page_buttons": ["view", "edit"],
    "light_css_variables": {
        "color-brand-primary": "#0a4fb4",
        "color-brand-content": "#0a4fb4",
        "color-foreground-muted": "#565a61",
        "color-api-name": "#0a4fb4",
        "color-api-pre-name": "#0a4fb4",
    },
    "dark_css_variables": {
        "color-brand-primary": "#8ab8ff",
        "color-brand-content": "#8ab8ff",
        "color-foreground-muted": "#a7adb5",
        "color-api-name": "#8ab8ff",
        "color-api-pre-name": "#8ab8ff",
    },
}
copybutton_prompt_text = r"\$ "
copybutton_prompt_is_regexp = True

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 120
nb_merge_streams = True

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_type_aliases = {"ClientSecret": "ClientSecret"}
python_maximum_signature_line_length = 60
napoleon_google_docstring = True
napoleon_use_ivar = True

# Links into the docs of others, without a network.
_scratch = Path(tempfile.mkdtemp(prefix="aries-docs-"))
atexit.register(shutil.rmtree, _scratch, ignore_errors=True)
intersphinx_mapping = {
    name: (base, inventory.write(_scratch / f"{name}.inv", name, places))
    for name, base, places in (
        ("python", "https://docs.python.org/3/", inventory.PYTHON),
        ("requests", "https://requests.readthedocs.io/en/latest/", inventory.REQUESTS),
        ("httpx", "https://www.python-httpx.org/", inventory.HTTPX),
        ("sqlalchemy", "https://docs.sqlalchemy.org/en/20/", inventory.SQLALCHEMY),
    )
}
