"""Layer-wise relevance propagation: rules, composites, and one driver a framework.

A rule is a forward pass whose value is the layer's own and whose gradient carries relevance (``flow.py``); rules of
kernels are data (``rules.py``); composites say which layer has which (``composites.py``).
"""

from attrkit.relevance.composites import COMPOSITES as COMPOSITES
from attrkit.relevance.composites import Composite as Composite
from attrkit.relevance.flow import Flow as Flow
from attrkit.relevance.rule import passes as passes
from attrkit.relevance.rules import AlphaBeta as AlphaBeta
from attrkit.relevance.rules import Epsilon as Epsilon
from attrkit.relevance.rules import Flat as Flat
from attrkit.relevance.rules import Gamma as Gamma
from attrkit.relevance.rules import WSquare as WSquare
from attrkit.relevance.rules import ZBox as ZBox
from attrkit.relevance.rules import ZPlus as ZPlus
