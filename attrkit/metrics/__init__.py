"""How well attributions agree, whether they are faithful to the model, and how sure that is; labelled per sample."""

from attrkit.metrics.comparison.agreement import agreement as agreement
from attrkit.metrics.comparison.agreement import self_agreement as self_agreement
from attrkit.metrics.convergence import convergence as convergence
from attrkit.metrics.randomisation.randomisation import data_randomisation as data_randomisation
from attrkit.metrics.randomisation.randomisation import parameter_randomisation as parameter_randomisation
from attrkit.metrics.removal.f_fidelity import f_fidelity as f_fidelity
from attrkit.metrics.removal.f_fidelity import random_masking as random_masking
from attrkit.metrics.removal.faithfulness import faithfulness as faithfulness
from attrkit.metrics.removal.ranking_sensitivity import ranking_sensitivity as ranking_sensitivity
from attrkit.metrics.removal.roar import roar as roar
from attrkit.metrics.robustness.infidelity import infidelity as infidelity
from attrkit.metrics.robustness.max_sensitivity import max_sensitivity as max_sensitivity
from attrkit.metrics.statistics.interval import interval as interval
from attrkit.metrics.statistics.paired_tests import paired_tests as paired_tests
from attrkit.metrics.statistics.rank_stability import rank_stability as rank_stability
from attrkit.metrics.truth.ground_truth import ground_truth as ground_truth
