"""The page says what the definitions say."""

from __future__ import annotations

from pathlib import Path

from ebplan.services import built_in_services, load_service
from ebplan.services.page import services_page

PAGE = Path(__file__).parents[2] / "docs" / "services.md"


def test_the_page_is_what_the_command_prints() -> None:
    services = [load_service(name) for name in built_in_services()]
    assert PAGE.read_text(encoding="utf-8") == services_page(services)
