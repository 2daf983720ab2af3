"""Whether devices are those of a site."""

from __future__ import annotations

from ebplan.adapters.site_devices import SiteDevices
from ebplan.errors import InputError
from ebplan.site import Site


def require_devices_of(site: Site, devices: SiteDevices) -> None:
    """Refuse devices that are not those of the site.

    Raises:
        InputError: there is no router, or a pool has another number of engines.
    """
    if devices.router is None:
        raise InputError(
            field="router",
            value=None,
            allowed="the router: the load is counted there",
            remedy="add [router] to the devices file",
        )
    for name, pool in site.pools.items():
        engines = [n for n, place in devices.places.items() if place.pool == name]
        if len(engines) != pool.instances:
            raise InputError(
                field="engines",
                value=f"{len(engines)} engines of pool {name}",
                allowed=f"{pool.instances}, as the site says",
                remedy="name each instance of the pool in the devices file, or correct the site",
            )
