"""What a simulated SunSpec battery says of itself when it is switched on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ebplan.twin.wire.sunspec_memory import Image
    from ebplan.twin.wire.sunspec_plant import PlantSettings


def scale_of(power_kw: float) -> int:
    """Return the scale factor with which the rating fits into 16 bits, sign included."""
    scale = 0
    while 1.5e3 * power_kw / 10**scale > 32000.0:
        scale += 1
    return scale


def der_image(settings: PlantSettings) -> Image:
    """Return the models of the 700 series."""
    scale = scale_of(settings.power_kw)
    watts = round(1e3 * settings.power_kw / 10**scale)
    idle = {"DbOf": 36, "DbUf": 36, "KOf": 5000, "KUf": 5000, "RspTms": 5}
    return {
        1: _common(settings),
        701: {
            "ACType": 2,
            "St": 1,
            "InvSt": 3,
            "ConnSt": 1,
            "Alrm": 0,
            "W": 0,
            "Hz": round(1e3 * settings.nominal_hz),
            "W_SF": scale,
            "Hz_SF": -3,
        },
        702: {
            "WMaxRtg": watts,
            "WChaRteMaxRtg": watts,
            "WDisChaRteMaxRtg": watts,
            "CtrlModes": 0b100011,
            "WMax": watts,
            "WChaRteMax": watts,
            "WDisChaRteMax": watts,
            "W_SF": scale,
        },
        703: {"ES": 1, "V_SF": -1, "Hz_SF": -3},
        704: {
            "WSetEna": 0,
            "WSetMod": 1,
            "WSet": 0,
            "WSetRvrt": 0,
            "WSetEnaRvrt": 0,
            "WSetRvrtTms": 0,
            "WSetRvrtRem": 0,
            "WSet_SF": 0,
        },
        711: {
            "Ena": 0,
            "AdptCtlReq": 0,
            "AdptCtlRslt": 1,
            "NCtl": 2,
            "RvrtTms": 0,
            "RvrtRem": 0,
            "RvrtCtl": 0,
            "Db_SF": -3,
            "K_SF": -5,
            "RspTms_SF": -2,
            **{f"Ctl.0.{name}": raw for name, raw in {**idle, "ReadOnly": 1}.items()},
            **{f"Ctl.1.{name}": raw for name, raw in {**idle, "ReadOnly": 0}.items()},
        },
        713: {
            "WHRtg": min(round(10 * settings.energy_kwh), 65000),
            "SoC": round(1e3 * settings.soc),
            "SoH": 990,
            "Sta": 0,
            "WH_SF": 2,
            "Pct_SF": -1,
        },
        715: {
            "LocRemCtl": int(settings.local),
            "DERHb": 0,
            "ControllerHb": 0,
            "AlarmReset": 0,
            "OpCtl": 1,
        },
        203: _meter(scale),
    }


def legacy_image(settings: PlantSettings) -> Image:
    """Return the models that devices had before the 700 series."""
    scale = scale_of(settings.power_kw)
    watts = round(1e3 * settings.power_kw / 10**scale)
    return {
        1: _common(settings),
        103: {
            "W": 0,
            "W_SF": scale,
            "Hz": round(100 * settings.nominal_hz),
            "Hz_SF": -2,
            "St": 4,
            "Evt1": 0,
        },
        120: {
            "DERTyp": 82,
            "WRtg": watts,
            "WRtg_SF": scale,
            "MaxChaRte": watts,
            "MaxChaRte_SF": scale,
            "MaxDisChaRte": watts,
            "MaxDisChaRte_SF": scale,
        },
        121: {"WMax": watts, "WMax_SF": scale},
        124: {
            "WChaMax": watts,
            "WChaMax_SF": scale,
            "StorCtl_Mod": 0,
            "ChaState": round(1e3 * settings.soc),
            "ChaState_SF": -1,
            "ChaSt": 6,
            "OutWRte": 0,
            "InWRte": 0,
            "InOutWRte_SF": -2,
            "InOutWRte_WinTms": 0,
            "InOutWRte_RvrtTms": 0,
            "InOutWRte_RmpTms": 0,
        },
        203: _meter(scale),
    }


def _common(settings: PlantSettings) -> dict[str, int | str]:
    return {"Mn": "ebplan", "Md": "bench battery", "Vr": "1", "SN": settings.serial, "DA": 1}


def _meter(scale: int) -> dict[str, int | str]:
    return {"W": 0, "W_SF": scale, "Hz": 5000, "Hz_SF": -2}
