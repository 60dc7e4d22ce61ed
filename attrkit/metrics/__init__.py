"""How well attributions agree, whether they are faithful to the model, and how sure that is; labelled per sample."""
