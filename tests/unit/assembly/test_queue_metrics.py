from tests.support.clock import ManualClock
from undercroft.assembly.queue_metrics import QueueMetrics
from undercroft.jobs.depth import Depth
from undercroft.telemetry.metrics import Metrics


def test_queues_are_shown_as_they_are_and_at_zero_when_they_are_empty_again() -> None:
    clock = ManualClock()
    metrics = Metrics(clock=clock)
    series = QueueMetrics(metrics, clock=clock)
    begun_us = clock.now_us()
    clock.advance(90)
    series.show(
        [
            Depth(queue="default", state="queued", jobs=3, oldest_us=begun_us),
            Depth(queue="default", state="running", jobs=2, oldest_us=begun_us),
            Depth(queue="slow", state="dead", jobs=1, oldest_us=begun_us),
        ]
    )
    text = metrics.render()[1].decode()
    assert 'ai_job_queue_depth{queue="default",state="queued"} 3\n' in text
    assert 'ai_job_queue_depth{queue="default",state="running"} 2\n' in text
    assert 'ai_job_queue_age_seconds{queue="default"} 90\n' in text
    assert 'ai_jobs_dead{queue="slow"} 1\n' in text
    series.show([])
    text = metrics.render()[1].decode()
    assert 'ai_job_queue_depth{queue="default",state="queued"} 0\n' in text
    assert 'ai_job_queue_age_seconds{queue="default"} 0\n' in text
    assert 'ai_jobs_dead{queue="slow"} 0\n' in text
