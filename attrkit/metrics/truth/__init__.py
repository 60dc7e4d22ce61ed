"""Against what is known to be salient."""
