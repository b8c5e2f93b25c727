"""Every error that labelvino raises on purpose.

LabelvinoError          one clear sentence with the remedy; the command line prints it and exits 1
|- ContractError        an IR does not say, or wrongly says, what it is
|- ImageError           bytes that are no image, or one that is refused (size, format)
|- DeviceError          a device or precision that is not there or cannot do the work
|- InferenceError       the device failed on one image
|- LabelConfigError     a labelling config that cannot be read
|- FetchError           an image or a model that could not be fetched
|- LabelStudioError     Label Studio cannot be reached, or refuses what it is asked for
|- SettingsError        a setting that makes no sense
|- DemoError            the demo cannot be set up, or has ended
|- ConversionError      a source model that cannot be brought to the contract
|- MeasurementError     a model that cannot be measured or compared as asked
|- AccuracyError        a model that is not published, since it lost too much (exit code 4)
`- BundleError          a deployment package that is not what its manifest says, or cannot be made
"""

from __future__ import annotations


class LabelvinoError(Exception):
    """Base of all errors raised on purpose: one sentence for the user, with the remedy."""


class ContractError(LabelvinoError):
    """An IR does not say, or wrongly says, what it is."""


class ImageError(LabelvinoError):
    """Bytes that are no image, or an image that is refused."""


class DeviceError(LabelvinoError):
    """A device or a precision that is not there or cannot do the work."""


class InferenceError(LabelvinoError):
    """The device failed on one image."""


class LabelConfigError(LabelvinoError):
    """A labelling config that cannot be read."""


class FetchError(LabelvinoError):
    """An image or a model that could not be fetched; `passing`: another try may do better."""

    def __init__(self, sentence: str, *, passing: bool = False) -> None:
        super().__init__(sentence)
        self.passing = passing


class LabelStudioError(LabelvinoError):
    """Label Studio cannot be reached, or refuses what it is asked for."""


class SettingsError(LabelvinoError):
    """A setting that makes no sense."""


class DemoError(LabelvinoError):
    """The demo cannot be set up, or one of its servers has ended."""


class ConversionError(LabelvinoError):
    """A source model that cannot be brought to the contract."""


class MeasurementError(LabelvinoError):
    """A model that cannot be measured, or compared with another, as asked."""


class AccuracyError(LabelvinoError):
    """A model that is not published, since it lost too much."""


class BundleError(LabelvinoError):
    """A deployment package that is not what its manifest says, or that cannot be made."""
