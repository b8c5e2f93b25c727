"""The labelvino converter: a trained model in, a verified OpenVINO IR that says all about itself out."""
