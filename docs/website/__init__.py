"""The documentation site: ``python -m docs.website`` writes it to ``build/site``.

The pages are those of ``docs/``, as they read on a code host too. What a site needs beyond that is
made here: a home from the README, links into the repository as pages, the reference from
docstrings, the formulas as MathML. mkdocs then renders it with warnings as errors.
Nothing is fetched, neither while it is built nor when it is read.
"""
