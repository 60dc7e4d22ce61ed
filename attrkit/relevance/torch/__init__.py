"""LRP through torch modules: a rule in the place of each torch function that the model calls, wherever it calls it.

``plan.py`` begins a pass and follows its modules, ``seen.py`` gives each function its rule, ``flow.py`` finds the
samples; the other files hold the rules, one family of functions each.
"""

from attrkit.relevance.torch.plan import plan as plan
