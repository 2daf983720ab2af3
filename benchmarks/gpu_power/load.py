"""The load of a cell: a step of the transformer, captured once, replayed for some seconds."""

from __future__ import annotations

import gc
import itertools
import time
from collections.abc import Callable

import torch

from benchmarks.gpu_power.model import Shape, Transformer
from benchmarks.gpu_power.plan import Block, Cell, Precision

IN_FLIGHT = 2
"""Steps enqueued before the oldest is waited for: the GPU always has the next one."""

FREE_SHARE = 0.75
"""Share of the memory left by the weights that the KV cache may take."""

Step = Callable[[], None]


class CudaLoad:
    """Replays of one step as a CUDA graph: single launches would leave the GPU waiting."""

    def __init__(self, step: Step) -> None:
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(2):
                step()
        torch.cuda.current_stream().wait_stream(side)
        torch.cuda.synchronize()
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            step()
        torch.cuda.synchronize()

    def run(self, seconds: float) -> list[float]:
        """Repeat the step for some seconds; return the seconds from each step's end to the next.

        They are timed by the GPU's own events and add up to the time of the whole run.
        """
        marks = [self._mark()]
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            self._graph.replay()
            marks.append(self._mark())
            if len(marks) > IN_FLIGHT:
                marks[-IN_FLIGHT].synchronize()
        marks[-1].synchronize()
        return [1e-3 * before.elapsed_time(after) for before, after in itertools.pairwise(marks)]

    def _mark(self) -> torch.cuda.Event:
        mark = torch.cuda.Event(enable_timing=True)
        mark.record()
        return mark


class CpuLoad:
    """Repeats of one step on the processor: for dry runs."""

    def __init__(self, step: Step) -> None:
        self._step = step

    def run(self, seconds: float) -> list[float]:
        """Repeat the step for some seconds; return the seconds of each."""
        marks = [time.monotonic()]
        while marks[-1] < marks[0] + seconds:
            self._step()
            marks.append(time.monotonic())
        return [after - before for before, after in itertools.pairwise(marks)]


class Loads:
    """The loads of a block's cells, on one set of weights."""

    def __init__(self, block: Block, shape: Shape, device: str) -> None:
        """Make the weights and a KV cache for the largest cell, or the largest batch that fits.

        Raises:
            RuntimeError: the weights do not fit, or the device refuses the precision.
        """
        if device != "cpu" and not torch.cuda.is_available():
            raise RuntimeError("torch sees no CUDA device")
        torch.set_grad_enabled(False)
        self._device = device
        loaded = [cell for cell in block if cell.loaded]
        precision, positions = loaded[0].precision, max(cell.tokens for cell in loaded)
        sequences = max(cell.batch for cell in loaded)
        if device != "cpu":
            sequences = min(sequences, _fitting(shape, precision, positions))
        self._model = Transformer(shape, precision, sequences, positions, device)
        if device != "cpu":
            torch.cuda.synchronize()
        self._logits: torch.Tensor | None = None
        self._load: CudaLoad | CpuLoad | None = None

    def open(self, cell: Cell) -> None:
        """Prepare the load of a cell.

        Raises:
            ValueError: the batch does not fit the KV cache.
        """
        if cell.batch > self._model.sequences:
            raise ValueError(f"KV cache for {self._model.sequences} sequences fits, not more")
        step = self._decode(cell) if cell.phase == "decode" else self._prefill(cell)
        self._load = CpuLoad(step) if self._device == "cpu" else CudaLoad(step)

    def run(self, seconds: float) -> list[float]:
        """Run the open load for some seconds; return the seconds of each of its steps."""
        return self._load.run(seconds)

    def check(self) -> None:
        """See that the steps compute numbers.

        Raises:
            ArithmeticError: a logit is not finite, so the power was not that of such a model.
        """
        if not bool(torch.isfinite(self._logits).all()):
            raise ArithmeticError("the logits are not finite: overflow in this precision")

    def close(self) -> None:
        """Let go of the open load and its memory."""
        self._load = self._logits = None
        gc.collect()
        if self._device != "cpu":
            torch.cuda.empty_cache()

    def _decode(self, cell: Cell) -> Step:
        tokens = self._model.tokens(cell.batch)

        def step() -> None:
            self._logits = self._model.decode(tokens)
            # the likeliest token is fed back, as a server does
            tokens.copy_(self._logits.argmax(-1))

        return step

    def _prefill(self, cell: Cell) -> Step:
        tokens = self._model.tokens(cell.batch, cell.tokens)

        def step() -> None:
            self._logits = self._model.prefill(tokens)

        return step


def _fitting(shape: Shape, precision: Precision, positions: int) -> int:
    """Return the sequences of which the KV cache fits beside the weights.

    Raises:
        RuntimeError: not one does.
    """
    free_bytes, _ = torch.cuda.mem_get_info()
    left_bytes = free_bytes - shape.weight_bytes(precision)
    sequences = int(FREE_SHARE * left_bytes / (shape.kv_bytes_per_token * positions))
    if sequences < 1:
        raise RuntimeError(f"{free_bytes / 1e9:.0f} GB of free GPU memory are too little")
    return sequences
