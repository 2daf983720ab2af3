"""``ebplan audit``: prove, read and take out of a log what a site did."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ebplan.cli_errors import one_line_errors

if TYPE_CHECKING:
    from ebplan.audit.folder import Segment
    from ebplan.audit.keys import VerifyKey
    from ebplan.audit.line import Record

FILE = click.Path(path_type=Path)
NOT_PROVEN = 6
"""Exit code: the log is not what was signed."""


@click.group()
def audit() -> None:
    """Prove, read and take out of a log what a site did.

    Exit codes: 0 proven, 2 bad input, 6 the log is not what was signed.
    """


@audit.command()
@click.argument("name")
@click.option("-o", "--output", type=FILE, required=True, help="Write the secret key here.")
@one_line_errors
def keygen(name: str, output: Path) -> None:
    """Make a key that signs as NAME, and print the public half for whoever verifies."""
    from ebplan.audit.keys import SigningKey

    key = SigningKey.make(name)
    key.write(output)
    click.echo(str(key.verify_key))


@audit.command()
@click.argument("log", type=FILE)
@click.option("--key", required=True, help="The site's public key: the line itself, or its file.")
@click.option(
    "--elsewhere",
    type=FILE,
    multiple=True,
    help="Checkpoints that were kept on another machine: they show a cut-off end.",
)
@click.option(
    "--authority",
    type=FILE,
    multiple=True,
    help="Root certificate (PEM) of who stamped checkpoints; stamps are then proven too.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the verdict as JSON.")
@one_line_errors
def verify(
    log: Path, key: str, elsewhere: tuple[Path, ...], authority: tuple[Path, ...], as_json: bool
) -> None:
    """Prove LOG, a log's folder or an extract, against the key that the site published."""
    from ebplan.audit.keys import VerifyKey

    trusted = VerifyKey.read(key)
    if log.is_dir():
        good = _verify_folder(log, trusted, elsewhere, authority, as_json)
    else:
        good = _verify_extract(log, trusted, as_json)
    sys.exit(0 if good else NOT_PROVEN)


@audit.command()
@click.argument("log", type=FILE)
@click.option("--kind", multiple=True, help="Only records of this kind; may be repeated.")
@click.option("--event", help="Only records about this event.")
@click.option("--from", "start", help="Only records from this time on (ISO 8601 with zone).")
@click.option("--to", "end", help="Only records before this time.")
@click.option("--last", type=click.IntRange(min=1), help="Only so many, the newest.")
@click.option("--json", "as_json", is_flag=True, help="Print the lines as they are.")
@one_line_errors
def show(
    log: Path,
    kind: tuple[str, ...],
    event: str | None,
    start: str | None,
    end: str | None,
    last: int | None,
    as_json: bool,
) -> None:
    """Print records of LOG in words; nothing is proven by that."""
    from collections import deque

    wanted = _wanted(kind, event, start, end)
    chosen: Iterator[tuple[str, Record]] = _records(log, wanted)
    if last is not None:
        chosen = iter(deque(chosen, maxlen=last))
    for text, record in chosen:
        click.echo(text if as_json else _in_words(record))


@audit.command()
@click.argument("log", type=FILE)
@click.option("-o", "--output", type=FILE, required=True, help="Write the extract here (JSON).")
@click.option("--kind", multiple=True, help="Only records of this kind; may be repeated.")
@click.option("--event", help="Only records about this event.")
@click.option("--from", "start", help="Only records from this time on (ISO 8601 with zone).")
@click.option("--to", "end", help="Only records before this time.")
@one_line_errors
def export(
    log: Path,
    output: Path,
    kind: tuple[str, ...],
    event: str | None,
    start: str | None,
    end: str | None,
) -> None:
    """Take records out of LOG with the proof that they stand in it.

    `ebplan audit verify` proves the extract without the log: what to hand to a grid operator.
    """
    from ebplan.audit.extract import extract
    from ebplan.document import check_writable, write_atomically

    wanted = _wanted(kind, event, start, end)
    check_writable(output)
    taken = extract(log, wanted)
    write_atomically(output, taken.to_json() + "\n")
    documents = f", {len(taken.documents)} documents" if taken.documents else ""
    click.echo(f"{len(taken.records)} records{documents}: {output}")


@audit.command("change-key")
@click.argument("log", type=FILE)
@click.option("--key", type=FILE, required=True, help="The key that signs now.")
@click.option("--new", type=FILE, required=True, help="The key that shall sign from here on.")
@click.option("--why", default="", help="Why; stands in the record.")
@one_line_errors
def change_key(log: Path, key: Path, new: Path, why: str) -> None:
    """Sign LOG with another key from here on; the change is signed with both.

    Who trusts the old key goes on trusting the log. The controller must not be running.
    """
    from ebplan.audit.keys import SigningKey
    from ebplan.audit.log import AuditLog
    from ebplan.errors import InputError

    _segments_of(log)  # a mistyped path begins no new log
    signing, following = SigningKey.read(key), SigningKey.read(new)
    with AuditLog(log, signing) as opened:
        opened.change_key(following, why)
        fault = opened.health.fault
    if fault:
        raise InputError(
            field="(folder)",
            value=fault,
            allowed="a disk that takes the change",
            remedy="mend the disk; the change counts if `ebplan audit verify` names the new key",
            file=str(log),
        )
    click.echo(str(following.verify_key))


