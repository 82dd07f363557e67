"""Series of this process and of its siblings."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from tests.support.clock import ManualClock
from undercroft.record import CallRecord, Usage, Who
from undercroft.telemetry.instruments import SERIES_LIMIT
from undercroft.telemetry.metrics import ERROR_TYPES_LIMIT, Metrics
from undercroft.telemetry.slots import Family

RECORD = CallRecord(
    id="req_1",
    started_us=0,
    duration_us=120_000,
    who=Who(),
    endpoint="/v1/chat/completions",
    model="chat",
    provider="openai",
    attempts=2,
    first_token_us=50_000,
    usage=Usage(input=10, output=5, cache_read=4, cache_write=3, reasoning=2),
    cost_nano=1_500_001,
)
AT = {"endpoint": "/v1/chat/completions", "model": "chat", "provider": "openai"}


def changed(**fields: Any) -> CallRecord:
    return msgspec.structs.replace(RECORD, **fields)


def metrics_in(directory: Path | None = None, **options: Any) -> Metrics:
    return Metrics(directory, clock=ManualClock(), **options)


class Scrape:
    """What Prometheus would read."""

    def __init__(self, metrics: Metrics) -> None:
        families = text_string_to_metric_families(metrics.render()[1].decode())
        self.samples = [sample for family in families for sample in family.samples]

    def value(self, name: str, **labels: str) -> float:
        """The sum over the series that have these labels."""
        return sum(
            sample.value for sample in self.samples if sample.name == name and labels.items() <= sample.labels.items()
        )

    def count(self, name: str) -> int:
        return sum(sample.name == name for sample in self.samples)


def test_one_record_feeds_all_metrics() -> None:
    metrics = metrics_in()
    metrics.observe(RECORD)
    metrics.observe(changed(status=503, error="upstream_overloaded", duration_us=7_000_000, first_token_us=0))
    scrape = Scrape(metrics)
    assert scrape.value("ai_api_calls_total", **AT) == 2
    assert scrape.value("ai_api_errors_total", **AT, type="upstream_overloaded") == 1
    assert scrape.value("ai_api_latency_seconds_count", **AT) == 2
    assert scrape.value("ai_api_latency_seconds_sum", **AT) == 7.12
    assert scrape.value("ai_api_latency_seconds_bucket", **AT, le="0.1") == 0
    assert scrape.value("ai_api_latency_seconds_bucket", **AT, le="0.25") == 1
    assert scrape.value("ai_api_latency_seconds_bucket", **AT, le="10.0") == 2
    assert scrape.value("ai_time_to_first_token_seconds_count", **AT) == 1
    assert scrape.value("ai_upstream_attempts_total", **AT) == 4
    tokens = {name: scrape.value("ai_tokens_total", **{**AT, "class": name}) for name in ("input", "output")}
    assert tokens == {"input": 20, "output": 10}
    assert scrape.value("ai_tokens_total", **{**AT, "class": "cache_read"}) == 8
    assert scrape.value("ai_tokens_total", **{**AT, "class": "cache_write"}) == 6
    assert scrape.value("ai_tokens_total", **{**AT, "class": "reasoning"}) == 4


def test_retries_fallbacks_caches_refusals_and_speed_come_from_the_record_too() -> None:
    metrics = metrics_in()
    metrics.observe(changed(deployment="chat/0"))
    metrics.observe(changed(deployment="spare/1", streamed=True, usage=Usage(input=1, output=14), attempts=3))
    metrics.observe(changed(attempts=0, cache="coalesced", provider="", usage=Usage()))
    metrics.observe(changed(attempts=0, cache="from-somewhere", provider="", usage=Usage()))
    metrics.observe(changed(attempts=0, cache="hit", provider="", usage=Usage(), saved_nano=1_500_000))
    metrics.observe(changed(attempts=0, cache="hit", provider="", usage=Usage(), saved_nano=500_000))
    metrics.observe(changed(attempts=0, cache="semantic", provider="", usage=Usage(), saved_nano=3_000))
    metrics.observe(changed(cache="miss", deployment="chat/0"))
    metrics.observe(changed(attempts=0, status=429, error="budget_exceeded", provider="", usage=Usage()))
    metrics.observe(changed(attempts=0, status=429, error="rate_limit_exceeded", provider="", usage=Usage()))
    metrics.observe(changed(attempts=1, status=429, error="rate_limit_exceeded", deployment="chat/0"))
    scrape = Scrape(metrics)
    assert scrape.value("ai_upstream_retries_total", **AT) == 1 + 2 + 1
    assert scrape.value("ai_fallbacks_total", **AT) == 1
    assert scrape.value("ai_cache_hits_total", kind="coalesced") == 1
    assert scrape.value("ai_cache_hits_total", kind="other") == 1
    assert scrape.value("ai_cache_hits_total", kind="exact") == 2
    assert scrape.value("ai_cache_saved_usd_total", kind="exact") == 0.002
    assert scrape.value("ai_cache_saved_usd_total", kind="semantic") == 0.000003
    assert scrape.value("ai_cache_misses_total", **AT) == 1, "a miss is no hit"
    assert scrape.value("ai_limit_refusals_total", kind="budget") == 1
    assert scrape.value("ai_limit_refusals_total", kind="rate") == 1, "what a provider refuses is not ours"
    assert scrape.value("ai_output_tokens_per_second_count", **AT) == 1
    assert scrape.value("ai_output_tokens_per_second_sum", **AT) == 200


def test_latencies_are_told_apart_from_ten_milliseconds_to_ten_minutes() -> None:
    metrics = metrics_in()
    for duration_us in (9_000, 11_000, 599_000_000, 601_000_000):
        metrics.observe(changed(duration_us=duration_us))
    scrape = Scrape(metrics)
    counts = [
        scrape.value("ai_api_latency_seconds_bucket", le=le) for le in ("0.01", "0.025", "300.0", "600.0", "+Inf")
    ]
    assert counts == [1, 2, 2, 3, 4]


def test_a_bucket_names_a_trace_that_fell_into_it_where_the_format_has_a_place_for_it() -> None:
    metrics = metrics_in()
    metrics.observe(changed(trace="4bf92f3577b34da6a3ce929d0e0e4736"))
    metrics.observe(changed(duration_us=3_000_000))
    accept = "application/openmetrics-text; version=1.0.0"
    parse: Any = openmetrics
    families = list(parse(metrics.render(accept)[1].decode()))
    found = [
        (sample.labels["le"], sample.exemplar.labels, sample.exemplar.value)
        for family in families
        if family.name == "ai_api_latency_seconds"
        for sample in family.samples
        if sample.exemplar
    ]
    assert found == [("0.25", {"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736"}, 0.12)]
    assert b"trace_id" not in metrics.render()[1], "plain text has none"


def test_of_what_all_processes_see_the_largest_is_shown_and_of_the_rest_the_sum(tmp_path: Path) -> None:
    one, other = metrics_in(tmp_path), metrics_in(tmp_path)
    for metrics, age in ((one, 7), (other, 9)):
        metrics.gauge("ai_age", "Age.", merge="max").labels().set(age)
        metrics.gauge("ai_open", "Open.").labels().set(age)
    scrape = Scrape(one)
    assert (scrape.value("ai_age"), scrape.value("ai_open")) == (9, 16)


def test_a_latency_on_a_bound_belongs_to_its_bucket() -> None:
    metrics = metrics_in()
    metrics.observe(changed(duration_us=250_000))
    assert Scrape(metrics).value("ai_api_latency_seconds_bucket", le="0.25") == 1


def test_cost_is_exact_to_the_nano_dollar() -> None:
    metrics = metrics_in()
    for _ in range(3):
        metrics.observe(changed(cost_nano=100_000_000_000_000_001))
    assert b"ai_cost_usd_total{" in metrics.render()[1]
    assert b"} 300000000.000000003\n" in metrics.render()[1]


def test_calls_with_a_provider_are_counted_while_they_last() -> None:
    metrics = metrics_in()
    metrics.at("/v1/x", "chat", "openai").add()
    metrics.at("/v1/x", "chat", "openai").add()
    assert Scrape(metrics).value("ai_active_requests", model="chat") == 2
    metrics.at("/v1/x", "chat", "openai").add(-1)
    metrics.at("/v1/x", "chat", "openai").add(-1)
    assert Scrape(metrics).value("ai_active_requests", model="chat") == 0


def test_a_refused_call_counts_as_a_call_and_an_error_of_the_model_other() -> None:
    metrics = metrics_in()
    metrics.observe(CallRecord(id="r", started_us=0, duration_us=9, who=Who(), endpoint="/v1/x", model="", error="x"))
    scrape = Scrape(metrics)
    assert scrape.value("ai_api_calls_total", endpoint="/v1/x", model="other", provider="") == 1
    assert scrape.value("ai_api_errors_total", endpoint="/v1/x", model="other", provider="", type="x") == 1


def test_ten_thousand_junk_names_add_one_series() -> None:
    metrics = metrics_in(known={"chat"}.__contains__)
    metrics.observe(RECORD)
    before = Scrape(metrics).count("ai_api_calls_total")
    for number in range(10_000):
        metrics.observe(changed(model=f"junk-{number}"))
    scrape = Scrape(metrics)
    assert scrape.count("ai_api_calls_total") == before + 1
    assert scrape.value("ai_api_calls_total", model="other") == 10_000
    assert len(metrics._outcomes) <= 2


def test_even_known_names_have_an_end() -> None:
    metrics = metrics_in()
    for number in range(SERIES_LIMIT + 500):
        metrics.observe(changed(model=f"m{number}"))
    scrape = Scrape(metrics)
    assert scrape.count("ai_api_calls_total") == SERIES_LIMIT + 1
    assert scrape.value("ai_api_calls_total") == SERIES_LIMIT + 500
    assert scrape.value("ai_api_calls_total", endpoint="other", model="other", provider="other") == 500


def test_error_types_have_an_end_though_providers_invent_them() -> None:
    metrics = metrics_in()
    for number in range(ERROR_TYPES_LIMIT + 50):
        metrics.observe(changed(error=f"e{number}"))
    scrape = Scrape(metrics)
    assert scrape.count("ai_api_errors_total") == ERROR_TYPES_LIMIT + 1
    assert scrape.value("ai_api_errors_total", type="other") == 50


@pytest.mark.parametrize("label", ["x" * 201, "line\nbreak", "\ud800", "\x1b[2J"])
def test_labels_that_no_name_looks_like_become_other(label: str) -> None:
    metrics = metrics_in()
    metrics.observe(changed(model=label, provider=label, error=label))
    assert Scrape(metrics).value("ai_api_errors_total", model="other", provider="other", type="other") == 1


def test_others_declare_metrics_of_their_own() -> None:
    metrics = metrics_in()
    hits = metrics.counter("ai_page_turns_total", "Hits.", ("kind",))
    hits.labels("exact").add(3)
    metrics.counter("ai_page_turns_total", "Hits.", ("kind",)).labels("exact").add()
    depth = metrics.gauge("ai_queue_depth", "Jobs waiting.").labels()
    depth.set(9)
    depth.add(-2)
    metrics.histogram("ai_chunks", "Chunks.", bounds=(1, 10), scale=1).labels().observe(11)
    scrape = Scrape(metrics)
    assert scrape.value("ai_page_turns_total", kind="exact") == 4
    assert scrape.value("ai_queue_depth") == 7
    assert scrape.value("ai_chunks_bucket", le="10.0") == 0
    assert scrape.value("ai_chunks_sum") == 11


def test_one_name_means_one_thing() -> None:
    metrics = metrics_in()
    metrics.counter("ai_x_total", "X.")
    with pytest.raises(ValueError, match="declared twice"):
        metrics.counter("ai_x_total", "Y.")
    with pytest.raises(ValueError, match="has the labels"):
        metrics.counter("ai_x_total", "X.").labels("surplus")


def test_the_process_is_described() -> None:
    scrape = Scrape(metrics_in())
    assert scrape.value("process_cpu_seconds_total") > 0
    assert scrape.value("process_start_time_seconds") == 1_767_225_600
    if sys.platform == "linux":
        assert scrape.value("process_resident_memory_bytes") > 1_000_000
        assert scrape.value("process_open_fds") > 2


def test_threads_lose_no_update() -> None:
    metrics = metrics_in()
    counter = metrics.counter("ai_x_total", "X.", ("a",))

    def count() -> None:
        for number in range(5000):
            counter.labels(str(number % 7)).add()
            metrics.observe(RECORD)

    threads = [threading.Thread(target=count) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    scrape = Scrape(metrics)
    assert scrape.value("ai_x_total") == 30_000
    assert scrape.value("ai_api_calls_total") == 30_000


PROGRAM = """
import sys
from pathlib import Path
from undercroft.clock import SystemClock
from undercroft.telemetry.metrics import Metrics
metrics = Metrics(Path(sys.argv[1]), clock=SystemClock())
counter = metrics.counter("ai_x_total", "X.", ("a",))
gauge = metrics.gauge("ai_g", "G.").labels()
timer = metrics.histogram("ai_h_seconds", "H.").labels()
for line in sys.stdin:
    for number in range(int(line)):
        counter.labels(str(number % 3)).add()
        gauge.add()
        timer.observe(number)
    print("done", flush=True)
