"""How well attributions agree, whether they are faithful to the model, and how sure that is; labelled per sample."""

from attrkit.metrics.agreement import agreement as agreement
from attrkit.metrics.agreement import self_agreement as self_agreement
from attrkit.metrics.convergence import convergence as convergence
from attrkit.metrics.f_fidelity import f_fidelity as f_fidelity
from attrkit.metrics.f_fidelity import random_masking as random_masking
from attrkit.metrics.faithfulness import faithfulness as faithfulness
from attrkit.metrics.ground_truth import ground_truth as ground_truth
from attrkit.metrics.randomisation import data_randomisation as data_randomisation
from attrkit.metrics.randomisation import parameter_randomisation as parameter_randomisation
from attrkit.metrics.ranking_sensitivity import ranking_sensitivity as ranking_sensitivity
from attrkit.metrics.roar import roar as roar
from attrkit.metrics.robustness import infidelity as infidelity
from attrkit.metrics.robustness import max_sensitivity as max_sensitivity
from attrkit.metrics.statistics import interval as interval
from attrkit.metrics.statistics import paired_tests as paired_tests
from attrkit.metrics.statistics import rank_stability as rank_stability
