"""Goals of the gateway against figures of one run."""

from benchmarks.gateway_goals import goals_of

FOUND = {
    "nginx": {
        "saturated_64": {"cpu_us_per_answer": 20.0},
        "stream_16": {"cpu_us_per_answer": 2000.0},
        "slow_64": {"p99_ms": 55.0},
        "one_connection": {"p50_ms": 0.1},
    },
    "undercroft": {
        "saturated_64": {"cpu_us_per_answer": 80.0},
        "stream_16": {"cpu_us_per_answer": 4000.0},
        "slow_64": {"p99_ms": 58.0},
        "one_connection": {"p50_ms": 0.4},
        "idle_pss_mb": 70.0,
    },
}


def test_goals_are_ratios_and_differences_to_nginx() -> None:
    goals = {goal.name: goal for goal in goals_of(FOUND, decisions={"record_us": 1.7})}
    assert (goals["CPU of a call, against nginx"].value, goals["CPU of a call, against nginx"].verdict) == (
        4.0,
        "missed",
    )
    assert goals["CPU of a stream of 100 chunks, against nginx"].verdict == "aim"
    assert goals["CPU of a cached answer, against nginx passing it on"].verdict == "not measured"
    assert goals["p99 beyond nginx's, 64 connections, upstream of 50 ms"].value == 3.0
    assert goals["memory before the first call"].verdict == "must"
    assert goals["a record in the ledger's spool"].verdict == "must"
    assert goals["questions to Redis a call"].verdict == "not measured"
