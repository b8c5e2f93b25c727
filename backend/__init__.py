"""labelvino: instance-segmentation pre-annotations for Label Studio on OpenVINO."""
