"""Fitting: from measured runs to artefacts and their cards. The only place that needs scipy."""
