"""Ways to keep a model's weights, one class each."""
