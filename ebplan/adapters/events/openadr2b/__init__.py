"""OpenADR 2.0b as a source of events: a node (a VEN) that polls one server (a VTN).

``ven`` registers, polls, answers; ``hearing`` decides each answer with the inbox. What a message
says is read by ``read_events`` into ``heard``, and what it means to this site is found by
``mapping`` with ``signals``, ``targets`` and ``times``, all of them pure. ``envelope`` writes,
signs, opens and checks messages with openleadr's templates and the published schema; ``line``
carries them. ``reports`` holds what the server may ask for.
"""
