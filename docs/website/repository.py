"""Pages that show a file or a folder of the repository, for links that leave ``docs/``."""

from __future__ import annotations

import ast
from pathlib import Path

from docs.website.places import ROOT, place

LANGUAGES = {".py": "python", ".json": "json", ".toml": "toml", ".mjs": "js", ".js": "js"}
UNSEARCHED = "---\nsearch:\n  exclude: true\n---\n\n"
SHOWN = (*LANGUAGES, ".csv", ".cfg", ".service", ".html", ".css", ".md", "")


def file_page(target: str) -> str:
    """Return the page of a text file."""
    path = ROOT / target
    language = LANGUAGES.get(path.suffix, "text")
    body = path.read_text("utf-8").rstrip()
    return f"{UNSEARCHED}# {path.name}\n\n`{target}`\n\n~~~~ {language}\n{body}\n~~~~\n"


def folder_page(target: str) -> str:
    """Return the page of a folder: its files, with the first sentence of each module."""
    path = ROOT / target
    rows = [f"{UNSEARCHED}# {target}\n\n| file | what is in it |\n| :-- | :-- |"]
    for one in sorted(path.iterdir()):
        if one.name.startswith((".", "__")) or one.suffix == ".pyc":
            continue
        if one.is_dir() or one.suffix in SHOWN:
            rows.append(f"| `{one.name}{'/' if one.is_dir() else ''}` | {summary(one)} |")
    said = summary(path)
    return "\n".join([rows[0].replace("\n\n", f"\n\n{said}\n\n", 1), *rows[1:]]) + "\n"


def summary(path: Path) -> str:
    """Return the first line of a module's or package's docstring; empty where there is none."""
    module = path / "__init__.py" if path.is_dir() else path
    if module.suffix != ".py" or not module.exists():
        return ""
    said = ast.get_docstring(ast.parse(module.read_text("utf-8"))) or ""
    first = said.partition("\n\n")[0].replace("\n", " ").replace("``", "`")
    return first.replace("|", "\\|")


def write_page(target: str, into: Path) -> None:
    """Write the page of a file or folder to its place below ``into``."""
    page = into / place(target)
    page.parent.mkdir(parents=True, exist_ok=True)
    text = folder_page(target) if (ROOT / target).is_dir() else file_page(target)
    page.write_text(text, "utf-8")
