"""A decoder-only transformer with random weights: its decode step and its prefill step.

RMSNorm, rotary embedding, grouped-query attention over a KV cache, SwiGLU, token embedding and
logits head. Its kernels are those of torch (cuBLAS, FlashAttention, element-wise), none written
for it: an inference engine fuses more of them, so this is a load of that shape, not the speed of
such an engine.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

E4M3_MAX = 448.0
"""Largest number of float8_e4m3fn; torch casts what is well above it to NaN."""

FP8_ROWS = 32
"""Fewest rows of an FP8 product: fewer are padded, as inference engines do for speed."""

WEIGHT_STD = 0.02


@dataclass(frozen=True)
class Shape:
    """Sizes of the transformer; the default is that of Llama-3.1-8B."""

    layers: int = 32
    width: int = 4096
    heads: int = 32
    kv_heads: int = 8
    head_width: int = 128
    ffn: int = 14336
    vocabulary: int = 128256
    rope_base: float = 500_000.0

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes of keys and values a token holds in all layers, in BF16."""
        return self.layers * 2 * self.kv_heads * self.head_width * 2

    def weight_bytes(self, precision: str) -> int:
        """Return the bytes of all weights, embedding and head in BF16 in any case."""
        attended = 2 * (self.heads + self.kv_heads) * self.head_width
        in_layers = self.layers * self.width * (attended + 3 * self.ffn)
        return in_layers * (1 if precision == "fp8" else 2) + 4 * self.vocabulary * self.width


TINY = Shape(layers=2, width=64, heads=4, kv_heads=2, head_width=16, ffn=128, vocabulary=256)
"""Sizes to try the code with, on any processor."""


class LinearBf16:
    """y = x W', everything in BF16."""

    def __init__(self, weight: Tensor) -> None:
        self._weight = weight

    def __call__(self, x: Tensor) -> Tensor:
        """Return y (rows, out) of x (rows, in)."""
        return F.linear(x, self._weight)


class LinearFp8:
    """y = x W' with x and W in float8_e4m3fn, one scale each, y in BF16.

    The weights' scale is from their largest. That of x is 1, fixed beforehand as in static FP8
    checkpoints: every x here is safe below 448, since RMS-normed values cannot pass the square
    root of the width (64), attention averages normal values, and the SwiGLU products stay in the
    tens. The cast is then one kernel. `Transformer.logits` that are not finite tell a breach.
    """

    def __init__(self, weight: Tensor) -> None:
        scale = weight.abs().amax().float() / E4M3_MAX
        # row-major (out, in); its transpose is the column-major operand that is asked for
        self._weight = (weight.float() / scale).to(torch.float8_e4m3fn)
        self._scale = scale
        self._one = torch.ones((), device=weight.device)
        self._padded: dict[int, Tensor] = {}

    def __call__(self, x: Tensor) -> Tensor:
        """Return y (rows, out) of x (rows, in)."""
        rows = x.shape[0]
        return torch._scaled_mm(
            self._operand(x),
            self._weight.t(),
            scale_a=self._one,
            scale_b=self._scale,
            out_dtype=torch.bfloat16,
            use_fast_accum=True,
        )[:rows]

    def _operand(self, x: Tensor) -> Tensor:
        rows = max(FP8_ROWS, 16 * math.ceil(x.shape[0] / 16))
        if rows == x.shape[0]:
            return x.to(torch.float8_e4m3fn)
        # made once, before a graph is captured; the padding stays zero
        if rows not in self._padded:
            shape = (rows, x.shape[1])
            self._padded[rows] = torch.zeros(shape, dtype=torch.float8_e4m3fn, device=x.device)
        self._padded[rows][: x.shape[0]].copy_(x)
        return self._padded[rows]


LINEAR = {"bf16": LinearBf16, "fp8": LinearFp8}


class Layer:
    """The weights of one layer and its KV cache of (sequences, KV heads, positions, width)."""

    def __init__(
        self, shape: Shape, precision: str, sequences: int, positions: int, device: str
    ) -> None:
        linear = LINEAR[precision]
        attended = (shape.heads + 2 * shape.kv_heads) * shape.head_width
        self.qkv = linear(_normal(attended, shape.width, device))
        self.out = linear(_normal(shape.width, shape.heads * shape.head_width, device))
        self.gate_up = linear(_normal(2 * shape.ffn, shape.width, device))
        self.down = linear(_normal(shape.width, shape.ffn, device))
        self.norms = [
            torch.ones(shape.width, dtype=torch.bfloat16, device=device) for _ in range(2)
        ]
        cache = (sequences, shape.kv_heads, positions, shape.head_width)
        self.keys, self.values = (
            torch.empty(cache, dtype=torch.bfloat16, device=device).normal_() for _ in range(2)
        )


