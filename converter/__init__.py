"""The labelvino converter: a trained model in, a verified OpenVINO IR out."""
