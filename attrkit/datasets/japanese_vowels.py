"""Nine speakers who say two vowels: series of unequal length."""

import xarray as xr

from attrkit.datasets import _ts_files


def japanese_vowels(split: str = "train") -> xr.Dataset:
    """Return utterances of nine men, to tell who speaks (Kudo et al. 1999; from the package sktime).

    Each is 7 to 29 steps long; what comes after is padding with 0.

    Parameters
    ----------
    split : {"train", "test", "all"}
        270 samples, 30 a speaker; 370 samples, 24 to 88 a speaker; or both.

    Returns
    -------
    Dataset
        ``input`` (sample, timestep, channel) of 29 timesteps and 12 channels, coefficients of linear prediction;
        ``label`` (sample), the speaker from 0 on. The coordinate ``mask`` (sample, timestep) is false where padded;
        `attrkit.extract` takes padding from it. Samples of ``"test"`` count on from those of ``"train"``.

    Raises
    ------
    InputError
        If `split` is not known.
    MissingDependencyError
        If sktime is not installed.

    Notes
    -----
    Both splits have 29 timesteps, the longest of both, so that a model of one takes the other. Which cells matter is
    not known: there is no ``saliency``.

    Examples
    --------
    >>> data = japanese_vowels()
    >>> data["input"].shape, int(data["mask"].sum("timestep").min())
    ((270, 29, 12), 7)
    """
    speakers = [str(number) for number in range(1, 10)]
    return _ts_files.read("JapaneseVowels", split, speakers, "Kudo et al. 1999, UCI; files of sktime")
