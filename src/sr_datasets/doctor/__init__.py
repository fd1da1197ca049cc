"""What of this installation, this machine and this store works, and what is missing or broken."""

from sr_datasets.doctor.checks import Check, State, render, to_json
from sr_datasets.doctor.examine import examine

__all__ = ["Check", "State", "examine", "render", "to_json"]