@audit.command()
@click.argument("log", type=FILE)
@one_line_errors
def checkpoint(log: Path) -> None:
    """Print the newest checkpoint of LOG, to be kept on another machine."""
    from ebplan.audit.folder import last_checkpoint

    click.echo(last_checkpoint(log).to_text(), nl=False)


@audit.command()
@click.argument("log", type=FILE)
@click.option("--authority", "url", required=True, metavar="URL", help="Who stamps (RFC 3161).")
@click.option("--root", type=FILE, required=True, help="Its root certificate (PEM).")
@click.option("--timeout", type=click.FloatRange(min=0.1), default=10.0, show_default=True)
@one_line_errors
def stamp(log: Path, url: str, root: Path, timeout: float) -> None:
    """Let an authority stamp the newest checkpoint of LOG; run it from a timer."""
    from ebplan.audit.stamps import ask_for_stamp, read_roots

    click.echo(str(ask_for_stamp(log, url, read_roots(root), timeout_s=timeout)))


def _verify_folder(
    log: Path,
    trusted: VerifyKey,
    elsewhere: tuple[Path, ...],
    authority: tuple[Path, ...],
    as_json: bool,
) -> bool:
    from ebplan.audit.verification import verify as prove

    quiet = as_json or not sys.stderr.isatty()
    verdict = prove(
        log,
        trusted,
        elsewhere=elsewhere,
        authorities=authority,
        progress=None if quiet else lambda n: click.echo(f"\r{n:,} records", nl=False, err=True),
    )
    if not quiet:
        click.echo("\r", nl=False, err=True)
    if as_json:
        click.echo(verdict.model_dump_json(indent=1))
        return verdict.ok
    click.secho(str(verdict), fg="green" if verdict.ok else "red")
    for fault in verdict.faults:
        click.echo(f"  {fault}")
    if verdict.more_faults:
        click.echo(f"  and {verdict.more_faults} more")
    for remark in verdict.remarks:
        click.echo(f"  note: {remark}")
    for size, at in verdict.stamps.items():
        click.echo(f"  the first {size} records were there at {at.isoformat()}")
    if not elsewhere:
        click.echo("  a cut-off end shows only against checkpoints kept elsewhere (--elsewhere)")
    return verdict.ok


def _verify_extract(path: Path, trusted: VerifyKey, as_json: bool) -> bool:
    from ebplan.audit.extract import Extract
    from ebplan.document import read_json

    taken = Extract.parse(read_json(path), file=str(path))
    fault = taken.fault(trusted)
    if as_json:
        click.echo(json.dumps({"ok": fault is None, "records": len(taken.records), "fault": fault}))
    elif fault is None:
        click.secho(f"ok: {len(taken.records)} records of the log, as signed", fg="green")
    else:
        click.secho(f"NOT ok: {fault}", fg="red")
    return fault is None


def _wanted(
    kinds: tuple[str, ...], event: str | None, start: str | None, end: str | None
) -> Callable[[Record], bool]:
    from ebplan.audit.line import KINDS
    from ebplan.errors import InputError

    for kind in kinds:
        if kind not in KINDS:
            raise InputError(
                field="--kind",
                value=kind,
                allowed=", ".join(sorted(KINDS)),
                remedy="name one of these",
            )
    begins, ends = _moment("--from", start), _moment("--to", end)

    def wanted(record: Record) -> bool:
        return (
            (not kinds or record.kind in kinds)
            and (event is None or event in (record.body.get("event"), record.body.get("uid")))
            and (begins is None or record.time >= begins)
            and (ends is None or record.time < ends)
        )

    return wanted


def _moment(option: str, text: str | None) -> datetime | None:
    from ebplan.errors import InputError

    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.utcoffset() is None:
        raise InputError(
            field=option,
            value=text,
            allowed="a time with its zone, e.g. 2026-06-01T12:00:00+09:00",
            remedy="write it in ISO 8601 with the UTC offset",
        )
    return at


def _segments_of(log: Path) -> list[Segment]:
    from ebplan.audit.folder import segments
    from ebplan.errors import InputError

    if found := segments(log):
        return found
    raise InputError(
        field="(folder)",
        value="no segment",
        allowed="the folder of a log, with files such as 000000000000.jsonl",
        remedy="check the path",
        file=str(log),
    )


def _records(log: Path, wanted: Callable[[Record], bool]) -> Iterator[tuple[str, Record]]:
    from ebplan.audit.walk import walk

    for segment in _segments_of(log):
        for line in walk(segment.path):
            if line.record is None:
                click.secho(f"{segment.path.name}:{line.number}: not a record", fg="red", err=True)
            elif wanted(line.record):
                yield line.raw.decode(), line.record


def _in_words(record: Record) -> str:
    body = {name: value for name, value in record.body.items() if name != "by"}
    said = ", ".join(f"{name} {_shown(value)}" for name, value in body.items())
    at = record.time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    line = f"{record.seq:>9} {at} {record.kind:8s} {said}"
    # what stands in a log came from outside: no record is more than one line
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, str) and len(value) == 64:
        return value[:12]
    if isinstance(value, dict):
        return ", ".join(f"{name} {_shown(inner)}" for name, inner in value.items())
    return str(value)
