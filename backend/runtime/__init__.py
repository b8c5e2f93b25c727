"""IR in, detections out. Knows OpenVINO and pixels; no HTTP, no Label Studio, no environment."""
