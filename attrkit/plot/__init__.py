"""Pictures of attrkit's datasets: the only room that imports matplotlib, and pyplot only when asked to show."""

from attrkit.plot.agreement import agreement
from attrkit.plot.attention import attention
from attrkit.plot.convergence import convergence
from attrkit.plot.curves import curves
from attrkit.plot.difference import difference
from attrkit.plot.heads import heads
from attrkit.plot.heatmap import heatmap
from attrkit.plot.hist import hist
from attrkit.plot.ledger import ledger
from attrkit.plot.overlay import overlay
from attrkit.plot.panels import Panels
from attrkit.plot.profile import profile
from attrkit.plot.ranking import ranking
from attrkit.plot.removal import removal
from attrkit.plot.scatter import scatter
from attrkit.plot.theme import theme
from attrkit.plot.tokens import tokens
from attrkit.plot.weights import adversarial, permutation

__all__ = [
    "Panels",
    "adversarial",
    "agreement",
    "attention",
    "convergence",
    "curves",
    "difference",
    "heads",
    "heatmap",
    "hist",
    "ledger",
    "overlay",
    "permutation",
    "profile",
    "ranking",
    "removal",
    "scatter",
    "theme",
    "tokens",
]
