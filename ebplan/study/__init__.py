"""Year-long studies: what a site or a portfolio earns, and what it costs in compute and battery."""
