"""Devices that speak Modbus: SunSpec batteries and meters, and whatever a register map declares.

``connection`` asks one device and says what came of it; ``line`` keeps polls and set-points apart;
``tls`` makes both sides prove who they are. ``sunspec`` finds out what a device is; the batteries
and meters stand on it. ``commission`` proves a device before anything relies on it.
"""
