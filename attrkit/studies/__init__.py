"""Do attention and attribution agree, and which of them is faithful? The tests of the literature, one function each."""

from attrkit.studies.attention.adversarial import adversarial_attention as adversarial_attention
from attrkit.studies.attention.adversarial_training import adversarial_training as adversarial_training
from attrkit.studies.attention.diagnostic import diagnostic as diagnostic
from attrkit.studies.attention.permutation import permute_attention as permute_attention
from attrkit.studies.attention.uniform import check_uniform as check_uniform
from attrkit.studies.attention.uniform import uniform_attention as uniform_attention
from attrkit.studies.attention.uniform import uniform_training as uniform_training
from attrkit.studies.running.case import Case as Case
from attrkit.studies.running.open_study import open_study as open_study
from attrkit.studies.running.study import study as study
from attrkit.studies.writing.protocol import protocol as protocol
from attrkit.studies.writing.tables import tables as tables
from attrkit.studies.writing.tables import write_tables as write_tables
