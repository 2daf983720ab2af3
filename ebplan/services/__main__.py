"""``python -m ebplan.services``: print the page of the shipped definitions."""

from __future__ import annotations

from ebplan.services.library import (
    built_in_services,
    built_in_tariffs,
    left_out,
    load_service,
    load_tariff,
)
from ebplan.services.page import services_page

if __name__ == "__main__":
    services = [load_service(name) for name in built_in_services()]
    tariffs = [load_tariff(name) for name in built_in_tariffs()]
    print(services_page(services, tariffs, left_out()), end="")
