"""Puts the folder above, with the parts that experiments share, and the frames of `nbmotaw` on the path; imported for that alone."""

import sys
from pathlib import Path

ABOVE = Path(__file__).resolve().parents[1]
sys.path += [str(ABOVE), str(ABOVE / "nbmotaw")]
