"""The pages of this folder as a site: `make docs`."""

project = "Callboard"
copyright = "the Callboard developers, Apache-2.0"
extensions = ["myst_parser"]
root_doc = "index"
exclude_patterns = ["errors.yaml"]
html_theme = "furo"
html_title = "Callboard"
html_show_sphinx = False
html_copy_source = False
myst_heading_anchors = 4
# Pages name one another by their place in the tree, which GitHub and an editor open too.
suppress_warnings = ["myst.header"]
