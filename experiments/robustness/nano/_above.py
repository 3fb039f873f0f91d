"""Puts the folder above, with the parts that experiments share, on the path; imported for that alone."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))
