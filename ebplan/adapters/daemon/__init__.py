"""Daemons of a node: each holds one lease for a controller that may die at any moment.

``server`` is what they share: a unix socket, one holder at a time, and a lapse that needs nobody.
``capd`` owns caps and clocks of GPUs, ``waked`` wakes serving engines; ``client`` asks either.

What happens when whom dies:

- the controller: its socket closes and the daemon goes to the safe state at once;
- a controller that hangs: at the end of the term;
- the daemon: what was set stays set, and its next start restores it from a file;
- daemon and machine: what was set is gone with the drivers.
"""
