"""Series of several lengths, padded to one. Windows of one series are tested with the inputs."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attrkit import pad
from attrkit.errors import InputError


@given(lengths=st.lists(st.integers(1, 6), min_size=1, max_size=5), side=st.sampled_from(["left", "right"]))
def test_every_series_is_there_and_all_else_is_padding(lengths, side):
    rng = np.random.default_rng(0)
    series = [rng.standard_normal((length, 2)) for length in lengths]
    x = pad(series, value=-7.0, side=side)
    for one, padded, mask in zip(series, x.values, x["mask"].values, strict=True):
        np.testing.assert_array_equal(padded[mask], one)
        np.testing.assert_array_equal(padded[~mask], -7.0)
        np.testing.assert_array_equal(
            np.flatnonzero(mask), np.arange(len(one)) + (0 if side == "right" else max(lengths) - len(one))
        )


def test_stamps_and_names_stay_with_their_series():
    frames = [
        pd.DataFrame({"rain": np.arange(n, dtype=float)}, index=pd.date_range(start, periods=n))
        for n, start in ((3, "2012-01-01"), (2, "2012-02-01"))
    ]
    x = pad(frames)
    assert x["channel"].values.tolist() == ["rain"]
    assert str(x["time"].values[1, 1])[:10] == "2012-02-02"
    assert np.isnat(x["time"].values[1, 2])


def test_token_ids_stay_integers():
    x = pad([np.array([4, 5, 6]), [7]])
    assert x.dims == ("sample", "timestep")
    np.testing.assert_array_equal(x, [[4, 5, 6], [7, 0, 0]])
    assert x.dtype.kind == "i"


@pytest.mark.parametrize(
    ("series", "options", "message"),
    [
        ([], {}, "one a sample; got a list of none"),
        ("ab", {}, "got a str of none"),
        ([np.ones((3, 2)), np.ones((3, 1))], {}, r"series 1 has \{'timestep': 3, 'channel': 1\}, series 0"),
        ([np.ones((3, 2, 1))], {}, r"a series is \(timestep, channel\).*got shape \(3, 2, 1\)"),
        ([np.ones((3, 2))], {"side": "top"}, "side='top' is not known; accepted are 'right' and 'left'"),
    ],
)
def test_what_cannot_be_padded_is_refused(series, options, message):
    with pytest.raises(InputError, match=message):
        pad(series, **options)
