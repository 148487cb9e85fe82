"""Faults on processes: end them, or stall them."""

from faults.process.kill import ProcessKill
from faults.process.stall import ProcessStall

__all__ = ["ProcessKill", "ProcessStall"]
