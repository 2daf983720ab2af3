"""What is best: the problem's blocks, the sparse program they make, and who solves it."""
