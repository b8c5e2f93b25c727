"""One module a command of `labelvino-model`, loaded without OpenVINO."""
