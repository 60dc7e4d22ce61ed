"""How well attributions agree, whether they are faithful to the model, and how sure that is; labelled per sample."""

from attrkit.metrics.agreement import agreement as agreement
from attrkit.metrics.agreement import self_agreement as self_agreement
from attrkit.metrics.ground_truth import ground_truth as ground_truth
