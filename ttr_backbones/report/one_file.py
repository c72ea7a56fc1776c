"""An HTML page in one file, which opens from disk, needs no network and asks for none.

Style and script are inlined and are the only ones that the page's policy lets run (by their
hashes); nothing can be loaded.
"""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from string import Template
from typing import Any

_PARTS = Path(__file__).with_name("page")


def page_part(name: str) -> str:
    """Read a file of the report's page: colours.css and base.js serve other pages too."""
    return (_PARTS / name).read_text(encoding="utf-8")


def one_file(template: str, *, style: str, script: str, data: Any, **fields: str) -> str:
    """Fill a template.

    Args:
        template: HTML with `$policy`, `$style`, `$script`, `$data` and the names of `fields`.
        style: CSS.
        script: JavaScript; it reads `data` from the element of that id.
        data: plain data for JSON.
        fields: HTML, escaped where it has to be.
    """
    return Template(template).substitute(
        policy=(
            f"default-src 'none'; img-src data:; style-src '{_digest(style)}'; "
            f"script-src '{_digest(script)}'; base-uri 'none'; form-action 'none'"
        ),
        style=style,
        script=script,
        # A "</script>" in a file name must not end the element.
        data=json.dumps(data, separators=(",", ":")).replace("<", "\\u003c"),
        **fields,
    )


def _digest(text: str) -> str:
    """Hash of an inline element, as a Content-Security-Policy names it."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
