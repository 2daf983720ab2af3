"""Every way to get a file wrong gives one line, exit code 2, and nothing else."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ebplan.case import load_case, resolve_case
from ebplan.cli import main
from ebplan.errors import EbplanError, InputError
from ebplan.pose import pose

EXAMPLE = Path(__file__).parents[2] / "examples" / "under_frequency.json"
GONE = object()
"""Stands for a field that is left out."""
POOL, BATTERY = "site.pools.llama70b", "site.battery"
STATE, RESPONSE = "state.pools.llama70b", "event.response"


def whole_case() -> dict[str, Any]:
    """Return the example with its site in place, as plain data."""
    return load_case(EXAMPLE).model_dump(mode="json")


def put(data: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """Return a copy with the value at a dotted path; ``GONE`` removes what is there."""
    data = copy.deepcopy(data)
    inner: Any = data
    *way, last = (int(key) if key.isdigit() else key for key in path.split("."))
    for key in way:
        inner = inner[key]
    if value is GONE:
        del inner[last]
    else:
        inner[last] = value
    return data


def refusal(folder: Path, content: bytes | None, name: str = "event.json") -> str:
    """Solve a file of this content, and return the one line that refuses it."""
    file = folder / name
    if content is not None:
        file.write_bytes(content)
    before = sorted(folder.rglob("*"))
    outputs = ["-o", str(folder / "plan.json"), "--save-problem", str(folder / "problem.json")]
    result = CliRunner().invoke(main, ["solve", str(file), *outputs])
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 2
    assert result.stdout == ""
    assert sorted(folder.rglob("*")) == before, "a file was written"
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith(f"error: {file}: ")
    for part in (": got ", "; allowed: ", "; remedy: "):
        assert part in lines[0]
    return lines[0]


def field_of(line: str) -> str:
    """Return the field that a line names."""
    return line.split(": got ")[0].rsplit(": ", 1)[-1]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "No such file"),
        (b"", "line 1 column 1: got nothing; allowed: JSON"),
        (b"\xff\xfe{", "can't decode byte 0xff"),
        (b"grid: 50", "allowed: JSON"),
        (b'{"kind": "event",\n "event": {]}', "line 2 column 12: got ']}'; allowed: JSON"),
        (b'[{"kind": "event"}]', "got 'list'; allowed: a JSON object"),
        (b'"event"', "got 'str'; allowed: a JSON object"),
        (b'{"kind": "event", "soc": NaN}', "got 'NaN'; allowed: finite numbers"),
        (b'{"kind": "event", "soc": -Infinity}', "got '-Infinity'; allowed: finite numbers"),
        (b'{"kind": "event", "kind": "event"}', "kind: got 'the field twice'"),
        (b'{"kind": "event", "n": ' + b"9" * 5000 + b"}", "endlessly"),
        (b"[" * 100_000, "endlessly"),
        (b'{"kind": "plan"}', "kind: got 'plan'; allowed: 'event' or 'problem'"),
        (b'{"event": {}}', "kind: got nothing"),
        (b'{"kind": ["event"]}', "kind: got ['event']"),
        (b'{"kind": "problem", "zzz": 1}', "got nothing; allowed: a value"),
        (b'{"kind": "event"}', "event: got nothing; allowed: a value"),
    ],
)
def test_a_file_that_is_no_case(tmp_path: Path, content: bytes | None, says: str) -> None:
    assert says in refusal(tmp_path, content)


def test_a_folder_instead_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "event.json").mkdir()
    assert "Is a directory" in refusal(tmp_path, None)


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    file = tmp_path / "event.json"
    file.write_bytes(b"\xef\xbb\xbf" + EXAMPLE.read_bytes())
    assert load_case(file) == load_case(EXAMPLE)


WRONG_VALUES: list[tuple[str, object, str]] = [
    # kinds and versions
    ("site.kind", "state", "'site'"),
    ("state.kind", "event", "'state'"),
    ("schema_version", "2.0", "allowed: '1.0'"),
    ("site.schema_version", "0.9", "allowed: '1.0'"),
    ("state.schema_version", 1.0, "allowed: '1.0'"),
    # fields that are not in the schema, with the name that was meant
    ("events", {}, "did you mean 'event'?"),
    ("event.durations_s", 300, "did you mean 'duration_s'?"),
    ("event.target.delta_mw", -1.0, "did you mean 'delta_kw'?"),
    (f"{BATTERY}.terminal_value.0.colour", "red", "remove the field"),
    (f"{POOL}.classes.batch.protect", True, "did you mean 'protected'?"),
    (f"{STATE}.soc", 0.5, "allowed: active, drained, asleep"),
    # names
    ("site.pools.two words", {}, "text that matches ^[A-Za-z]"),
    # fields that are missing
    ("event.target", GONE, "add the field"),
    ("state", GONE, "add the field"),
    (f"{POOL}.classes.batch.workload", GONE, "add the field"),
    # text, numbers, booleans
    ("event.duration_s", "300", "a number, not text"),
    ("event.duration_s", True, "a number, not text or true/false"),
    ("event.duration_s", None, "got nothing; allowed: a number"),
    ("state.soc", "0.6", "a number, not text"),
    ("state.soc", False, "a number, not text or true/false"),
    (f"{POOL}.instances", "4", "a whole number, not text"),
    (f"{POOL}.instances", True, "a whole number, not text"),
    (f"{POOL}.instances", 3.5, "a whole number"),
    (f"{POOL}.allow_extrapolation", 1, "true or false"),
    (f"{POOL}.allow_extrapolation", "yes", "true or false"),
    ("event.id", 7, "text"),
    ("event.target", -1.0, "an object {...}"),
    ("event", [], "an object {...}"),
    ("site.pools", [], "an object {...}"),
    ("site.losses", {}, "a list [...]"),
    ("event.duration_s", 10**400, "finite number"),
    # times
    ("event.start", "2026-06-01T12:00:00", "add the UTC offset"),
    ("event.start", "2026-06-01", "a time with its zone"),
    ("event.start", 1_780_282_800, "a time with its zone"),
    ("event.start", 1_780_282_800.5, "a time with its zone"),
    ("event.start", "1780282800", "a time with its zone"),
    ("state.at", "noon", "a time with its zone"),
    ("state.at", None, "a time with its zone"),
    # ranges
    ("event.duration_s", -300, "> 0"),
    ("event.duration_s", 0, "> 0"),
    ("event.type", "blackout", "'under_frequency', 'over_frequency'"),
    (f"{RESPONSE}.recovery_s", 0, "> 0"),
    ("event.handoff.battery_fraction", 1.2, "<= 1"),
    ("event.target", {"fraction_of_baseline": -3}, "fraction_of_baseline: got -3"),
    ("state.soc", 1.2, "<= 1"),
    ("state.soc", 60, "<= 1"),
    ("site.currency", "Yen", "ISO 4217"),
    ("site.currency", "jpy", "ISO 4217"),
    (f"{POOL}.instances", 0, ">= 1"),
    (f"{POOL}.classes", {}, "at least 1 item(s)"),
    (f"{POOL}.max_utilisation", 1.1, "<= 1"),
    (f"{POOL}.cap_range_w_per_gpu", [200.0], "add the field"),
    (f"{POOL}.cap_range_w_per_gpu", [200.0, 400.0, 600.0], "at most 2 item(s)"),
    (f"{STATE}.active", -1, ">= 0"),
    (f"{STATE}.load_req_per_s.batch", -1.0, ">= 0"),
    # fields that contradict each other
    ("event.target", {}, "exactly one of"),
    ("event.target", {"delta_kw": -1, "import_limit_kw": 3}, "exactly one of"),
    (f"{RESPONSE}.full_activation_s", 300, "< duration_s = 300"),
    (f"{RESPONSE}.initial_delay_s", 1, "full_activation_s: got 0.1; allowed: >= initial_delay_s"),
    ("event.handoff.by_s", 301, "<= duration_s = 300"),
    ("event.baseline", {"rule": "fixed"}, "kw: got nothing; allowed: a value with rule 'fixed'"),
    ("event.baseline", {"rule": "last_value", "kw": 4}, "none with 'last_value'"),
    (f"{POOL}.modes", ["active", "drained", "hibernating"], "no model describes it"),
    (f"{POOL}.modes", ["active"], "add 'drained'"),
    (f"{POOL}.asleep_kw_per_gpu", None, "remove 'asleep' from modes"),
    (f"{POOL}.cap_range_w_per_gpu", [600.0, 200.0], "lowest < highest"),
    (f"{BATTERY}.soc_min", 0.6, "reserve_soc: got 0.5"),
    (f"{BATTERY}.droop_reserve_kw", 9, "<= the smaller converter limit, 8"),
    (
        f"{BATTERY}.terminal_value",
        [{"up_to_soc": 0.5, "price_per_kwh": 20}, {"up_to_soc": 1, "price_per_kwh": 40}],
        "not rising with SoC",
    ),
    (f"{BATTERY}.terminal_value", [{"up_to_soc": 0.5, "price_per_kwh": 20}], "the last >= soc_max"),
    ("site.assumptions.0.field", "battery.colour", "the dotted path of a field"),
    ("site.losses.0.outer", "gpu", "leading outward"),
    ("state.grid", {"kw": 4.8, "measurement_point": "gpu"}, "are not mixed"),
]

WRONG_TOGETHER: list[tuple[str, object, str, str]] = [
    # (path, value, field named, words): what only shows once the case is put together
    ("event.start", "2026-06-01T11:59:59+09:00", "event.baseline.rule", "began before state.at"),
    ("event.start", "2026-06-01T12:00:00+10:00", "event.start", "ends after state.at"),
    ("event.duration_s", 14_400, "event.duration_s", "max_horizon_s = 14400 s (here 14460 s)"),
    ("event.target", {"delta_kw": 0}, "event.target.delta_kw", "not 0"),
    (
        "event.target",
        {"fraction_of_baseline": 0},
        "event.target.fraction_of_baseline",
        "not 0",
    ),
    ("site.losses", [], "site.losses", "declare the loss stage"),
    ("site.losses.1.inner", "gpu", "site.losses.0", "one stage from each point"),
    ("state.soc", None, "state.soc", "the site has a battery"),
    ("state.soc", 0.05, "state.soc", "0.1 to 0.95"),
    ("state.pools", {}, "state.pools", "the pools of the site: ['llama70b']"),
    (f"{STATE}.active", 3, STATE, "active + drained + asleep + in_transit + lost = 4"),
    (f"{STATE}.load_req_per_s", {"interactive": 28.0}, f"{STATE}.load_req_per_s", "of each class"),
    (
        f"{STATE}.load_req_per_s.chat",
        1.0,
        f"{STATE}.load_req_per_s",
        "the request classes of the pool",
    ),
    (
        f"{STATE}.load_req_per_s",
        {"interactive": 0.5, "batch": 0.1},
        f"{STATE}.load_req_per_s",
        "the lowest that the fleet model covers",
    ),
    (
        "state.grid",
        {"kw": 1.0, "measurement_point": "connection_point"},
        "state.grid.kw",
        "check the meter",
    ),
]


@pytest.mark.parametrize(("path", "value", "says"), WRONG_VALUES)
def test_a_wrong_value_is_named(tmp_path: Path, path: str, value: object, says: str) -> None:
    line = refusal(tmp_path, json.dumps(put(whole_case(), path, value)).encode())
    where, field = path.rsplit(".", 1) if "." in path else ("", path)
    assert field_of(line).startswith(where)
    assert says in line
    if not field.isdigit():
        assert field in line


UNKNOWN_MODELS = [
    (f"{POOL}.fleet_model", "gpt", "h200nvl-llama31-70b-bf16-tp2"),
    (f"{POOL}.fleet_model", "h200nvl-llama31-70b-bf16-tp2-cap", "h200nvl-llama31-70b-bf16-tp2"),
    (f"{POOL}.cap_model", "gpt", "h200nvl-llama31-70b-bf16-tp2-cap"),
    (f"{POOL}.classes.batch.workload", "poetry", "short_input"),
]


@pytest.mark.parametrize(("path", "value", "says"), UNKNOWN_MODELS)
def test_an_unknown_model_lists_the_known_ones(
    tmp_path: Path, path: str, value: object, says: str
) -> None:
    line = refusal(tmp_path, json.dumps(put(whole_case(), path, value)).encode())
    assert f"got {value!r}; allowed: " in line
    assert says in line.split("allowed: ")[1].split("; remedy: ")[0]


@pytest.mark.parametrize(("path", "value", "says"), UNKNOWN_MODELS)
def test_an_unknown_model_is_named_by_its_field(
    tmp_path: Path, path: str, value: object, says: str
) -> None:
    line = refusal(tmp_path, json.dumps(put(whole_case(), path, value)).encode())
    assert field_of(line) == path


@pytest.mark.parametrize(("path", "value", "field", "says"), WRONG_TOGETHER)
def test_parts_that_contradict_each_other(
    tmp_path: Path, path: str, value: object, field: str, says: str
) -> None:
    line = refusal(tmp_path, json.dumps(put(whole_case(), path, value)).encode())
    assert field_of(line) == field
    assert says in line


def test_further_errors_are_counted(tmp_path: Path) -> None:
    case = put(put(whole_case(), "state.soc", "full"), "event.duration_s", -1)
    line = refusal(tmp_path, json.dumps(case).encode())
    assert field_of(line) == "event.duration_s"
    assert line.endswith("(and 1 more)")


def test_a_line_break_in_a_name_stays_on_the_line(tmp_path: Path) -> None:
    line = refusal(tmp_path, json.dumps(put(whole_case(), "a\nb", 1)).encode())
    assert field_of(line) == r"a\nb"


@pytest.mark.parametrize(
    ("part", "reference", "says"),
    [
        ("site", "nowhere", "powerd-lab-phase-a, two-pools) or a file"),
        ("site", ".", "Is a directory"),
        ("site", "\0", "powerd-lab-phase-a, two-pools) or a file"),
        ("site", "x" * 5000, "powerd-lab-phase-a, two-pools) or a file"),
        ("site", 5, "an object {...}"),
        ("state", "nowhere.json", "No such file"),
        ("state", "\0", "null byte"),
        ("state", None, "an object {...}"),
    ],
)
def test_a_reference_that_leads_nowhere(
    tmp_path: Path, part: str, reference: object, says: str
) -> None:
    case = put(json.loads(EXAMPLE.read_bytes()), part, reference)
    (tmp_path / "event.json").write_text(json.dumps(case))
    with pytest.raises(InputError) as caught:
        load_case(tmp_path / "event.json")
    assert says in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("part", ["site", "state"])
def test_an_error_names_the_file_it_lies_in(tmp_path: Path, part: str) -> None:
    case = whole_case()
    inner = put(case[part], "kind", "nothing of the sort")
    (tmp_path / f"{part}.json").write_text(json.dumps(inner))
    (tmp_path / "event.json").write_text(json.dumps(put(case, part, f"{part}.json")))
    with pytest.raises(InputError) as caught:
        load_case(tmp_path / "event.json")
    assert caught.value.file == str(tmp_path / f"{part}.json")
    assert caught.value.field == "kind"


def test_a_site_and_a_state_may_be_toml(tmp_path: Path) -> None:
    toml = """
    kind = "state"
    at = 2026-06-01T12:00:00+09:00
    soc = 0.6
    [pools.llama70b]
    active = 4
    load_req_per_s = { interactive = 28.0, batch = 7.0 }
    """
    (tmp_path / "state.toml").write_text(toml)
    case = put(json.loads(EXAMPLE.read_bytes()), "state", "state.toml")
    (tmp_path / "event.json").write_text(json.dumps(case))
    assert load_case(tmp_path / "event.json") == load_case(EXAMPLE)


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        ("kind = ", "allowed: TOML"),
        ("soc = nan", "soc: got nan; allowed: a finite number"),
        ("at = 2026-06-01T12:00:00", "add the UTC offset"),
        ("at = 12:00:00", "a time with its zone"),
        ("at = 2026-06-01", "a time with its zone"),
    ],
)
def test_toml_that_is_wrong(tmp_path: Path, toml: str, says: str) -> None:
    text = toml if toml.startswith("at") else f"at = 2026-06-01T12:00:00Z\n{toml}"
    (tmp_path / "state.toml").write_text(f"{text}\n[pools]\n")
    case = put(json.loads(EXAMPLE.read_bytes()), "state", "state.toml")
    (tmp_path / "event.json").write_text(json.dumps(case))
    with pytest.raises(InputError) as caught:
        load_case(tmp_path / "event.json")
    assert "state.toml" in str(caught.value)
    assert says in str(caught.value)


def paths_of(data: Any, path: str = "") -> Iterator[str]:
    """Yield the dotted path of every value in plain data, containers included."""
    items = data.items() if isinstance(data, dict) else enumerate(data)
    for key, value in items:
        here = f"{path}.{key}" if path else str(key)
        yield here
        if isinstance(value, dict | list):
            yield from paths_of(value, here)


def refused(case: dict[str, Any]) -> str:
    """Return why a case is refused; nothing where it is posed."""
    try:
        resolved = resolve_case(case, folder=Path(), file="event.json")
        pose(resolved.event, resolved.site, resolved.state)
    except EbplanError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("path", list(paths_of(whole_case())))
def test_no_value_of_a_case_escapes_the_door(path: str) -> None:
    """Whatever stands in a field, a case is posed or refused in one line."""
    case = whole_case()
    assert refused(case) == ""
    for value in (GONE, None, True, -1, 0, 1, 1e-300, 1e300, float("nan"), "", "x", [], {}, [1]):
        assert len(refused(put(case, path, value)).splitlines()) <= 1
