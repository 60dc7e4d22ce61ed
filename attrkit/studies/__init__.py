"""Do attention and attribution agree, and which of them is faithful? The tests of the literature, one function each."""

from attrkit.studies._case import Case as Case
from attrkit.studies.adversarial import adversarial_attention as adversarial_attention
from attrkit.studies.adversarial_training import adversarial_training as adversarial_training
from attrkit.studies.diagnostic import diagnostic as diagnostic
from attrkit.studies.open_study import open_study as open_study
from attrkit.studies.permutation import permute_attention as permute_attention
from attrkit.studies.protocol import protocol as protocol
from attrkit.studies.study import study as study
from attrkit.studies.tables import tables as tables
from attrkit.studies.tables import write_tables as write_tables
from attrkit.studies.uniform import check_uniform as check_uniform
from attrkit.studies.uniform import uniform_attention as uniform_attention
from attrkit.studies.uniform import uniform_training as uniform_training
