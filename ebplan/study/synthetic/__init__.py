"""Made-up market years, shaped after published statistics."""

from ebplan.study.synthetic.published import AREAS
from ebplan.study.synthetic.year import ABOUT, SyntheticYear, synthetic_year

__all__ = ["ABOUT", "AREAS", "SyntheticYear", "synthetic_year"]
