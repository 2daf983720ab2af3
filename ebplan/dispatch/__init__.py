"""A plan becomes device commands, each answered and verified.

The dispatcher follows the plan's clock; every engine and every device is told on its own, so that a
slow one delays no other. It knows no solver and no model: a plan, the instances by name, and the
devices. What comes back is a list of answers, for the estimator and the audit.
"""

from ebplan.dispatch.dispatcher import Dispatcher, PoolInstances
from ebplan.dispatch.leased import follow_leased
from ebplan.dispatch.notes import Note, Notes

__all__ = ["Dispatcher", "Note", "Notes", "PoolInstances", "follow_leased"]
