"""``python -m ebplan.services``: print the page of the shipped definitions."""

from __future__ import annotations

from ebplan.services.library import built_in_services, load_service
from ebplan.services.page import services_page

if __name__ == "__main__":
    print(services_page([load_service(name) for name in built_in_services()]), end="")