metrics.close()
"""


class Worker:
    """A process that counts when told to."""

    def __init__(self, directory: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(directory)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def count(self, times: int) -> None:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{times}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def end(self) -> None:
        self.process.communicate()


@contextmanager
def workers(directory: Path, count: int) -> Iterator[list[Worker]]:
    made = [Worker(directory) for _ in range(count)]
    try:
        yield made
    finally:
        for worker in made:
            if worker.process.poll() is None:
                worker.process.kill()
            worker.process.communicate()


def test_any_process_shows_the_sum_over_all_and_a_killed_one_takes_nothing_away(tmp_path: Path) -> None:
    mine = metrics_in(tmp_path)
    with workers(tmp_path, 3) as (first, second, third):
        for worker, times in ((first, 100), (second, 20), (third, 3)):
            worker.count(times)
        scrape = Scrape(mine)
        assert scrape.value("ai_x_total") == 123
        assert scrape.value("ai_g") == 123
        assert scrape.value("ai_h_seconds_count") == 123
        first.kill()
        second.end()
        for _ in range(2):
            scrape = Scrape(mine)
            assert scrape.value("ai_x_total") == 123
            assert scrape.value("ai_h_seconds_count") == 123
            assert scrape.value("ai_g") == 3  # what the dead had under way is gone
        third.count(7)
        assert Scrape(mine).value("ai_x_total") == 130
        third.kill()
    assert Scrape(mine).value("ai_x_total") == 130
    assert len(list(tmp_path.glob("*.metrics"))) == 1
    mine.close()
    assert Scrape(metrics_in(tmp_path)).value("ai_x_total") == 130


def test_counters_never_go_down_while_workers_come_and_go(tmp_path: Path) -> None:
    mine, other = metrics_in(tmp_path), metrics_in(tmp_path)
    seen: list[float] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.is_set():
            seen.append(Scrape(other).value("ai_x_total"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with workers(tmp_path, 4) as made:
            for worker in made:
                worker.count(500)
                worker.kill()
                Scrape(mine)
    finally:
        ended.set()
        watcher.join()
    assert seen == sorted(seen)
    assert Scrape(mine).value("ai_x_total") == 2000


def test_a_fold_that_was_cut_short_counts_nothing_twice(tmp_path: Path) -> None:
    mine = metrics_in(tmp_path)
    with workers(tmp_path, 1) as (worker,):
        worker.count(10)
        [file] = [path for path in tmp_path.glob("*.metrics") if path.name.startswith(f"{worker.process.pid}-")]
        worker.kill()
        data = file.read_bytes()
    assert Scrape(mine).value("ai_x_total") == 10
    file.write_bytes(data)  # as if the reader had died before it removed the file
    assert Scrape(mine).value("ai_x_total") == 10
    assert not file.exists()
    assert Scrape(mine).value("ai_x_total") == 10


def test_a_process_that_died_before_it_counted_is_no_problem(tmp_path: Path) -> None:
    (tmp_path / "1-empty.metrics").touch()
    (tmp_path / "2-zeros.metrics").write_bytes(bytes(65_536))
    metrics = metrics_in(tmp_path)
    metrics.observe(RECORD)
    assert Scrape(metrics).value("ai_api_calls_total") == 1
    assert len(list(tmp_path.glob("*.metrics"))) == 1


def test_series_of_another_version_do_not_spoil_the_sum(tmp_path: Path) -> None:
    older, newer = metrics_in(tmp_path), metrics_in(tmp_path)
    older.histogram("ai_h_seconds", "H.", bounds=(1, 2)).labels().observe(1)
    newer.histogram("ai_h_seconds", "H.", bounds=(1, 2, 3)).labels().observe(1)
    assert Scrape(newer).value("ai_h_seconds_count") == 1


def test_more_series_than_a_segment_holds_are_all_there(tmp_path: Path) -> None:
    metrics = metrics_in(tmp_path)
    for number in range(400):
        metrics.observe(changed(model=f"model-{number}"))
    scrape = Scrape(metrics)
    assert scrape.count("ai_api_calls_total") == 400
    assert scrape.value("ai_api_latency_seconds_count") == 400
    [file] = tmp_path.glob("*.metrics")
    assert file.stat().st_size > 2 * 65_536


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_costs_a_series_and_no_call(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    metrics = metrics_in(tmp_path)
    metrics.observe(RECORD)
    file = metrics._file
    assert file is not None
    descriptor, file._descriptor = file._descriptor, os.open("/dev/full", os.O_RDWR)
    for number in range(400):
        metrics.observe(changed(model=f"model-{number}"))
    os.close(file._descriptor)
    file._descriptor = descriptor
    assert "metrics_incomplete" in caplog.text
    assert 1 < Scrape(metrics).count("ai_api_calls_total") < 400
    metrics.observe(changed(model="after"))
    assert Scrape(metrics).value("ai_api_calls_total", model="after") == 1


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # forking with threads, from Python 3.12 on
def test_a_forked_child_counts_for_itself(tmp_path: Path, shared: bool) -> None:
    metrics = metrics_in(tmp_path if shared else None)
    counter = metrics.counter("ai_x_total", "X.").labels()
    counter.add(5)
    child = os.fork()
    if not child:
        counter.add(2)
        metrics.observe(RECORD)
        os._exit(0)
    os.waitpid(child, 0)
    counter.add(1)
    scrape = Scrape(metrics)
    assert scrape.value("ai_x_total") == (8 if shared else 6)
    assert scrape.value("ai_api_calls_total") == (1 if shared else 0)


def test_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    directory = tmp_path / "new" / "metrics"
    metrics_in(directory)
    assert directory.stat().st_mode & 0o77 == 0
    assert all(path.stat().st_mode & 0o77 == 0 for path in directory.iterdir())


def test_a_familys_slots_follow_from_its_kind() -> None:
    assert Family("a", "counter", "").slots == Family("a", "gauge", "").slots == 1
    assert Family("a", "histogram", "", bounds=(1, 2)).slots == 4


def test_many_records_at_once_count_as_one_after_the_other() -> None:
    records = [
        RECORD,
        changed(duration_us=7_000_000, trace="4bf92f3577b34da6a3ce929d0e0e4736"),
        changed(status=503, error="upstream_overloaded", first_token_us=0, attempts=2),
        changed(model="other", attempts=0, status=429, error="budget_exceeded", provider="", usage=Usage()),
        changed(attempts=0, cache="hit", provider="", usage=Usage(), saved_nano=500_000),
        changed(cache="miss", streamed=True, usage=Usage(input=1, output=14, reasoning=3)),
        changed(deployment="spare/1", attempts=3),
    ]
    together, apart = metrics_in(), metrics_in()
    together.observe(*records)
    for record in records:
        apart.observe(record)
    assert together.totals().values == apart.totals().values
    assert together._exemplars() == apart._exemplars()
