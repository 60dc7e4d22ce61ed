"""Synthetic series with known saliency, and real ones that ship in wheels; nothing is downloaded."""

from attrkit.datasets.basic_motions import basic_motions as basic_motions
from attrkit.datasets.hidden_states import hidden_states as hidden_states
from attrkit.datasets.ismail import ismail as ismail
from attrkit.datasets.japanese_vowels import japanese_vowels as japanese_vowels
from attrkit.datasets.rare import rare_feature as rare_feature
from attrkit.datasets.rare import rare_time as rare_time
from attrkit.datasets.seattle_weather import seattle_weather as seattle_weather
from attrkit.datasets.timex import freq_shapes as freq_shapes
from attrkit.datasets.timex import low_var as low_var
from attrkit.datasets.timex import seq_comb as seq_comb
