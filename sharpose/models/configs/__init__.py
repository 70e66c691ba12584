"""What determines each model, one file per system: a checked dataclass and the names it is known by. No torch here."""
