"""The page says what the definitions say."""

from __future__ import annotations

from pathlib import Path

from ebplan.services import built_in_services, built_in_tariffs, load_service, load_tariff
from ebplan.services.library import left_out
from ebplan.services.page import services_page

PAGE = Path(__file__).parents[2] / "docs" / "services.md"


def test_the_page_is_what_the_command_prints() -> None:
    services = [load_service(name) for name in built_in_services()]
    tariffs = [load_tariff(name) for name in built_in_tariffs()]
    assert PAGE.read_text(encoding="utf-8") == services_page(services, tariffs, left_out())


def test_what_is_left_out_has_no_definition_and_a_reason() -> None:
    known = {*built_in_services(), *built_in_tariffs()}
    assert left_out()
    for one in left_out():
        assert one.id not in known
        assert one.why
