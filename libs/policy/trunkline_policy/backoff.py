"""How long to wait before trying again."""


def delay_s(retry: int, roll: float, *, base_s: float = 0.1, cap_s: float = 5.0) -> float:
    """Seconds before retry number `retry` (from 0): doubled each time up to `cap_s`, up to half less by `roll` (0..1).

    Source: Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015 ("equal jitter").
    """
    full_s = min(cap_s, base_s * 2.0 ** min(retry, 32))
    return full_s * (1 - roll / 2)
