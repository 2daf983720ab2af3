from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fit_specs import described

from ebplan.errors import InputError, RangeError
from ebplan.models.fit.spec import FITS, run_spec
from ebplan.models.serving import ServingModel

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "fit" / "h200_decode.toml"
SPEC = """
kind = "fit"
fit = "{fit}"
data = "runs.csv"
source = "a test"
measurement_point = "{point}"
[columns]
power = {{ column = "p", unit = "W" }}
concurrency = "c"
throughput = "x"
configuration = "w"
[options]
name = "mine"
title = "Mine"
"""
ITL = 'itl = { column = "t", unit = "ms" }\n'
LOADS = (4, 8, 16, 32, 64, 128)


def power_w(c: float) -> float:
    return 400.0 + 250.0 * c / (c + 40.0)


def tokens_per_s(c: float) -> float:
    return c / (0.008 + 0.00012 * c)


def fitted(
    tmp_path: Path,
    *,
    rows: list[str] | None = None,
    fit: str = "serving",
    point: str = "gpu",
    names: tuple[str, ...] = ("a",),
    itl: bool = False,
) -> Any:
    if rows is None:
        rows = [f"a,{c},{power_w(c)},{tokens_per_s(c)}" for c in LOADS]
    head = "w,c,p,x,t" if itl else "w,c,p,x"
    (tmp_path / "runs.csv").write_text(head + "\n" + "\n".join(rows) + "\n")
    configurations = "".join(described(n, model=f"model-{n}") for n in names)
    spec = tmp_path / "fit.toml"
    text = SPEC.format(fit=fit, point=point)
    if itl:
        text = text.replace("[options]", ITL + "[options]")
    spec.write_text(text + configurations)
    return run_spec(spec)


def test_a_known_law_is_found_between_its_points(tmp_path: Path) -> None:
    model: ServingModel = fitted(tmp_path)
    at = np.array([6.0, 24.0, 96.0])
    power, tokens = model.power_kw("a", at), model.tokens_per_s("a", at)
    true = np.array([power_w(c) for c in at]) / 1000.0
    assert model.configuration("a").evidence == "measured"
    assert power.mean is not None
    np.testing.assert_allclose(power.mean, true, rtol=0.02)
    assert power.holds(true).all()
    assert tokens.holds(np.array([tokens_per_s(c) for c in at])).all()
    itl = model.itl_s("a", at)
    assert itl.mean is not None
    assert tokens.mean is not None
    np.testing.assert_allclose(itl.mean * tokens.mean, at)


def itl_ms(c: float) -> float:
    """Return a median that lies below the mean by what prompts take between the steps."""
    return 8.0 + 0.08 * c


def test_the_median_time_between_tokens_is_fitted_where_it_was_measured(tmp_path: Path) -> None:
    rows = [f"a,{c},{power_w(c)},{tokens_per_s(c)},{itl_ms(c)}" for c in LOADS]
    model: ServingModel = fitted(tmp_path, rows=rows, itl=True, names=("a", "b"))
    at = np.array([6.0, 24.0, 96.0])
    true_s = np.array([itl_ms(c) for c in at]) / 1000.0
    median, mean = model.itl_p50_s("a", at), model.itl_s("a", at)
    assert median.mean is not None
    assert mean.mean is not None
    np.testing.assert_allclose(median.mean, true_s, rtol=0.02)
    assert median.holds(true_s).all()
    assert median.low[2] < mean.mean[2]
    assert not mean.holds(true_s)[2]
    assert any(s.name.startswith("a, median time between") for s in model.card.leave_one_out)
    assert [f.title for f in model.card.findings if "is a mean" in f.title] == [
        "b: the time between tokens is a mean"
    ]


def test_a_median_that_nobody_measured_is_an_interval(tmp_path: Path) -> None:
    model: ServingModel = fitted(tmp_path)
    said = model.itl_p50_s("a", 32.0)
    assert said.mean is None
    assert said.low[0] < itl_ms(32) / 1000.0 < said.high[0]
    assert any("not a percentile" in f.text for f in model.card.findings)


def test_models_fitted_without_the_median_still_load(tmp_path: Path) -> None:
    model: ServingModel = fitted(tmp_path)
    old = model.model_dump(mode="json")
    for served in old["configurations"]:
        del served["pace"]
    again = ServingModel.parse(old)
    assert again.itl_s("a", 32.0).mean is not None
    with pytest.raises(InputError, match="with a column itl"):
        again.itl_p50_s("a", 32.0)


def test_what_has_no_rows_is_given_by_the_prior_as_an_interval(tmp_path: Path) -> None:
    model: ServingModel = fitted(tmp_path, names=("a", "b"))
    power = model.power_kw("b", 32.0)
    assert model.configuration("b").evidence == "prior"
    assert power.mean is None
    assert power.high[0] / power.low[0] > 1.1
    assert "b (prior)" in model.card.summary


def test_as_many_points_as_parameters_are_no_fit(tmp_path: Path) -> None:
    rows = [f"a,{c},{power_w(c)},{tokens_per_s(c)}" for c in (4, 32, 128)]
    assert fitted(tmp_path, rows=rows).configuration("a").evidence == "prior and points"


