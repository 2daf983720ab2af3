"""Who is told. Adapters stand on the ground: they see a plan, never a solver.

``commands`` turns a plan into device-free commands in time order.
"""

from ebplan.adapters.commands import Command, commands

__all__ = ["Command", "commands"]
