"""
Words and their relevance
=========================

For text: each token on a ground of its colour, in reading order, one strip for each sample and method. Use it to read
along with a model; two methods below each other show at once where they part.
"""

import numpy as np
import xarray as xr

import attrkit

texts = [
    "the plot is thin , but the act ##ing is not bad at all",
    "a dread ##ful film : two hours that nobody will give back to me",
    "charm ##ing , warm , never dull",
]
words = [["[CLS]", *text.split(), "[SEP]"] for text in texts]
length = max(map(len, words))
words = np.array([text + ["[PAD]"] * (length - len(text)) for text in words], dtype=object)

# %%
# The model is a list of words that are good or bad, and a rule: *not* and *never* turn the next two words around.

GOOD = {"charm": 1.0, "warm": 1.0, "act": 0.1, "give": 0.2}
BAD = {"thin": -0.8, "bad": -1.5, "dread": -2.0, "dull": -1.2, "nobody": -0.4}
vocabulary = ["[PAD]", *sorted(set(words.ravel()) - {"[PAD]"})]
worth = np.array([{**GOOD, **BAD}.get(word, 0.0) for word in vocabulary])
turns = np.isin(vocabulary, ["not", "never"])


def sentiment(ids):
    turned = turns[ids]
    after = np.zeros_like(turned)
    after[:, 1:] |= turned[:, :-1]
    after[:, 2:] |= turned[:, :-2]
    return (worth[ids] * np.where(after, -1, 1)).sum(axis=1)


# %%
# A tokenizer of Hugging Face hands its words over by itself. Here they are the coordinate ``token`` of the ids.

ids = np.searchsorted(vocabulary[1:], words, side="left") + 1
ids[words == "[PAD]"] = 0
dims = ("sample", "timestep")
x = xr.DataArray(ids, dims=dims, coords={"token": (dims, words), "sample": ["mild", "harsh", "kind"]})
occluded = attrkit.extract(sentiment, x, "occlusion", baseline=0, mask=ids > 0)
counted = attrkit.from_arrays({"word list": worth[ids]}, inputs=x, mask=ids > 0)["word list"].to_dataset()
attrkit.plot.tokens({"occlusion": occluded, "word list": counted})

# %%
# Occlusion finds that *not* matters, which a list of words cannot say: without it, the first text would be a bad
# review.
