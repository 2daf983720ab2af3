"""The whitepaper's experiment, simulated: six steps for each case of a matrix.

``protocol`` is the document, ``matrix`` its cases, ``bench`` the plant of a case. ``steps`` runs
one: baseline, event, bridge, mechanisms, recovery. ``telemetry`` keeps what is measured,
``measures`` makes the whitepaper's measured variables of it, ``record`` the audit trail. ``folder``
keeps what is finished, ``campaign`` runs what is not.
"""
