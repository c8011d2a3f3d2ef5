"""Tasks that want GPUs, by the Lua scripts alone. worker/gpuplace.h says what goes where; gpuplace_test.c has its rules."""
import pytest

from harness import wait_until
from scriptqueue import GIB, q, script_server  # noqa: F401

CARD = 16 * GIB


def card(milli=1000, mem=CARD, plain=CARD, total=CARD, empty=1):
    return f"{milli}:{mem}:{plain}:{total}:{empty}"


def cards(*each):
    return ",".join(each)


def requires(milli=0, mem=0):
    return ",".join(word for word in (f"gpu:{milli}" if milli else "", f"gpu_mem:{mem}" if mem else "") if word)


def room_cards(q, worker="w1"):  # noqa: F811
    """What the worker said was left: [(thousandths, memory, plain, total, empty)]."""
    text = q.redis("HGET", f"worker:{worker}", "room").decode().split(" ")[5]
    return [] if text == "-" else [tuple(map(int, part.split(":"))) for part in text.split(",")]


@pytest.mark.parametrize("free,milli,mem,count", [
    # shares: 1000 thousandths a card, and that share of its memory
    (cards(card()), 250, 0, 4), (cards(card()), 300, 0, 3), (cards(card(), card()), 600, 0, 2),
    (cards(card(milli=500, mem=CARD // 2, plain=CARD // 2, empty=0)), 250, 0, 2),
    (cards(card(plain=CARD // 2)), 250, 0, 2),
    (cards(card(milli=100)), 250, 0, 0), (cards(card(0, 0, 0, CARD, 0)), 1, 0, 0), ("", 1, 0, 0),
    # with a memory of its own
    (cards(card()), 100, 5 * GIB, 3), (cards(card(mem=4 * GIB)), 100, 5 * GIB, 0),
    (cards(card(mem=5 * GIB, plain=0)), 100, 5 * GIB, 1),
    # memory only: nothing of its time
    (cards(card()), 0, 4 * GIB, 4), (cards(card(milli=0, mem=9 * GIB, empty=0)), 0, 4 * GIB, 2),
    # whole cards: nobody else of ours there, and nobody at all unless it says how much it needs
    (cards(card(), card()), 1000, 0, 2), (cards(card(empty=0)), 1000, 0, 0), (cards(card(plain=CARD - 1)), 1000, 0, 0),
    (cards(card(mem=8 * GIB, plain=8 * GIB)), 1000, 8 * GIB, 1), (cards(card(mem=8 * GIB)), 1000, 8 * GIB + 1, 0),
    # several
    (cards(card(), card(), card()), 2000, 0, 1), (cards(card(), card(empty=0)), 2000, 0, 0),
    (cards(card(), card(), card(), card()), 2000, CARD, 2), (cards(card()), 2000, 0, 0),
])
def test_no_more_than_the_cards_hold(q, free, milli, mem, count):  # noqa: F811
    q.register()
    q.add(9, requires=requires(milli, mem))
    assert len(q.claim(slots=9, gpus=free)) == count
    if count == 0:
        assert q.redis("ZCARD", "shape") == 1


def test_shares_go_to_the_fullest_card_so_that_whole_ones_stay_whole(q):  # noqa: F811
    q.register()
    q.add(2, requires="gpu:250", priority=9)
    q.add(1, requires="gpu:1000")
    half = card(milli=500, mem=CARD // 2, plain=CARD // 2, empty=0)
    assert len(q.claim(slots=9, gpus=cards(card(), half))) == 3
    assert room_cards(q) == [(0, 0, 0, CARD, 0), (0, (CARD // 2) - 2 * (CARD // 1000 * 250),
                                                 (CARD // 2) - 2 * (CARD // 1000 * 250), CARD, 0)]


def test_of_equal_shares_the_card_with_least_memory(q):  # noqa: F811
    q.register()
    q.add(1, requires="gpu:100,gpu_mem:1000")
    q.claim(gpus=cards(card(), card(mem=5000), card(mem=6000)))
    assert room_cards(q)[1] == (900, 4000, CARD - 1000, CARD, 0)


def test_other_words_are_looked_for_too(q):  # noqa: F811
    q.register()
    q.add(1, requires="gpu:500,label:ssd")
    assert q.claim(gpus=card()) == []
    assert q.claim(caps=",label:ssd,") == []
    assert len(q.claim(gpus=card(), caps=",label:ssd,")) == 1


def test_tasks_without_cards_take_none(q):  # noqa: F811
    q.register()
    q.add(3)
    assert len(q.claim(slots=3, gpus=card())) == 3
    assert room_cards(q) == [(1000, CARD, CARD, CARD, 1)]


def test_what_waits_for_a_card_holds_nobody_up(q):  # noqa: F811
    """No reservation is made for cards: a task that lacks one only is passed over and not noted."""
    q.register()
    q.add(1, requires="gpu:1000", mem=GIB, priority=9)
    q.add(5)
    assert len(q.claim(slots=9, gpus=card(empty=0))) == 5
    assert q.reservations() == {}


def test_a_worker_without_such_cards_is_not_kept_free(q):  # noqa: F811
    q.register("w1")
    q.register("w2")
    [large] = q.add(1, requires="gpu:500", mem=8 * GIB, priority=9)
    q.add(40)
    full = (8 * GIB, 64000)
    q.claim("w2", mem=8 * GIB, slots=0, forecast=[(5, *full)])
    q.claim("w1", mem=GIB, most=full, slots=2, gpus=card(), starve=50, forecast=[(9000, *full)])
    [note] = q.reservations().values()
    assert note.id == large.id

    def chosen():
        q.redis("HDEL", "worker:w1", "looked")
        q.redis("HSET", "worker:w1", "looked", 1)
        q.claim("w1", mem=GIB, most=full, slots=1, gpus=card(), starve=50, forecast=[(9000, *full)])
        notes = list(q.reservations().values())
        return notes and notes[0].owner

    wait_until(lambda: chosen() == "w1", what="w1 is kept free, though w2 would be sooner")
    assert q.redis("HGET", "worker:w2", "reserved") is None


def test_memory_is_not_kept_while_the_cards_are_taken(q):  # noqa: F811
    q.register("w1")
    [large] = q.add(1, requires="gpu:1000", mem=8 * GIB, priority=9)
    q.add(40, mem=GIB)
    full = (8 * GIB, 64000)
    shape = q.record(large).shape
    q.claim("w1", mem=7 * GIB, most=full, slots=1, gpus=card(), starve=50, forecast=[(10, *full)])
    q.redis("HSET", "reserve", shape, f"{large.id} 1 {int(q.now()) + 40} 1 0 w1")
    q.redis("HSET", "worker:w1", "reserved", shape)
    assert q.claim("w1", mem=7 * GIB, most=full, slots=3, gpus=card(), starve=50, forecast=[(10, *full)]) == []
    assert len(q.claim("w1", mem=7 * GIB, most=full, slots=3, gpus=card(empty=0), starve=50, forecast=[(10, *full)])) == 3


def test_only_workers_with_a_free_card_are_woken(q):  # noqa: F811
    for name in ("w1", "w2", "w3"):
        q.register(name)
    clients = {}
    for name, free in (("w1", ""), ("w2", card(empty=0)), ("w3", card())):
        assert q.claim(name, gpus=free) == []
        clients[name] = q.server.connect()
        clients[name].send("SUBSCRIBE", q.key(f"wake:{name}"))
        clients[name].receive()
    q.add(1, requires="gpu:1000")
    assert clients["w3"].receive()[2] == b"work"
    told = {name: float(q.redis("ZSCORE", "idle", name)) < 0 for name in clients}
    assert told == {"w1": False, "w2": False, "w3": True}
    for client in clients.values():
        client.close()
