"""What the fitted models are worth on measurements they have not seen: ``make validate``."""