def test_repeats_of_three_loads_are_no_fit(tmp_path: Path) -> None:
    """Five rows, but 4 and 4.1 as well as 128 and 127 in flight are repeats."""
    rows = [f"a,{c},{power_w(c)},{tokens_per_s(c)}" for c in (4, 4.1, 32, 127, 128)]
    model = fitted(tmp_path, rows=rows)
    assert model.configuration("a").evidence == "prior and points"
    assert "no more loads than" in model.card.findings[0].text


@pytest.mark.parametrize("load", [0.0, -1.0, float("inf"), float("nan")])
def test_a_load_that_cannot_be_is_refused_even_where_extrapolated(
    tmp_path: Path, load: float
) -> None:
    model: ServingModel = fitted(tmp_path)
    for ask in (model.power_kw, model.tokens_per_s, model.itl_s, model.itl_p50_s):
        with pytest.raises(RangeError, match="concurrency"):
            ask("a", load, allow_extrapolation=True)
    curve = model.configuration("a").power
    for of_curve in (curve.estimate, curve.centre):
        with pytest.raises(RangeError, match="concurrency"):
            of_curve(np.array([8.0, load]))


def test_a_point_that_is_off_is_named_with_weight_zero(tmp_path: Path) -> None:
    rows = [f"a,{c},{power_w(c)},{tokens_per_s(c)}" for c in LOADS]
    rows[3] = f"a,32,{0.6 * power_w(32)},{tokens_per_s(32)}"
    model = fitted(tmp_path, rows=rows)
    assert [e.run for e in model.card.excluded] == ["line 5"]
    assert "power at 32 requests in flight" in model.card.excluded[0].reason


def test_no_board_draws_more_than_its_limit(tmp_path: Path) -> None:
    rows = [f"a,{c},{min(power_w(c) * 1.2, 698 + c / 100)},{tokens_per_s(c)}" for c in LOADS]
    model = fitted(tmp_path, rows=rows)
    assert model.power_kw("a", 128.0).high[0] <= 0.7


def test_the_range_measured_is_enforced(tmp_path: Path) -> None:
    model: ServingModel = fitted(tmp_path)
    with pytest.raises(RangeError, match="4 to 128 requests in flight"):
        model.power_kw("a", 500.0)
    assert model.power_kw("a", 500.0, allow_extrapolation=True).high[0] > 0.0


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"fit": "weather"}, "fit: got 'weather'; allowed: serving, fleet, caps"),
        ({"point": "ac"}, "measurement_point: got 'ac'; allowed: gpu"),
        ({"names": ("b",)}, "columns.configuration: got 'a'; allowed: b"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path: Path, changed: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as error:
        fitted(tmp_path, **changed)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('name = "mine"', 'nam = "mine"', "options.nam: got 'mine'; .*did you mean 'name'"),
        ("gpu_limit_w", "limit_w", r"configurations\.0\.limit_w: .*did you mean 'gpu_limit_w'"),
        ('column = "p",', 'column = "p", unti = "W",', r"columns\.power\.unti: .*mean 'unit'"),
        ("[options]", "[option]", "option: .*did you mean 'options'"),
    ],
)
def test_a_misspelt_field_is_named_before_what_follows_from_it(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    (tmp_path / "runs.csv").write_text("w,c,p,x\n")
    text = SPEC.format(fit="serving", point="gpu") + described()
    (tmp_path / "fit.toml").write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=said):
        run_spec(tmp_path / "fit.toml")


def test_rows_are_chosen_by_numbers_in_a_spec(tmp_path: Path) -> None:
    rows = [f"a,{c},{power_w(c)},{tokens_per_s(c)}" for c in LOADS]
    (tmp_path / "runs.csv").write_text("w,c,p,x\n" + "\n".join(rows) + "\n")
    text = SPEC.format(fit="serving", point="gpu").replace(
        "[options]", "[where]\nc = [4, 8, 16.0]\n[options]"
    )
    (tmp_path / "fit.toml").write_text(text + described())
    assert run_spec(tmp_path / "fit.toml").configuration("a").concurrency == (4.0, 16.0)


SWEEP = """
kind = "fit"
fit = "caps"
data = "runs.csv"
source = "a test"
measurement_point = "gpu"
[columns]
power = { column = "p", unit = "W" }
throughput = "x"
cap = { column = "cap", unit = "W" }
[options]
name = "mine"
title = "Mine"
hardware = "a GPU"
"""


def test_what_is_not_identifiable_names_the_table(tmp_path: Path) -> None:
    (tmp_path / "runs.csv").write_text("cap,p,x\n300,290,1\n")
    (tmp_path / "fit.toml").write_text(SWEEP)
    with pytest.raises(InputError, match=r"^runs\.csv: columns\.cap"):
        run_spec(tmp_path / "fit.toml")
    (tmp_path / "runs.csv").write_text("cap,p,x\n300,290,10\n400,390,5\n500,480,20\n600,490,1\n")
    with pytest.raises(InputError, match=r"^runs\.csv: workload all"):
        run_spec(tmp_path / "fit.toml")
    (tmp_path / "fit.toml").write_text(SWEEP + "lowest_cap_kw_per_gpu = 0.9\n")
    (tmp_path / "runs.csv").write_text("cap,p,x\n300,290,8\n400,390,9\n500,480,10\n600,490,10.1\n")
    with pytest.raises(InputError, match=r"fit\.toml: options\.lowest_cap_kw_per_gpu: got 0\.9"):
        run_spec(tmp_path / "fit.toml")


