"""The exceptions and warnings attrkit raises, all in one place.

Every message says what is wrong, what came and what is accepted. Each class also inherits from the built-in
exception that plain Python would raise, so that code which catches ``ValueError`` goes on working.
"""

import re


class AttrkitError(Exception):
    """Base class of every error that attrkit raises on purpose."""


class InputError(AttrkitError, ValueError):
    """The inputs, the target, the baseline or an option do not fit the model or the method."""


class UnknownModelError(AttrkitError, TypeError):
    """No adapter takes a model of this type."""


class RefusedError(AttrkitError, NotImplementedError):
    """The method does not hold for this model, or cannot be read from this layer; the message names the place."""


class ForwardMismatchError(AttrkitError, RuntimeError):
    """A pass that was tapped gave other predictions than the model itself."""


class SchemaError(AttrkitError, ValueError):
    """A dataset does not follow the attrkit schema; the message lists every fault."""


class StoreError(AttrkitError, OSError):
    """A file cannot be written or read back as an attrkit dataset."""


class EngineError(AttrkitError, RuntimeError):
    """Another toolkit has failed, ran out of time, or its process has died."""


class MissingDependencyError(AttrkitError, ImportError):
    """An optional package is not installed; the message gives the command that installs it."""


class AttrkitWarning(UserWarning):
    """Base class of the warnings of attrkit."""


class CompletenessWarning(AttrkitWarning):
    """Attributions do not add up to the change in the model's output within tolerance."""


class AttentionWarning(AttrkitWarning):
    """Attention weights that say little or mislead: one timestep, flat rows, weight on padding."""


class SaturationWarning(AttrkitWarning):
    """The explained output comes out of a saturated softmax or sigmoid, whose gradient vanishes."""


def without_numbers(text: str) -> str:
    """Return what all warnings of one kind have in common: a warning without its numbers.

    Examples
    --------
    >>> without_numbers("7 of 60 samples miss the change by more than 1%; the worst by 0.758")
    '# of # samples miss the change by more than #%; the worst by #'
    """
    return re.sub(r"\d[\d.e+-]*", "#", text)
