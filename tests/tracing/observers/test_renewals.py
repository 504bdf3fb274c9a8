"""The trace of what is renewed behind a caller's back, made by real calls."""

from __future__ import annotations

import threading

import pytest

from holdfast import CachePolicy, InMemoryCache, InMemorySaver, entrypoint, task
from holdfast.runtime import behind
from holdfast.testing import FakeClock
from holdfast.testing.recording import observing
from holdfast.tracing.observers.settings import Settings
from tests.waiting import until


def links(span):
    """Where a span's links lead, and what they say."""
    return [(link.context.trace_id, link.context.span_id, dict(link.attributes)) for link in span.links]


@pytest.mark.parametrize("window", [{"stale_while_revalidate": 60}, {"stale_if_error": 60, "soft_timeout": 5}], ids=["old", "late"])
@pytest.mark.parametrize("is_kept", [False, True])
def test_what_is_renewed_behind_a_call_names_that_call(recorder, window, is_kept):
    """Although that has not ended: it waits for the journal, or for what it began. What it was answered with is linked, too."""
    gate, begun, prices, is_second = threading.Event(), threading.Event(), [], []

    class Slow(InMemorySaver):
        """Commits a step of the second run when what it began is at work."""

        def commit(self, commits, /):
            if is_second and any(commit.steps for commit in commits):
                assert begun.wait(60)
            return super().commit(commits)

    @task(cache_policy=CachePolicy(ttl=60, version=1, **window))
    def price(item):
        if prices:
            begun.set()
            gate.wait(60)
        prices.append(item)
        return len(prices)

    @entrypoint(Slow() if is_kept else None, cache=InMemoryCache())
    def order(item):
        return price(item).result()

    with FakeClock() as clock, observing(recorder.observer()):
        order.invoke("tea", {"configurable": {"thread_id": "1"}})
        clock.advance(61)
        is_second.append(True)
        order.invoke("tea", {"configurable": {"thread_id": "2"}})
        gate.set()
        until(lambda: not behind._under_way)

    first, second, renewal = (span for span in recorder.spans() if span.name == "price")
    stored = (first.context.trace_id, first.context.span_id)
    assert [(*stored, {"holdfast.link.type": "cached_from"})] == links(second)
    assert [(second.context.trace_id, second.context.span_id, {"holdfast.link.type": "behind"})] == links(renewal)


def test_what_is_renewed_behind_one_hit_too_many_names_none(recorder):
    """That has no span: none is begun for the link, which nobody would end."""

    @task(cache_policy=CachePolicy(ttl=60, version=1, stale_while_revalidate=60))
    def price(item):
        return item

    @entrypoint(cache=InMemoryCache())
    def order(item):
        return price(item).result()

    with FakeClock() as clock, observing(recorder.observer(Settings(max_hit_spans=0))):
        order.invoke("tea")
        clock.advance(61)
        order.invoke("tea")
        until(lambda: not behind._under_way)

    _, renewal = (span for span in recorder.spans() if span.name == "price")
    assert "refresh" == renewal.attributes["holdfast.cache.result"]
    assert [] == links(renewal)
