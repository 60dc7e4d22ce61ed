"""What the benchmarks share: models, hand-written gradients, timing, tables and datasets."""
