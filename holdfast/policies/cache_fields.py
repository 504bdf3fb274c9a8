"""What each field of a CachePolicy may be; whatever else is refused when the policy is built, with the fix."""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING, Any

from holdfast.errors import PolicyError
from holdfast.policies.callables import name_of
from holdfast.policies.duration import positive_seconds, spoken
from holdfast.policies.probe import Probe
from holdfast.policies.tune import Tune

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from holdfast.policies.duration import Duration
    from holdfast.typing import Codec

DEFAULT_THROTTLE = 30.0
"""Seconds that a failing source is left alone while an old value can be served; FusionCache's default, too."""

_INSTEAD = {
    "ttl": "leave it out to keep entries for ever, or leave the cache policy out to cache nothing",
    "negative_ttl": "leave it out to remember no failures",
    "stale_while_revalidate": "leave it out to serve nothing past its ttl",
    "stale_if_error": "leave it out to let failures through",
    "soft_timeout": "leave it out to wait for the new value, or give stale_while_revalidate to wait for none",
    "hard_timeout": "leave it out to wait as long as it takes",
    "fail_safe_throttle": "give for example '1s' to ask a failing source often",
}
_PAIR = 2
_NEEDS_TTL = ("stale_while_revalidate", "stale_if_error", "refresh_ahead", "ttl_jitter", "ttl_range", "probe")
_THROTTLED = ("stale_while_revalidate", "stale_if_error", "refresh_ahead")


def duration(value: Duration | None, *, what: str) -> float | None:
    """Check a duration that may be left out."""
    return None if value is None else positive_seconds(value, what=what, instead=_INSTEAD[what])


def fraction(value: Any, *, what: str, example: float) -> float | None:
    """Check a part of the ttl that may be left out: between 0 and 1, and neither of them."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 < float(value) < 1:
        raise PolicyError(f"{what}={value!r} is no part of the ttl: give a number between 0 and 1, for example {what}={example}")
    return float(value)


def bounds(value: Any) -> tuple[float, float] | None:
    """Check ``ttl_range``: two durations, the smaller one first."""
    if value is None:
        return None
    if not isinstance(value, (tuple, list)) or len(value) != _PAIR:  # pyright: ignore[reportUnknownArgumentType] - what a user gives
        raise PolicyError(f"ttl_range={value!r} is no pair of durations: give for example ttl_range=('5m', '6h')")
    least, most = (positive_seconds(each, what="ttl_range", instead="give the least and the most") for each in value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if least > most:
        raise PolicyError(f"ttl_range={value!r} begins after its end: give the smaller one first")
    return least, most


def probe(value: Any) -> Probe | None:
    """Check that it is one, or None."""
    if value is None or isinstance(value, Probe):
        return value
    raise PolicyError(f"probe={value!r} is no Probe: give for example probe=Probe(share=0.005, max_per_hour=60)")


def tune(value: Any) -> Tune | None:
    """Check that it is one, or None."""
    if value is None or isinstance(value, Tune):
        return value
    raise PolicyError(f"tune={value!r} is no Tune: give for example tune=Tune(mode='suggest', stale_budget=0.02)")


def words(value: Iterable[str], *, what: str, example: str) -> tuple[str, ...]:
    """Check names or tags; any iterable becomes a tuple."""
    if isinstance(value, str):
        raise PolicyError(f"{what}={value!r} is one text: give a tuple, {what}=({value!r},)")
    try:
        found = tuple(value)
    except TypeError:
        raise PolicyError(f"{what}={value!r} is not a tuple of texts: give for example {what}=({example!r},)") from None
    for word in found:
        if not isinstance(word, str) or not word.strip():
            raise PolicyError(f"{what}={value!r} holds {word!r}: give texts that are not empty, for example {what}=({example!r},)")
    return found


def version(value: object) -> str | None:
    """Check ``version``; numbers become text."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise PolicyError(f'version={value!r} names no version: give text or a whole number, for example version="2"')
    return str(value)


def codec(value: Any) -> Codec | None:
    """Check ``codec``."""
    if value is None:
        return None
    if isinstance(value, type):
        raise PolicyError(f"codec={name_of(value)} is a class: give an instance, codec={name_of(value)}(...)")
    missing = [name for name in ("id", "encode", "decode") if not hasattr(value, name)]
    if missing:
        raise PolicyError(
            f"codec={value!r} has no {' and no '.join(missing)}: give an object with id, encode and decode (holdfast.typing.Codec)"
        )
    found: Codec = value
    return found


def check_together(values: Mapping[str, Any], *, is_throttled: bool) -> None:
    """Refuse what does nothing beside the other fields.

    Args:
        values: The checked fields by name.
        is_throttled: True when ``fail_safe_throttle`` was given.
    """
    if values["key_func"] is not None and values["ignore"]:
        raise PolicyError(f"ignore={values['ignore']!r} does nothing beside key_func, which gets every argument: leave one of them out")
    for name in _NEEDS_TTL:
        if values[name] is not None and values["ttl"] is None:
            raise PolicyError(f"{name}={values[name]!r} does nothing without a ttl, for nothing expires: add ttl='1h', or leave {name} out")
    soft, hard = values["soft_timeout"], values["hard_timeout"]
    if soft is not None and values["stale_if_error"] is None:
        raise PolicyError(
            f"soft_timeout={soft!r} does nothing where no old value may be served: add stale_if_error='1d', or give hard_timeout={soft!r}"
        )
    if soft is not None and hard is not None and hard <= soft:
        raise PolicyError(
            f"soft_timeout={soft!r} does nothing beside hard_timeout={hard!r}, which is over by then: give a longer hard_timeout"
        )
    ttl, allowed = values["ttl"], values["ttl_range"]
    if allowed is not None and not allowed[0] <= ttl <= allowed[1]:
        raise PolicyError(f"ttl={spoken(ttl)} is beyond ttl_range, {spoken(allowed[0])} to {spoken(allowed[1])}: change one of them")
    if values["tune"] is not None:
        _check_tune(values["tune"], values)
    if is_throttled and all(values[name] is None for name in _THROTTLED):
        raise PolicyError(
            f"fail_safe_throttle={values['fail_safe_throttle']!r} does nothing where no old value may be served: add stale_if_error='1d', "
            f"stale_while_revalidate='10m' or refresh_ahead=0.8, or leave it out"
        )


def _check_tune(tune: Tune, values: Mapping[str, Any]) -> None:
    if tune.mode == "off" and values["probe"] is not None:
        raise PolicyError("probe does nothing beside tune=Tune(mode='off'), which records nothing: leave one of them out")
    if tune.stale_budget is not None and values["ttl"] is None:
        raise PolicyError(f"tune={tune!r} does nothing without a ttl, for nothing expires: add ttl='1h', or leave tune out")
    if tune.mode != "auto":
        return
    if values["ttl_range"] is None:
        raise PolicyError("tune=Tune(mode='auto') may not go anywhere: say how far, for example ttl_range=('5m', '6h')")
    if values["stale_while_revalidate"] is not None:
        raise PolicyError(
            "tune=Tune(mode='auto') does not count what stale_while_revalidate serves past the ttl, so its budget would not hold: "
            "leave that out, or give mode='suggest'"
        )
