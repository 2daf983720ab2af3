"""Write ``history.csv``, a synthetic meter history: ``python examples/settle/make_history.py``.

Half-hours of five weeks of an inference site: the draw follows the requests that arrive, those
follow the hour and the day of the week, and both wander. On 25 June from 17:00 to 19:00 the site
released 150 kW; the battery that helped was charged again in the hour after.
"""

from __future__ import annotations

import math
import random
from datetime import datetime, timedelta, timezone
from pathlib import Path

SEED = 6
START = datetime(2026, 5, 25, tzinfo=timezone(timedelta(hours=9)))
DAYS = 35
EVENT = datetime(2026, 6, 25, 17, tzinfo=START.tzinfo)
RELEASED_KW, RECHARGED_KW = 150.0, 60.0


def rows() -> list[str]:
    """Return the lines of the file."""
    draw = random.Random(SEED)
    lines = ["begins_at,grid_kw,requests_per_s"]
    wandering = level_kw = 0.0
    for i in range(48 * DAYS):
        at = START + timedelta(minutes=30 * i)
        hour = at.hour + at.minute / 60.0
        weekly = 1.0 if at.weekday() < 5 else 0.7
        wandering = 0.9 * wandering + draw.gauss(0.0, 2.0)
        level_kw = 0.98 * level_kw + draw.gauss(0.0, 2.5)
        requests = weekly * (60.0 + 35.0 * math.sin((hour - 9.0) / 24.0 * 2.0 * math.pi))
        requests += wandering
        kw = 420.0 + 5.0 * requests + level_kw + draw.gauss(0.0, 5.0)
        since_h = (at - EVENT) / timedelta(hours=1)
        if 0.0 <= since_h < 2.0:
            kw -= RELEASED_KW
        elif 2.0 <= since_h < 3.0:
            kw += RECHARGED_KW
        lines.append(f"{at.isoformat()},{kw:.1f},{requests:.2f}")
    return lines


if __name__ == "__main__":
    target = Path(__file__).with_name("history.csv")
    target.write_text("\n".join(rows()) + "\n", encoding="utf-8")
