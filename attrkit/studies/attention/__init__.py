"""Tests of attention weights: shuffled, adversarial, uniform, and handed to a model without context."""
