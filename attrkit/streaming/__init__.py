"""Data sets that do not fit in memory: explained chunk by chunk into a zarr folder, here or on many machines.

``run.py`` is the way through: what came (``sources.py``) is taken in chunks of samples (``samples.py``), each explained
and written (``chunk.py``, ``regions.py``) with a marker of what is done (``records.py``), by this process or by the
workers of a Dask cluster (``cluster.py``). ``identity.py`` says what makes two calls the same question.
"""