class Transformer:
    """Weights, caches and steps. All tensors are made once; the steps only write into them."""

    def __init__(
        self,
        shape: Shape,
        precision: str,
        sequences: int,
        positions: int,
        device: str,
        seed: int = 0,
    ) -> None:
        """Make the weights and a full cache, drawn at random.

        Args:
            shape: sizes.
            precision: "bf16", or "fp8" for the layers' matrix products (embedding, logits head,
                attention and KV cache stay BF16, as in usual FP8 checkpoints).
            sequences: the largest batch.
            positions: tokens of the KV cache for each sequence.
            device: torch's name of the device.
            seed: of the random numbers.
        """
        torch.manual_seed(seed)
        self.shape, self.sequences, self.positions = shape, sequences, positions
        self._device = device
        self.layers = [
            Layer(shape, precision, sequences, positions, device) for _ in range(shape.layers)
        ]
        self.embedding = _normal(shape.vocabulary, shape.width, device)
        self._head = LinearBf16(_normal(shape.vocabulary, shape.width, device))
        self._norm = torch.ones(shape.width, dtype=torch.bfloat16, device=device)
        self._cos, self._sin = _rope(shape, positions, device)

    def tokens(self, *size: int) -> Tensor:
        """Return random tokens."""
        return torch.randint(self.shape.vocabulary, size, device=self._device)

    def decode(self, tokens: Tensor) -> Tensor:
        """Return the logits (batch, vocabulary) after one more token of each sequence.

        The token is the last of the cache: its position is overwritten at each step, so every
        step attends over the same number of tokens.
        """
        shape, batch, last = self.shape, tokens.shape[0], self.positions - 1
        cos, sin = self._cos[last:], self._sin[last:]
        x = F.embedding(tokens, self.embedding)
        for layer in self.layers:
            q, k, v = self._qkv(layer, x, cos, sin)
            layer.keys[:batch, :, last].copy_(k)
            layer.values[:batch, :, last].copy_(v)
            # the query heads that share a KV head stand as rows of one query: no key is repeated
            shared = q.view(batch, shape.kv_heads, -1, shape.head_width)
            with _attention(self._device):
                seen = F.scaled_dot_product_attention(
                    shared, layer.keys[:batch], layer.values[:batch]
                )
            x = self._after_attention(layer, x, seen.reshape(batch, -1))
        return self._logits(x)

    def prefill(self, tokens: Tensor) -> Tensor:
        """Return the logits (batch, vocabulary) after prompts of tokens (batch, length).

        Their keys and values go to the cache, from position 0 on.
        """
        shape = self.shape
        batch, length = tokens.shape
        cos, sin = (table[:length].repeat(batch, 1, 1) for table in (self._cos, self._sin))
        x = F.embedding(tokens, self.embedding).view(batch * length, -1)
        for layer in self.layers:
            # (batch, heads, length, width), strided over the one product
            q, k, v = (
                part.view(batch, length, -1, shape.head_width).transpose(1, 2)
                for part in self._qkv(layer, x, cos, sin)
            )
            layer.keys[:batch, :, :length].copy_(k)
            layer.values[:batch, :, :length].copy_(v)
            with _attention(self._device):
                seen = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
            x = self._after_attention(layer, x, seen.transpose(1, 2).reshape(batch * length, -1))
        return self._logits(x.view(batch, length, -1)[:, -1])

    def _qkv(self, layer: Layer, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, ...]:
        shape = self.shape
        product = layer.qkv(self._normed(x, layer.norms[0]))
        heads = product.view(x.shape[0], -1, shape.head_width)
        turned, v = heads.split([shape.heads + shape.kv_heads, shape.kv_heads], dim=1)
        # rotary embedding: the sign of the swapped halves is in the sine table
        turned = torch.addcmul(turned * cos, turned.roll(shape.head_width // 2, -1), sin)
        q, k = turned.split([shape.heads, shape.kv_heads], dim=1)
        return q, k, v

    def _after_attention(self, layer: Layer, x: Tensor, seen: Tensor) -> Tensor:
        x = x + layer.out(seen)
        gate, up = layer.gate_up(self._normed(x, layer.norms[1])).chunk(2, dim=-1)
        return x + layer.down(F.silu(gate) * up)

    def _logits(self, x: Tensor) -> Tensor:
        return self._head(self._normed(x, self._norm))

    def _normed(self, x: Tensor, weight: Tensor) -> Tensor:
        return F.rms_norm(x, (self.shape.width,), weight, 1e-5)


def _normal(rows: int, columns: int, device: str) -> Tensor:
    return torch.empty(rows, columns, dtype=torch.bfloat16, device=device).normal_(0.0, WEIGHT_STD)


def _rope(shape: Shape, positions: int, device: str) -> tuple[Tensor, Tensor]:
    """Return cosine and signed sine (positions, 1, head width) of the rotary embedding."""
    half = shape.head_width // 2
    pace = shape.rope_base ** (-torch.arange(half, device=device) / half)
    angle = torch.outer(torch.arange(positions, device=device), pace)
    cos = torch.cat((angle.cos(), angle.cos()), dim=-1)
    sin = torch.cat((-angle.sin(), angle.sin()), dim=-1)
    return cos.unsqueeze(1).bfloat16(), sin.unsqueeze(1).bfloat16()


def _attention(device: str) -> AbstractContextManager[None]:
    # torch's plain attention would write the scores to memory: a load no server runs
    if device == "cpu":
        return nullcontext()
    return sdpa_kernel([SDPBackend.FLASH_ATTENTION, SDPBackend.CUDNN_ATTENTION])
