"""Build the site: ``python -m docs.website``; ``--serve`` shows it on loopback afterwards."""

from __future__ import annotations

import argparse
import functools
import http.server
import logging
import os
import shutil
import sys
from pathlib import Path

import yaml

from docs.website.formulas import draw_formulas
from docs.website.navigation import filled, forgotten
from docs.website.places import ROOT
from docs.website.stage import stage

SITE = ROOT / "build" / "site"


def build(site: Path, *, outputs: bool = True) -> None:
    """Write the site to ``site``; what it is made from lies beside it, in ``NAME-pages``.

    Args:
        site: the folder.
        outputs: run the notebooks, so that their pages show what comes out.

    Raises:
        DeadLinkError: a page leads nowhere.
        FormulaError: a formula cannot be drawn.
        mkdocs.exceptions.Abort: anything that mkdocs warns of.
    """
    # mkdocs 2 is another program; pyproject.toml keeps it away
    os.environ.setdefault("NO_MKDOCS_2_WARNING", "1")
    from mkdocs.commands.build import build as render
    from mkdocs.config import load_config

    pages = site.parent / f"{site.name}-pages"
    stage(pages / "pages", outputs=outputs)
    shutil.rmtree(site, ignore_errors=True)
    written = load_config(str(ROOT / "mkdocs.yml"))
    nav = filled(written.nav, pages / "pages")
    left = forgotten(nav, pages / "pages")
    if left:
        nav.append({"More": left})
    settings = {
        "INHERIT": str(ROOT / "mkdocs.yml"),
        "docs_dir": str(pages / "pages"),
        "site_dir": str(site),
        "nav": nav,
    }
    (pages / "mkdocs.yml").write_text(yaml.safe_dump(settings, allow_unicode=True), "utf-8")
    config = load_config(str(pages / "mkdocs.yml"), strict=True)
    config.plugins.on_startup(command="build", dirty=False)
    try:
        render(config)
    finally:
        config.plugins.on_shutdown()
    for page in site.rglob("*.html"):
        page.write_text(draw_formulas(page.read_text("utf-8")), "utf-8")


def serve(site: Path, port: int) -> None:
    """Show the site on loopback until it is interrupted."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        print(f"http://127.0.0.1:{server.server_port}/")
        server.serve_forever()


def main() -> None:
    """Build the site, and show it if asked to."""
    parser = argparse.ArgumentParser(prog="python -m docs.website", description=__doc__)
    parser.add_argument("--out", type=Path, default=SITE, help="where the site is written")
    parser.add_argument("--serve", type=int, metavar="PORT", help="show it on 127.0.0.1:PORT")
    parser.add_argument("--no-outputs", action="store_true", help="do not run the notebooks")
    told = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    build(told.out.resolve(), outputs=not told.no_outputs)
    print(told.out / "index.html", file=sys.stderr)
    if told.serve is not None:
        serve(told.out, told.serve)


if __name__ == "__main__":
    main()
