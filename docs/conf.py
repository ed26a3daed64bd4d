"""Sphinx's settings for the site: `make docs` builds it. Nothing in it comes from the network."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE / "_ext"), str(HERE.parent)]

from diar_ops import __version__  # noqa: E402 - the checkout, not what may be installed

project = "diar_ops"
author = "The diar_ops contributors"
release = version = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton", "mathml", "room"]
exclude_patterns = ["_ext", "figures"]

# The pages are read on the code host, too: its anchors of headings, and plain Markdown wherever that will do.
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]

autodoc_typehints = "none"  # the docstrings state types, with their shapes
autodoc_preserve_defaults = True
napoleon_use_ivar = True
napoleon_use_rtype = False
napoleon_custom_sections = [("Source", "notes_style")]
add_module_names = False
toc_object_entries_show_parents = "hide"

nitpicky = True  # a reference that leads nowhere is a warning, and a warning is an error
nitpick_ignore_regex = [("py:class", r".*"), (r"py:.*", r"(torch|math)\..*")]

html_theme = "furo"
html_title = "diar_ops"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
html_copy_source = False
html_show_copyright = False
html_show_sourcelink = False
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
