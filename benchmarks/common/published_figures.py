"""What others published: mean and standard deviation over five folds.

Computed from ``experiments/arma/results.csv`` (state of October 2022) and ``experiments/hmm/results.csv`` (May 2023) in
https://github.com/josephenguehard/time_interpret, which is the code of Enguehard 2023, arXiv:2305.18840 and
arXiv:2306.02968. Methods that attrkit has go by attrkit's names.
"""

Figures = dict[str, tuple[float, float]]


def _named(names: tuple[str, ...], *figures: tuple[float, float]) -> Figures:
    return dict(zip(names, figures, strict=True))


_RARE = ("aup", "aur", "information", "entropy")
_STATES = (*_RARE, "auroc", "auprc")

RARE: dict[tuple[str, ...], Figures] = {
    ("rare_feature", "integrated_gradients"): _named(_RARE, (1.0, 0.0), (0.1345, 0.0043), (463.8, 15.0), (494.0, 8.1)),
    ("rare_feature", "occlusion"): _named(_RARE, (1.0, 0.0), (0.1336, 0.0042), (461.7, 15.0), (489.6, 8.1)),
    ("rare_feature", "permutation"): _named(_RARE, (1.0, 0.0), (0.1627, 0.0066), (541.3, 22.7), (579.2, 11.8)),
    ("rare_feature", "DynaMask"): _named(_RARE, (0.9566, 0.0522), (0.6557, 0.0106), (6417, 196), (219.2, 9.1)),
    ("rare_feature", "ExtremalMask"): _named(_RARE, (0.9922, 0.0007), (0.7556, 0.0110), (12630, 224), (45.7, 2.5)),
    ("rare_time", "integrated_gradients"): _named(_RARE, (1.0, 0.0), (0.1252, 0.0045), (442.7, 16.0), (468.5, 11.3)),
    ("rare_time", "occlusion"): _named(_RARE, (1.0, 0.0), (0.1244, 0.0046), (441.2, 16.1), (464.6, 11.3)),
    ("rare_time", "permutation"): _named(_RARE, (1.0, 0.0), (0.1475, 0.0139), (497.8, 45.3), (543.3, 28.4)),
    ("rare_time", "DynaMask"): _named(_RARE, (0.9028, 0.0121), (0.6524, 0.0089), (3796, 227), (480.1, 17.4)),
    ("rare_time", "ExtremalMask"): _named(_RARE, (0.9932, 0.0013), (0.8195, 0.0063), (15118, 175), (12.5, 2.3)),
}

STATES: dict[tuple[str, ...], Figures] = {
    ("integrated_gradients",): _named(
        _STATES, (0.9176, 0.0187), (0.4538, 0.0114), (359.3, 11.6), (145.6, 0.9), (0.9357, 0.0197), (0.9086, 0.0247)
    ),
    ("occlusion",): _named(
        _STATES, (0.8664, 0.0315), (0.3927, 0.0061), (321.9, 14.6), (136.6, 1.9), (0.8700, 0.0206), (0.8166, 0.0353)
    ),
    ("DeepLift",): _named(
        _STATES, (0.9204, 0.0185), (0.4541, 0.0115), (358.7, 9.6), (145.2, 0.9), (0.9381, 0.0195), (0.9115, 0.0246)
    ),
    ("GradientShap",): _named(
        _STATES, (0.8489, 0.0298), (0.4142, 0.0150), (335.2, 14.8), (137.5, 2.4), (0.8520, 0.0267), (0.7980, 0.0371)
    ),
    ("Lime",): _named(
        _STATES, (0.9322, 0.0166), (0.4379, 0.0080), (347.0, 8.5), (142.8, 1.5), (0.9374, 0.0183), (0.9118, 0.0217)
    ),
    ("augmented occlusion",): _named(
        _STATES, (0.7551, 0.0426), (0.3882, 0.0252), (364.4, 9.0), (164.5, 1.4), (0.9151, 0.0210), (0.8302, 0.0460)
    ),
    ("FIT",): _named(
        _STATES, (0.4210, 0.0125), (0.5491, 0.0175), (436.2, 22.7), (163.6, 2.8), (0.7107, 0.0429), (0.4635, 0.0197)
    ),
    ("RETAIN",): _named(
        _STATES, (0.6450, 0.0876), (0.3336, 0.0131), (205.8, 21.2), (138.0, 5.8), (0.7995, 0.0422), (0.6223, 0.0637)
    ),
    ("DynaMask",): _named(
        _STATES, (0.7110, 0.0200), (0.7629, 0.0262), (954.1, 50.0), (45.4, 0.8), (0.8764, 0.0101), (0.6950, 0.0081)
    ),
    ("ExtremalMask",): _named(
        _STATES, (0.8848, 0.0302), (0.7810, 0.0132), (1535.8, 79.0), (34.1, 3.7), (0.9096, 0.0129), (0.8826, 0.0177)
    ),
}
