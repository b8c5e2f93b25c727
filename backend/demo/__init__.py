"""What the demo shows: drawn scenes of COCO categories, and a small model that finds them.

`scenes` needs numpy only and never OpenVINO, so that training, which lives in another environment,
draws the same scenes. docs/demo-model.md says how the model was made.
"""

from pathlib import Path

#: The shipped IR; its weights stand beside it.
MODEL_PATH = Path(__file__).with_name("model.xml")
