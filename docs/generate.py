"""Writes docs/reference from what the package itself says: `make docs`.

The commands come from the command line's own parser, the keys of YAML from the models that check
it, the fields of the Jobs API from the builder that fills them. A test holds that the pages are
what this writes, so they cannot be wrong.
"""

from __future__ import annotations

from pathlib import Path

from making.command_pages import cli_page
from making.model_pages import settings_page, yaml_page

FOLDER = Path(__file__).parent / "reference"
MADE = "<!-- made by `make docs` from the package itself; do not edit -->\n\n"


def pages() -> dict[str, str]:
    """Name to text of every page."""
    made = {"cli.md": cli_page(), "yaml.md": yaml_page(), "settings.md": settings_page()}
    return {name: MADE + text.rstrip("\n") + "\n" for name, text in made.items()}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, content in pages().items():
        (FOLDER / name).write_text(content, encoding="utf-8")
