"""What is in a study, in words."""


def count(n: int, noun: str) -> str:
    """A number of things: "1 seed", "2 seeds"."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def as_call(section: object) -> str:
    """A section of a configuration: `step(init_value=0.1, decay_steps=100, factor=0.1)`."""
    if isinstance(section, list):
        return f"[{', '.join(map(as_call, section))}]"
    if not isinstance(section, dict):
        return str(section)
    inside = (f"{k}={as_call(v)}" for k, v in section.items() if k != "name")
    return f"{section['name']}({', '.join(inside)})"
