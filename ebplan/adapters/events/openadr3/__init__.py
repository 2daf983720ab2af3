"""OpenADR 3 (3.0.1 and 3.1): a virtual end node that hears events of programs and reports back.

    source = OpenAdr3Source(OpenAdr3Spec.parse(...))
    await source.run(inbox)

The standard: the OpenAPI documents of OpenADR 3.0.1 and 3.1.1 and their Definition documents
(OpenADR Alliance, Apache-2.0; a public copy is
github.com/grid-coordination/openadr3-specification). "Definition" and "OpenAPI" in the docstrings
of this package mean these.
"""

from ebplan.adapters.events.openadr3.source import OpenAdr3Source
from ebplan.adapters.events.openadr3.spec import OpenAdr3Spec, ProgramSpec, WebhookSpec

__all__ = ["OpenAdr3Source", "OpenAdr3Spec", "ProgramSpec", "WebhookSpec"]
