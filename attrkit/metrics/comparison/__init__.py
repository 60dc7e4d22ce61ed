"""How alike what extractors say is: rank correlations, top-k measures, divergences."""