@pytest.mark.parametrize("fit", ["battery_series", "calendar_ageing"])
def test_a_battery_is_not_metered_at_a_gpu(tmp_path: Path, fit: str) -> None:
    text = SWEEP.replace('"caps"', f'"{fit}"').partition("hardware")[0]
    (tmp_path / "fit.toml").write_text(text + "converter_rated_kw = 200.0\n" * (fit[0] == "b"))
    with pytest.raises(InputError, match="measurement_point: got 'gpu'; allowed: ac, conn"):
        run_spec(tmp_path / "fit.toml")


def test_watts_read_as_kilowatts_are_refused(tmp_path: Path) -> None:
    rows = [f"a,{c},{1000 * power_w(c)},{tokens_per_s(c)}" for c in LOADS]
    with pytest.raises(InputError, match="check the unit of the power"):
        fitted(tmp_path, rows=rows)


def test_rows_written_twice_narrow_no_interval(tmp_path: Path) -> None:
    rows = [f"a,{c},{power_w(c)},{tokens_per_s(c)}" for c in LOADS]
    once, twice = (fitted(tmp_path, rows=rows * n) for n in (1, 2))
    assert [e.run for e in twice.card.excluded] == [f"line {n}" for n in range(8, 14)]
    assert twice.power_kw("a", 48.0).high[0] == once.power_kw("a", 48.0).high[0]


def with_latency(tmp_path: Path, name: str, unit: str, value_s: float) -> Any:
    rows = [f"a,{c},{power_w(c)},{tokens_per_s(c)},{1000.0 * value_s}" for c in LOADS]
    (tmp_path / "runs.csv").write_text("w,c,p,x,l\n" + "\n".join(rows) + "\n")
    column = f'{name} = {{ column = "l", unit = "{unit}" }}\n[options]'
    text = SPEC.format(fit="serving", point="gpu").replace("[options]", column)
    (tmp_path / "fit.toml").write_text(text + described())
    return run_spec(tmp_path / "fit.toml")


@pytest.mark.parametrize(("name", "value_s"), [("itl", 0.012), ("ttft", 0.05), ("ttft", 0.4)])
def test_latencies_in_another_unit_than_said_are_refused(
    tmp_path: Path, name: str, value_s: float
) -> None:
    assert with_latency(tmp_path, name, "ms", value_s)
    with pytest.raises(InputError, match=rf"columns\.{name}: .*check its unit \(ms or s\?\)"):
        with_latency(tmp_path, name, "s", value_s)


@pytest.mark.parametrize(("name", "value_s"), [("itl", 0.012), ("ttft", 0.05), ("ttft", 0.4)])
def test_latencies_in_s_read_as_ms_are_refused(tmp_path: Path, name: str, value_s: float) -> None:
    with pytest.raises(InputError, match=rf"columns\.{name}: .*check its unit \(ms or s\?\)"):
        with_latency(tmp_path, name, "ms", value_s / 1000.0)


@pytest.mark.parametrize("factor", [60.0, 1e-4])
def test_token_rates_in_another_unit_are_refused(tmp_path: Path, factor: float) -> None:
    rows = [f"a,{c},{power_w(c)},{factor * tokens_per_s(c)}" for c in LOADS]
    with pytest.raises(InputError, match=r"columns\.throughput: .*check its unit"):
        fitted(tmp_path, rows=rows)


def test_two_configurations_in_one_are_refused(tmp_path: Path) -> None:
    rows = [f"a,{c},{f * power_w(c)},{f * tokens_per_s(c)}" for c in LOADS for f in (0.6, 1.0)]
    with pytest.raises(InputError, match="name several configurations by a label"):
        fitted(tmp_path, rows=rows)


def test_power_that_falls_with_load_is_said(tmp_path: Path) -> None:
    rows = [f"a,{c},{700 - power_w(c) / 2},{tokens_per_s(c)}" for c in LOADS]
    found = fitted(tmp_path, rows=rows).card.findings
    assert any(f.title == "a: power falls with load" for f in found)


def test_names_of_configurations_differ(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="more than once"):
        fitted(tmp_path, names=("a", "a"))


def test_every_fit_has_options_with_a_name() -> None:
    for fit in FITS.values():
        assert {"name", "title"} & set(fit.options.model_fields)


def test_the_example_fits_our_own_measurement() -> None:
    model = run_spec(EXAMPLE)
    assert isinstance(model, ServingModel)
    assert [s.evidence for s in model.configurations] == ["measured", "measured"]
    assert model.card.excluded == ()
    errors = [s.value for s in model.card.leave_one_out if s.name.endswith("median error")]
    assert max(errors) < 0.025
