"""A study as steps: data, training, the gate, extractors, tests, and the folder that holds what is done."""
