"""How well attributions agree, whether they are faithful to the model, and how sure that is; labelled per sample."""

from attrkit.metrics.f_fidelity import f_fidelity as f_fidelity
from attrkit.metrics.f_fidelity import random_masking as random_masking
from attrkit.metrics.faithfulness import faithfulness as faithfulness
from attrkit.metrics.ranking_sensitivity import ranking_sensitivity as ranking_sensitivity
from attrkit.metrics.roar import roar as roar
