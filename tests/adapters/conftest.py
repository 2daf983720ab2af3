"""What the tests of adapters share lies beside them: the contract's scenarios."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "contract"))
