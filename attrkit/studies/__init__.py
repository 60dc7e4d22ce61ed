"""Do attention and attribution agree, and which of them is faithful? The tests of the literature, one function each."""

from attrkit.studies.adversarial import adversarial_attention as adversarial_attention
from attrkit.studies.diagnostic import diagnostic as diagnostic
from attrkit.studies.permutation import permute_attention as permute_attention
from attrkit.studies.uniform import check_uniform as check_uniform
from attrkit.studies.uniform import uniform_attention as uniform_attention
from attrkit.studies.uniform import uniform_training as uniform_training
