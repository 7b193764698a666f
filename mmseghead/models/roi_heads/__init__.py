"""RoI heads."""
