"""The reference, made from the code: public names, commands, documents."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import click

import ebplan
from ebplan.cli import SCHEMAS, main

GROUPS = {
    "Plan": ("Planner", "load_case", "load_site", "solve_problem", "check_plan"),
    "Cases and problems": ("Case", "Problem"),
    "Errors": ("EbplanError", "InputError", "NoPlanError"),
}
"""The public names, in the order in which one meets them."""
DOCUMENTS = ("Event", "Site", "State", "Plan")
"""Public names that stand on the page of the documents, with their parts."""
PARTS = {
    "The parts of an event": ("ebplan.event", "ebplan.frequency"),
    "The parts of a site": ("ebplan.site",),
    "The parts of a state": ("ebplan.state",),
    "The parts of a plan": ("ebplan.plan",),
}
OPTIONS = """    options:
      heading_level: {level}
      show_root_heading: true
      show_root_full_path: false
"""


MODULE_OPTIONS = """    options:
      heading_level: 3
      show_root_heading: false
      show_root_toc_entry: false
"""


def write_reference(into: Path) -> None:
    """Write the pages of the reference below ``into``."""
    into.mkdir(parents=True, exist_ok=True)
    (into / "python.md").write_text(python_page(), "utf-8")
    (into / "commands.md").write_text(commands_page(), "utf-8")
    (into / "documents.md").write_text(documents_page(), "utf-8")


def python_page() -> str:
    """Return the page of the public names, for mkdocstrings to fill."""
    named = {name for names in (*GROUPS.values(), DOCUMENTS) for name in names}
    missing = set(ebplan.__all__) ^ named
    if missing:
        raise LookupError(f"the reference and ebplan.__all__ differ by {sorted(missing)}")
    parts = [
        "# Python\n\nWhat `import ebplan` offers; all below these names may change. Units stand in "
        "the names: `_kw`, `_kwh`, `_s`, `_jpy`; `grid_kw > 0` is drawn, `battery_kw > 0` is "
        "discharge, a target `< 0` releases. `Event`, `Site`, `State` and `Plan` have fields of "
        "their own kinds and stand under [documents](documents.md).\n"
    ]
    for title, names in GROUPS.items():
        parts.append(f"## {title}\n")
        for name in names:
            home = f"ebplan.{ebplan._HOME[name]}"
            parts.append(f"::: {home}.{name}\n{OPTIONS.format(level=3)}")
    return "\n".join(parts)


def commands_page() -> str:
    """Return the page of the commands: what ``--help`` of each prints."""
    parts = ["# Commands\n\nWhat `ebplan COMMAND --help` prints.\n"]
    parts += _helped(main, click.Context(main, info_name="ebplan"), 2)
    return "\n".join(parts)


def _helped(command: click.Command, context: click.Context, level: int) -> list[str]:
    context.max_content_width = context.terminal_width = 100
    told = [f"{'#' * level} {context.command_path}\n\n```text\n{command.get_help(context)}\n```\n"]
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None and not below.hidden:
                inner = click.Context(below, info_name=name, parent=context)
                told += _helped(below, inner, min(level + 1, 4))
    return told


def documents_page() -> str:
    """Return the page of the documents: each kind, and the fields of the five everyone meets."""
    rows = [
        "# Documents\n\nEvery file that ebplan reads or writes is one of these: frozen, versioned, "
        "refusing what it does not know. `ebplan schema KIND` prints the JSON Schema.\n",
        "| kind | what it is |\n| :-- | :-- |",
    ]
    for kind, home in sorted(SCHEMAS.items()):
        module, _, name = home.partition(":")
        said = (getattr(import_module(module), name).__doc__ or "").strip().partition("\n")[0]
        rows.append(f"| `{kind}` | {said} |")
    rows.append("")
    for title, modules in PARTS.items():
        rows.append(f"## {title}\n")
        rows += [f"::: {module}\n{MODULE_OPTIONS}" for module in modules]
    return "\n".join(rows)
