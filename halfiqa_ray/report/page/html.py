"""What every page of ours has: one file that holds its style, its script and all that it shows, and fetches nothing.

Whatever comes from data is escaped by the template engine or stands in blocks of JSON, and is put into the page as
text. The page's Content-Security-Policy allows its own script, by its hash, and no request at all.
"""

from __future__ import annotations

import base64
import hashlib
import math
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from halfiqa_ray import __version__
from halfiqa_ray.report.names import printable

TEMPLATES = Path(__file__).parent / "templates"
SCRIPTS = ("scores.js", "gallery.js", "explorer.js", "page.js")


def templates() -> Environment:
    """The templates, with the style, the script and the policy that stand in every page."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    environment.filters["printable"] = printable
    script = "\n".join((TEMPLATES / name).read_text("utf-8") for name in SCRIPTS)
    environment.globals |= {
        "style": Markup((TEMPLATES / "page.css").read_text("utf-8")),  # noqa: S704 (our own files)
        "script": Markup(script),  # noqa: S704
        "policy": _policy(script),
        "version": __version__,
    }
    return environment


def small(value: float) -> str:
    """A small number with two significant digits and no exponent."""
    return f"{value:.{max(0, 1 - math.floor(math.log10(value)))}f}" if value else "0"


def _policy(script: str) -> str:
    """The page's Content-Security-Policy. Styles, which SVG figures are full of, can neither fetch nor run."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:; font-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
