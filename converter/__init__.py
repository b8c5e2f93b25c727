"""The labelvino converter: a trained model in, a verified OpenVINO IR out."""

# First of all: it keeps OpenVINO from talking to the internet, whatever is imported next.
import backend.runtime as _runtime  # noqa: F401
