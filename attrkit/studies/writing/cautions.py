"""What must not be concluded from the tests of a study."""

import xarray as xr

from attrkit.studies.writing.tables import names_of_tests


def cautions_of(tree: xr.DataTree, passed: int) -> list[str]:
    """Return what must not be concluded from the tests that a study holds."""
    held = names_of_tests(tree)
    lines = []
    if "agreement" in held:
        lines += [
            "Agreement is not faithfulness: two extractors may agree and both be wrong about the model.",
            "A low Kendall's tau does not say that the timesteps that matter differ: over many timesteps its value is "
            "decided by the order of the long tail, which is noise. Read `top_k_overlap` and `jensen_shannon` too.",
            "No share of samples with a significant tau is given: it measures how long samples are, for the smallest "
            "tau that is significant falls with length.",
        ]
    if "seed_variance" in held:
        lines.append(
            "Self-agreement between seeds is no ceiling that cannot be passed: models of two seeds may rest on "
            "different timesteps, and each extractor be right about its own."
        )
    if "permutation" in held:
        lines.append(
            "An output that stays where it is when attention is shuffled does not say that attention is unfaithful "
            "where weights are flat, or values are alike at all timesteps. Compare changes at like `largest_weight`."
        )
    if "adversarial" in held:
        lines.append(
            "That other weights give the same answer shows that the model's own are not the only ones. It does not "
            "show that a model could be trained to have them, nor that its own explain nothing (Wiegreffe and Pinter "
            "2019, arXiv:1908.04626)."
        )
    if "faithfulness" in held:
        operator = tree["faithfulness"].attrs.get("operator", "what is put in their place")
        lines.append(
            f"Faithfulness is measured on inputs with timesteps removed ({operator}), which no data may look like: "
            "part of what the model loses may be that. Another operator may order extractors otherwise."
        )
    if "ground_truth" in held:
        lines.append(
            "What was planted in the data need not be what a model uses; and metrics that depend on the scale of "
            "scores (`aup`, `aur`, `information`, `entropy`) can be best for maps that know nothing."
        )
    if "parameter_randomisation" in held or "data_randomisation" in held:
        lines.append(
            "An explanation that stays alike when parameters or labels are drawn anew is not wrong by that: the inputs "
            "and the architecture are the same, and part of what it shows may be theirs. One that changes is not right "
            "by that either."
        )
    if passed < 5:
        lines.append(f"{passed} {'seed is' if passed == 1 else 'seeds are'} few: the next may differ from all of them.")
    lines.append("All of this is of one kind of model on one set of data. It is no result about attention in general.")
    return lines
