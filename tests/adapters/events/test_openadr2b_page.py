"""The example of the page is a document that is read."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from ebplan.adapters.events.openadr2b.measures import POINTS
from ebplan.adapters.events.openadr2b.spec import OpenAdr2bSpec

DOCS = Path(__file__).parents[3] / "docs"
PART = "".join(page.read_text() for page in sorted(DOCS.glob("events*.md"))).split(
    "## OpenADR 2.0b"
)[1]


def test_the_example_is_a_spec() -> None:
    (example, *_) = re.findall(r"```toml\n(.*?)```", PART, re.DOTALL)
    read = OpenAdr2bSpec.parse(tomllib.loads(example))
    assert read.programmes["http://vtn.example/dr"].delta_is == "reduction"


def test_every_point_that_is_offered_is_on_the_page() -> None:
    for point, described in POINTS.items():
        assert re.search(rf"`{point}`.* \| {described.report_type} \|", PART)
