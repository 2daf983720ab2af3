"""The transformer of the GPU's load, in tiny, on the processor; skipped where torch is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from benchmarks.gpu_power.__main__ import main  # noqa: E402
from benchmarks.gpu_power.load import Loads  # noqa: E402
from benchmarks.gpu_power.model import TINY, LinearBf16, LinearFp8, Transformer  # noqa: E402
from benchmarks.gpu_power.plan import Cell  # noqa: E402

CONTEXT = 12


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


def model(precision: str) -> Transformer:
    return Transformer(TINY, precision, sequences=3, positions=CONTEXT, device="cpu")


@pytest.mark.parametrize("precision", ["bf16", "fp8"])
def test_decoding_the_last_token_is_prefilling_it(precision: str) -> None:
    made = model(precision)
    prompts = made.tokens(3, CONTEXT)
    whole = made.prefill(prompts).float()
    # the caches now hold the prompts' keys and values; the last token's are made anew
    for layer in made.layers:
        layer.keys[:, :, -1] = layer.values[:, :, -1] = 0.0
    again = made.decode(prompts[:, -1]).float()
    assert whole.std() > 0.05
    apart = (whole - again).norm() / whole.norm()
    assert apart < (0.02 if precision == "bf16" else 0.05)
    # and it is the context that makes it so
    for layer in made.layers:
        layer.values.normal_()
    other = made.decode(prompts[:, -1]).float()
    assert (whole - other).norm() / whole.norm() > 3 * apart


@pytest.mark.parametrize("rows", [1, 31, 32, 33, 48])
def test_fp8_is_bf16_to_within_its_three_bits(rows: int) -> None:
    torch.manual_seed(1)
    weight = torch.randn(96, 64, dtype=torch.bfloat16) * 0.02
    x = torch.randn(rows, 64, dtype=torch.bfloat16)
    exact, rough = LinearBf16(weight)(x).float(), LinearFp8(weight)(x).float()
    assert rough.shape == exact.shape
    apart = (rough - exact).norm() / exact.norm()
    assert 0.005 < apart < 0.06


def test_weight_bytes_are_those_of_the_weights() -> None:
    for precision, size in (("bf16", 2), ("fp8", 1)):
        made = model(precision)
        layers = sum(
            linear._weight.nbytes
            for layer in made.layers
            for linear in (layer.qkv, layer.out, layer.gate_up, layer.down)
        )
        assert made.layers[0].qkv._weight.element_size() == size
        both_ends = made.embedding.nbytes + made._head._weight.nbytes
        assert layers + both_ends == TINY.weight_bytes(precision)
    cache = sum(layer.keys.nbytes + layer.values.nbytes for layer in made.layers)
    assert cache == TINY.kv_bytes_per_token * 3 * CONTEXT


def test_a_load_runs_and_tells_an_overflow() -> None:
    cell = Cell("decode", "bf16", 2, 8)
    loads = Loads((Cell("loaded_idle", "bf16"), cell), TINY, "cpu")
    loads.open(cell)
    steps_s = loads.run(0.05)
    assert sum(steps_s) >= 0.05
    assert min(steps_s) > 0.0
    loads.check()
    loads._model.embedding.fill_(float("nan"))
    loads.run(0.01)
    with pytest.raises(ArithmeticError, match="not finite"):
        loads.check()
    loads.close()
    with pytest.raises(ValueError, match="for 2 sequences fits"):
        loads.open(Cell("decode", "bf16", 3, 8))


def test_a_dry_run_measures_every_cell(tmp_path: Path) -> None:
    out = str(tmp_path / "dry")
    sizes = ["--decode-batches", "1,2", "--prefill-batches", "1", "--precisions", "bf16"]
    times = ["--seconds", "0.3", "--warm-up-s", "0.05", "--settle-s", "0.1", "--rest-s", "0.1"]
    assert main(["--dry", "--out", out, *sizes, *times]) == 0
    lines = (tmp_path / "dry" / "runs.csv").read_text().splitlines()
    assert [line.split(",")[3] for line in lines] == [
        "phase", "idle", "loaded_idle", "decode", "decode", "prefill",
    ]  # fmt: skip
    assert all("no GPU was measured" in line for line in lines[1:])
    # a folder holds one run
    assert main(["--dry", "--out", out]) == 2
