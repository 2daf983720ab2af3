"""Colours that every common colour vision tells apart."""

COLOURS = {
    "battery": "#0072B2",
    "consolidation": "#009E73",
    "power_cap": "#E69F00",
    "admission": "#CC79A7",
    "deferral": "#F0E442",
    "shortfall": "#D55E00",
}
"""Okabe and Ito's palette: told apart with every common colour vision."""
OTHER_COLOUR = "#56B4E9"
"""For a mechanism that the palette does not name."""
