"""Colours that every common colour vision tells apart."""

COLOURS = {
    "battery": "#0072B2",
    "consolidation": "#009E73",
    "power_cap": "#E69F00",
    "admission": "#CC79A7",
    "deferral": "#F0E442",
    "clock_lock": "#56B4E9",
    "shortfall": "#D55E00",
    "pull_forward": "#882255",
    "precision": "#999933",
    "prewarm": "#332288",
}
"""Okabe and Ito's palette, and for more than it has three dark tones of Paul Tol's muted scheme:
told apart with every common colour vision."""
OTHER_COLOUR = "#BBBBBB"
"""For a mechanism that the palette does not name."""
