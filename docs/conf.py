"""How Sphinx builds the site: `sphinx-build -W --keep-going -n docs build/site`."""

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = "convprop"
author = "convprop contributors"
copyright = "convprop contributors, MIT licence"
release = version = installed_version("convprop")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "command_line",
    "docstrings",
    "equations",
    "mathml",
    "public",
]
exclude_patterns = ["_extensions"]
highlight_language = "none"
smartquotes = False  # "NCHW" is code

# MyST: dollars for mathematics, and links to a page's own headings.
myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

# Nothing outside this site is looked up, so that it is built without a network.
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_preserve_defaults = True

html_theme = "furo"
html_title = "convprop"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
html_copy_source = False
html_show_sphinx = False
html_theme_options = {
    "light_css_variables": {
        "color-brand-primary": "#226841",
        "color-brand-content": "#226841",
        "color-brand-visited": "#4d6a22",
    },
    "dark_css_variables": {
        "color-brand-primary": "#7fc99c",
        "color-brand-content": "#7fc99c",
        "color-brand-visited": "#b3c97f",
    },
}
pygments_style = "tango"
pygments_dark_style = "github-dark"
