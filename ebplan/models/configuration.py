"""What is served on what: the facts about a configuration that a prior is found by."""

from __future__ import annotations

import math
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from ebplan.document import FieldFault, Part, Positive
from ebplan.models.curves import FloatArray
from ebplan.models.laws import LawName

Architecture = Literal["dense", "moe", "hybrid"]

WEIGHT_BYTES = {"bf16": 2.0, "fp16": 2.0, "fp8": 1.0, "int8": 1.0, "mxfp4": 0.53, "int4": 0.53}
"""Bytes of one weight, scales of the 4-bit formats included (MXFP4: 32 values share one byte)."""
PRECISIONS = tuple(WEIGHT_BYTES)

LEAST_ACTIVE_OF_DENSE = 0.8
"""A dense model uses all its parameters for a token, but for embeddings that some leave out."""
REFERENCE_LIMIT_W = 700.0
REFERENCE_BANDWIDTH = 3.35
REFERENCE_ACTIVE = 10.0
REFERENCE_GB = 20.0
REFERENCE_TOKENS = 700.0
"""An H100 SXM board, and a model in the middle of the known ones: descriptors are 0 there."""


class DescribedConfiguration(Part):
    """A configuration as somebody describes it: a table may say the tokens of its requests."""

    name: str
    """Its name in the artefact."""
    model: str
    """Model; two configurations of one model share what is particular to it."""
    gpu: str
    """Kind of GPU, in the maker's words: H100, B200, H200 NVL."""
    gpus: int = Field(ge=1)
    """GPUs of one instance."""
    gpu_limit_w: float = Field(ge=20.0, le=10_000.0)
    """Power limit of one GPU as it runs, in W."""
    memory_bandwidth_tb_per_s: float = Field(gt=0.0, le=100.0)
    """Memory bandwidth of one GPU in TB/s, from its data sheet."""
    precision: Literal["bf16", "fp16", "fp8", "int8", "mxfp4", "int4"]
    """Precision of the weights."""
    architecture: Architecture
    """Dense, mixture of experts, or a hybrid with state-space layers."""
    parameters: float = Field(gt=0.0, le=100_000.0)
    """Parameters of the model in billions."""
    active_parameters: float = Field(gt=0.0, le=100_000.0)
    """Parameters that one token uses, in billions; all of them in a dense model."""
    tokens_out: Positive | None = None
    """Mean output tokens of a request; the median of the table's column where absent."""
    tensor_parallel: bool = False
    """Whether layers are split over the GPUs (else experts or whole replicas are)."""
    multimodal: bool = False
    """Whether requests carry images or video."""

    @model_validator(mode="after")
    def _active_are_some_of_all(self) -> Self:
        least = LEAST_ACTIVE_OF_DENSE * self.parameters if self.architecture == "dense" else 0.0
        if not least <= self.active_parameters <= self.parameters:
            raise FieldFault(
                field="active_parameters",
                value=self.active_parameters,
                allowed=f"{least:g} to {self.parameters:g}, the parameters of a "
                f"{self.architecture} model (a dense one uses all of them)",
                remedy="correct parameters, active_parameters or architecture",
            )
        return self


class Configuration(DescribedConfiguration):
    """One model on one kind of hardware, in one layout, for one workload."""

    tokens_out: Positive
    """Mean output tokens of a request."""

    def family(self) -> str:
        """Return the model without what its name says of its precision."""
        words = [w for w in self.model.replace("_", "-").split("-") if w.lower() not in PRECISIONS]
        return "-".join(words)

    def descriptors(self) -> FloatArray:
        """Return what the parameters of the laws may depend on, shape (9,); all of order one."""
        weights_gb = self.parameters * WEIGHT_BYTES[self.precision] / self.gpus
        return np.array(
            [
                self.architecture == "moe",
                self.architecture == "hybrid",
                self.multimodal,
                math.log(self.gpus),
                math.log(self.active_parameters / REFERENCE_ACTIVE),
                math.log(weights_gb / REFERENCE_GB),
                math.log(self.tokens_out / REFERENCE_TOKENS),
                self.tensor_parallel,
                WEIGHT_BYTES[self.precision] == 2.0,
            ],
            dtype=float,
        )

    def physical(self, law: LawName) -> FloatArray:
        """Return what physics says of the law's parameters before any data, shape (3,).

        Power goes with the board's limit. A step reads the active weights at the memory's
        bandwidth; the roof goes with the bandwidth over the active parameters.
        """
        if law == "power":
            board_kw = self.gpus * self.gpu_limit_w / 1000.0
            return np.array([math.log(board_kw), 0.0, 0.0])
        bandwidth = self.gpus * self.memory_bandwidth_tb_per_s / REFERENCE_BANDWIDTH
        active_gb = self.active_parameters * WEIGHT_BYTES[self.precision]
        return np.array(
            [
                math.log(active_gb / REFERENCE_GB / bandwidth),
                math.log(bandwidth / (self.active_parameters / REFERENCE_ACTIVE)),
                0.0,
            ]
        )
