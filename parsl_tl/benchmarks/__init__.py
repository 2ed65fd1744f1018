"""Measurements of the store beside the alternatives; what ``parsl-tl bench`` runs."""
