"""The bench on the wire: devices that speak the real protocols on loopback, traps included."""
