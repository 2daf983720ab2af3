"""The formulation, one physical thing per block.

A block takes the builder, its part of the problem and the time grid; it adds variables, labelled
rows and priced causes, and returns its variables. Blocks know no other block's inside:
``formulation.py`` hands the variables of one to the next.

Index k runs over epochs, t over steps, h over the lines of a curve.
"""
