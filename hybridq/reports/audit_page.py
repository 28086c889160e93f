"""One self-contained HTML page about what an audit found, with the pairs of pictures that it is about."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from hybridq.data.audit import Audit, Finding, Inspected, Loaded
from hybridq.data.decoding import Unreadable
from hybridq.data.images.images import map_images
from hybridq.data.pixels import Pixels
from hybridq.figures.style import theme_css
from hybridq.files import write_text

LARGEST: Final = 128
"""Side in pixels to which pictures are reduced."""


@dataclass(frozen=True)
class Picture:
    """An image of the data set; ``data`` is a PNG as a data URI, or "" where it cannot be read."""

    id: str
    data: str
    about: str
    """Split and class."""


@dataclass(frozen=True)
class Shown:
    """A finding with its pictures: rows of one or two, and what connects them."""

    finding: Finding
    rows: list[tuple[list[Picture], str]]


def write_audit_page(path: Path, found: Audit, seen: Inspected, loaded: Loaded | None) -> None:
    """Write the page about ``found`` to ``path``, whole.

    ``seen`` gives the pictures; ``loaded`` says how the data are trained on, None where there is no such difference.
    """
    pictures = _pictures(found, seen)
    shown = [
        Shown(
            finding,
            [
                ([pictures[name] for name in (example.first, example.second) if name], example.what)
                for example in finding.examples
            ],
        )
        for finding in found.findings
    ]
    environment = Environment(
        loader=PackageLoader("hybridq.reports", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.get_template("audit.html.j2").render(
        found=found,
        shown=shown,
        loaded=loaded,
        theme=Markup(theme_css()),
    )
    write_text(path, text)


def _pictures(found: Audit, seen: Inspected) -> dict[str, Picture]:
    """The pictures that the examples name, by id; each is decoded once."""
    wanted = {name for finding in found.findings for e in finding.examples for name in (e.first, e.second) if name}
    table = seen.manifest.table
    rows = table[table["id"].isin(wanted)]
    classes = seen.manifest.classes
    images = map_images(seen.manifest, _data_uri, rows=rows, errors="yield")
    pictures = {}
    for name, split, label, data in zip(rows["id"], rows["split"], rows["label"], images, strict=True):
        title = classes[label] if classes and label >= 0 else ""
        about = ", ".join(part for part in (split or "no split", title) if part)
        pictures[name] = Picture(name, "" if isinstance(data, Unreadable) else data, about)
    return pictures


def _data_uri(pixels: Pixels) -> str:
    if pixels.dtype == np.uint16:
        low, high = int(pixels.min()), int(pixels.max())
        pixels = np.rint((pixels - float(low)) * (255 / max(high - low, 1))).astype(np.uint8)
    image = Image.fromarray(pixels)
    image.thumbnail((LARGEST, LARGEST))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
