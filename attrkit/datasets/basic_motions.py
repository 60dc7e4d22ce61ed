"""Four motions, seen by a watch."""

import xarray as xr

from attrkit.datasets import _ts_files


def basic_motions(split: str = "train") -> xr.Dataset:
    """Return what a watch measured of four motions, ten seconds each.

    A project of students, in the archive of Bagnall et al. (2018, arXiv:1811.00075); it comes with the package sktime.

    Parameters
    ----------
    split : {"train", "test", "all"}
        40 samples, 10 a class; another 40; or both.

    Returns
    -------
    Dataset
        ``input`` (sample, timestep, channel) of 100 timesteps, a tenth of a second each, and 6 channels of an
        accelerometer and a gyroscope; ``label`` (sample): 0 standing, 1 running, 2 walking, 3 badminton. Nothing is
        padded. Samples of ``"test"`` count on from those of ``"train"``.

    Raises
    ------
    InputError
        If `split` is not known.
    MissingDependencyError
        If sktime is not installed.

    Notes
    -----
    Which cells matter is not known: there is no ``saliency``.

    Examples
    --------
    >>> data = basic_motions("test")
    >>> data["input"].shape, np.bincount(data["label"]).tolist()
    ((40, 100, 6), [10, 10, 10, 10])
    """
    motions = ["Standing", "Running", "Walking", "Badminton"]
    return _ts_files.read("BasicMotions", split, motions, "timeseriesclassification.com; files of sktime")
