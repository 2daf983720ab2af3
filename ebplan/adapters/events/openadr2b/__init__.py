"""OpenADR 2.0b as a source of events: a node (a VEN) that polls one server (a VTN).

``source`` registers, polls, answers; ``hearing`` decides each answer with the inbox. What a message
says is read by ``read_events`` into ``heard``, and what it means to this site is found by
``mapping`` with ``signals``, ``targets`` and ``times``, all of them pure. ``envelope`` writes,
signs, opens and checks messages with openleadr's templates and the published schema; ``line``
carries them. ``reporting`` holds what the server asks for, ``measures`` what it may.
"""

from ebplan.adapters.events.openadr2b.source import OpenAdr2bSource
from ebplan.adapters.events.openadr2b.spec import OpenAdr2bSpec, ProgrammeSpec

__all__ = ["OpenAdr2bSource", "OpenAdr2bSpec", "ProgrammeSpec"]
