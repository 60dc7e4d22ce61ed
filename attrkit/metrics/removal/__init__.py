"""What a model loses when items are removed: faithfulness, F-Fidelity, ROAR, and how far operators agree."""
