"""Small problems of many pools at one site, and their linear relaxation at once."""

from __future__ import annotations

from random_problems import random_problem

from ebplan.problem import Problem
from ebplan.solvers import highs
from ebplan.solvers.formulation import formulate
from ebplan.solvers.parts import Parts, cut, owners
from ebplan.solvers.program import Program

RESPONSES = ("cap_response", "route_response", "rise_response")


def many_pools(count: int, seed: int, *, alike: bool = True) -> Problem:
    """Return the random problem of a seed with ``count`` pools of two instances.

    Args:
        count: how many.
        seed: what everything random follows from.
        alike: whether all have the responses of the first, so that they share a channel.
    """
    problem = random_problem(seed, pools=count, instances=2, epochs=3)
    if not alike:
        return problem
    same = {name: getattr(problem.pools[0], name) for name in RESPONSES}
    pools = tuple(pool.model_copy(update=same) for pool in problem.pools)
    return Problem.model_validate({**dict(problem), "pools": pools})


def in_parts(problem: Problem) -> tuple[Program, Parts]:
    """Return the program of a problem, whole and in parts."""
    program = formulate(problem).program
    names = [pool.name for pool in problem.pools]
    return program, cut(program, owners(program.columns, names), len(names))


def relaxed_optimum(program: Program) -> float:
    """Return the optimum of the linear relaxation, solved at once."""
    (found,) = highs.least_in_turn(program, [program.cost])
    return found.objective + program.constant
