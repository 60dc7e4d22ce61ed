"""Do attention and attribution agree, and which of them is faithful? The tests of the literature, one function each."""

from attrkit.studies.adversarial import adversarial_attention as adversarial_attention
from attrkit.studies.adversarial_training import adversarial_training as adversarial_training
from attrkit.studies.permutation import permute_attention as permute_attention
