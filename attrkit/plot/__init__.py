"""Pictures of attrkit's datasets: the only room that imports matplotlib, and pyplot only when asked to show."""

from attrkit.plot.attention import attention
from attrkit.plot.curves import curves
from attrkit.plot.heatmap import heatmap
from attrkit.plot.hist import hist
from attrkit.plot.overlay import overlay
from attrkit.plot.panels import Panels

__all__ = ["Panels", "attention", "curves", "heatmap", "hist", "overlay"]
