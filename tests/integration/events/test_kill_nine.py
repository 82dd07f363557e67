"""kill -9 in the middle of telling: nothing is lost, and what comes twice has the same id."""

import random
import time
from collections import defaultdict
from functools import partial
from pathlib import Path

from tests.support.receiver import ALLOWED, Receiver, receiving, settle, subscribe, written_into
from tests.support.server import serving

EVENTS = 300
KILLS = 3
SUBJECTS = 20


def has_more_than(receiver: Receiver, count: int) -> bool:
    return len(receiver.got) > count


def test_a_server_that_is_killed_while_it_tells_loses_nothing_and_keeps_every_subjects_order(tmp_path: Path) -> None:
    rng = random.Random(7)
    told: list[str] = []
    of_subject: dict[str, list[str]] = defaultdict(list)
    with receiving() as receiver:
        receiver.pause_s = 0.02
        for kill in range(KILLS + 1):
            with serving(tmp_path, toml=ALLOWED) as server:
                if not kill:
                    subscribe(server, receiver)
                with written_into(tmp_path) as tell:
                    for _ in range(EVENTS // (KILLS + 1) // 5):
                        for event in tell(*(f"job_{rng.randrange(SUBJECTS)}" for _ in range(5))):
                            told.append(event.id)
                            of_subject[event.subject].append(event.id)
                if kill < KILLS:
                    settle(partial(has_more_than, receiver, len(receiver.got) + 10), within_s=120)
                    time.sleep(rng.random() / 20)
                    assert len({each["id"] for each in receiver.events()}) < len(told), "it is in the middle of it"
                    server.kill()
                else:
                    settle(lambda: {each["id"] for each in receiver.events()} == set(told), within_s=240)
        got = receiver.events()

    assert len(told) == EVENTS
    assert {each["id"] for each in got} == set(told), "nothing is lost, and nothing is made up"
    bodies: dict[str, set[str]] = defaultdict(set)
    for each in got:
        bodies[each["id"]].add(str(each))
    assert all(len(same) == 1 for same in bodies.values()), "what comes twice says the same"
    assert len(got) - EVENTS <= KILLS * 4, "only what was under way when it died is told again"
    for subject, ids in of_subject.items():
        firsts = list(dict.fromkeys(each["id"] for each in got if each["data"]["id"] == subject))
        assert firsts == ids
