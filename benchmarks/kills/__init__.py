"""Controllers that are killed while they follow a plan, and what the site does then."""
