"""LRP through Keras models, version 2 and 3, on any backend: rules in the place of layers' calls.

``plan.py`` says which rule a layer has; the other files hold the rules, one family of layers each.
"""

from attrkit.relevance.keras.plan import plan as plan
