"""What a person sees of a plan: a page in the terminal, a figure."""
