"""The book of the course, for Sphinx. Do not call sphinx-build: `python3 tutorial.py site` gathers the pages.

Where a page comes from, and what a page of a book says otherwise than a file of the repository, stands in
`unet_helpers/classroom/site.py` and `site_pages.py`. The lessons are shown as they were executed, never run.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from unet_helpers.classroom import site_pages  # noqa: E402
from unet_helpers.classroom.address import address_of  # noqa: E402

address = address_of(ROOT)

project = "Find the stone"
author = ""
project_copyright = ""
language = "en"
root_doc = "index"
extensions = ["myst_nb", "sphinx_copybutton"]

# --------------------------------------------------------------------------- lessons, as they were executed
nb_execution_mode = "off"
nb_merge_streams = True
nb_ipywidgets_js: dict[str, dict[str, str]] = {}  # pages ask nobody for a script
nb_number_source_lines = False
myst_enable_extensions: list[str] = []
myst_heading_anchors = 3
copybutton_selector = "div.cell_input pre, div.highlight-default pre, div.highlight-python pre"
pygments_style = "a11y-high-contrast-light"

# -------------------------------------------------------------------------------------------------- the look
html_theme = "sphinx_book_theme"
html_title = "Find the stone"
html_logo = "_static/stone.svg"
html_favicon = "_static/stone.svg"
html_static_path = ["_static"]
html_css_files = ["book.css"]
html_js_files = ["book.js"]
html_show_sphinx = False
html_use_index = False
html_copy_source = True
html_context = {"default_mode": "auto"}
html_theme_options = {
    "logo": {"text": "Find the stone", "alt_text": ""},
    "home_page_in_toc": False,
    "show_navbar_depth": 1,
    "max_navbar_depth": 1,
    "show_toc_level": 2,
    "toc_title": "On this page",
    "search_bar_text": "Search the course",
    "footer_content_items": ["extra-footer.html"],
    "extra_footer": "Teaching material, not for clinical use. The patients in the pictures were computed.",
    "navbar_persistent": [],
    "use_fullscreen_button": False,
    **site_pages.theme_options(address),
}


def setup(app):
    """What a page says otherwise than its file, and words for each picture."""
    site_pages.connect(app, address)
