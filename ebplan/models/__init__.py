"""What the hardware does: fitted curves, their cards, and the artefacts shipped with ebplan."""
