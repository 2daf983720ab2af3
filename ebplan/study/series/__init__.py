"""Series at the door of a study: prices, loads, renewables and calls, onto the study's steps."""
