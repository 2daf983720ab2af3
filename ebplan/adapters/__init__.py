"""Who is told: a plan as device commands. Adapters see a plan, never a solver."""
