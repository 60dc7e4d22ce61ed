"""What small changes of the input do to an explanation, and what an explanation says that they do."""
