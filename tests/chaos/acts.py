"""What chaos does to a Cluster: one method a kind of act of plan.ACTS, and the undoing of each."""
import heapq
import itertools
import random
import shutil
import signal
import subprocess
import threading
import time
import traceback
from collections import Counter

import harness
from aofcut import Sampler, cut
from cluster import send
from scriptqueue import ScriptQueue

CHECK_COPIES_EVERY, MANAGER_S = 4, 20


class Acts:
    def __init__(self, cluster, say):
        self.cluster, self.say = cluster, say
        self.done, self.kills, self.skipped = Counter(), Counter(), Counter()
        self.later, self.order = [], itertools.count()
        self.cuts, self.steps, self.away = [], [], []  # away: (from, to) Redis was killed or stopped
        self.requeued, self.cancelled = {}, {}         # id: when, by the manager
        self.held_up = {}                              # worker: [(from, to)], it may have read answers so much later
        self.sampler = Sampler(cluster.redis.dir)
        self.redis_down = self.redis_stopped = None
        self.after_cut = None                          # called when Redis is back without its tail
        self.copies, self.copy_errors = 0, []
        self.threads = []

    # --- the machinery ---

    def at(self, seconds, what, *words):
        heapq.heappush(self.later, (time.monotonic() + seconds, next(self.order), what, words))

    def run_due(self, all_of_it=False):
        while self.later and (all_of_it or self.later[0][0] <= time.monotonic()):
            _, _, what, words = heapq.heappop(self.later)
            what(*words)

    def do(self, act):
        method = getattr(self, "do_" + act.what.split(" (")[0].replace(", ", "_").replace(" ", "_"))
        stations = self.cluster.stations
        for i in range(len(stations)):  # the one that was drawn, or the next to whom it can be done
            if method(act, stations[(act.who + i) % len(stations)]) not in (False, None):
                self.done[act.what] += 1
                return
        self.skipped[act.what] += 1

    def kill(self, pid, what):
        if not send(pid, signal.SIGKILL):
            return False
        self.kills[what] += 1
        return True

    # --- processes ---

    def do_kill_agent(self, act, station):
        station.killed = time.monotonic()
        return self.kill(station.agent(), "agent")

    def do_kill_supervisor(self, act, station):
        station.killed = time.monotonic()
        return self.kill(station.supervisor(), "supervisor")

    def do_kill_both(self, act, station):
        """The machine is gone; it comes back after a while."""
        agent, supervisor = station.agent(), station.supervisor()
        if not supervisor or station.due is not None:
            return False
        # Both at once, the agent first half of the time.
        for pid, what in sorted([(agent, "agent"), (supervisor, "supervisor")], key=lambda x: x[1],
                                reverse=act.dice < 0.5):
            self.kill(pid, what)
        station.due = time.monotonic() + act.lasts
        return True

    def hold_up(self, act, station):
        now = time.monotonic()
        self.held_up.setdefault(station.name, []).append((now, now + act.lasts))

    def stop(self, act, station, *pids):
        stopped = [pid for pid in pids if send(pid, signal.SIGSTOP)]
        for pid in stopped:
            self.at(act.lasts, send, pid, signal.SIGCONT)
        if stopped:
            self.hold_up(act, station)
        return bool(stopped)

    def do_stop_agent(self, act, station):
        return self.stop(act, station, station.agent())

    def do_stop_supervisor(self, act, station):
        return self.stop(act, station, station.supervisor())

    def do_stop_both(self, act, station):
        return self.stop(act, station, station.agent(), station.supervisor())

    # --- Redis ---

    def do_kill_redis(self, act, _, cutting=False):
        if self.redis_down or self.redis_stopped:
            return False
        self.redis_down = time.monotonic()
        self.cluster.redis.kill()
        self.kills["redis-server"] += 1
        made = None
        if cutting:
            made = cut(self.cluster.redis.dir, self.sampler, self.redis_down, act.dice)
            self.cuts.append(made)
            if len(self.cuts) % CHECK_COPIES_EVERY == 1:
                self.check_copy()
        self.at(act.lasts, self.start_redis, made)
        return True

    def do_kill_redis_cut(self, act, station):
        return self.do_kill_redis(act, station, cutting=True)

    def start_redis(self, made):
        self.cluster.restart_redis()
        self.sampler.begin()
        self.away.append((self.redis_down, time.monotonic()))
        self.redis_down = None
        if made and self.after_cut:
            self.after_cut()

    def check_copy(self):
        """What an AOF that ends anywhere leaves must be a whole queue: looked at in a copy, beside the run."""
        self.copies += 1
        place = self.cluster.box / f"copy{self.copies}"
        shutil.copytree(self.cluster.redis.dir / "appendonlydir", place / "appendonlydir")
        thread = threading.Thread(target=self._check_copy, args=(place, len(self.cuts)), daemon=True)
        thread.start()
        self.threads.append(thread)

    def _check_copy(self, place, number):
        server = harness.RedisServer(place, aof_load_truncated="yes")
        try:
            ScriptQueue(server.start()).check()
        except Exception as error:  # noqa: BLE001 - any is a finding
            frame = traceback.extract_tb(error.__traceback__)[-1]
            self.copy_errors.append(f"after cut {number}: {type(error).__name__} {str(error)[:400]} ({frame.name}: "
                                    f"{frame.line})")
        finally:
            server.kill()
            shutil.rmtree(place, ignore_errors=True)

    def do_stop_redis(self, act, _):
        if self.redis_down or self.redis_stopped:
            return False
        self.redis_stopped = time.monotonic()
        self.cluster.redis.freeze()
        self.at(act.lasts, self.thaw_redis)
        return True

    def thaw_redis(self):
        self.cluster.redis.thaw()
        self.away.append((self.redis_stopped, time.monotonic()))
        self.redis_stopped = None

    def redis_call(self, *words):
        if self.redis_down or self.redis_stopped:
            return False
        self.cluster.redis.command(*words)
        return True

    def do_script_flush(self, act, _):
        return self.redis_call("SCRIPT", "FLUSH")

    def do_bgrewriteaof(self, act, _):
        try:
            return self.redis_call("BGREWRITEAOF")
        except harness.RedisError:
            return False  # one is under way

    def do_clock_step(self, act, _):
        """Up to 10 s ahead, or up to 4 s back."""
        if not self.cluster.clock.works:
            return False
        by = 10 * act.dice if act.dice > 0.4 else -10 * act.dice
        self.cluster.clock.step(by)
        self.steps.append(by)
        return True

    # --- the network ---

    def net(self, act, station, mode, delay=0.0):
        self.cluster.proxy.set(station.index, mode, delay)
        self.at(act.lasts, self.cluster.proxy.set, station.index, "open")
        if mode != "cut":
            self.hold_up(act, station)
        return True

    def do_net_cut(self, act, station):
        return self.net(act, station, "cut")

    def do_net_freeze(self, act, station):
        return self.net(act, station, "freeze")

    def do_net_delay(self, act, station):
        return self.net(act, station, "delay", 0.3 * act.dice)

    # --- what people do ---

    def manager(self, *words):
        """redisManager beside the run, since Redis may be away. Its success is known to nobody."""
        line = [harness.program("redisManager"), *map(str, words), *self.cluster.queue.flags]

        def run():
            try:
                subprocess.run(line, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               timeout=MANAGER_S)
            except subprocess.TimeoutExpired:
                pass

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        self.threads.append(thread)
        return True

    def do_drain(self, act, station):
        self.at(act.lasts, self.manager, "resumeWorker", station.name)
        return self.manager("drainWorker", station.name)

    def leave(self, station):
        if station.leaving or station.due is not None or not station.supervisor():
            return False
        station.leaving, station.leaving_since = True, time.monotonic()
        return True

    def do_stop_worker(self, act, station):
        return self.leave(station) and self.manager("stopWorker", station.name)

    def do_return(self, act, station):
        return self.leave(station) and send(station.supervisor(), signal.SIGINT)

    def do_hand_over(self, act, station):
        """The agent leaves, its tasks go on, another redisWorker takes them."""
        if not self.leave(station) or not send(station.supervisor(), signal.SIGUSR1):
            return False
        station.due = time.monotonic() + act.lasts
        return True

    def running_ids(self, most, dice):
        if self.redis_down or self.redis_stopped:
            return []
        flat = self.cluster.redis.command("HKEYS", "distcomp:{default}:running")
        ids = sorted(id.decode() for id in flat)
        return random.Random(dice).sample(ids, min(most, len(ids)))

    def do_cancel(self, act, _):
        """One that runs, and one of all."""
        ids = self.running_ids(1, act.dice)
        if not ids:
            return False
        other = self.cluster.redis.command("HRANDFIELD", "distcomp:{default}:task")
        for id in ids + [other.decode()]:
            self.cancelled.setdefault(id, time.monotonic())
        return self.manager("cancelTask", *ids, other.decode())

    def do_requeue(self, act, _):
        ids = self.running_ids(3, act.dice)
        for id in ids:
            self.requeued.setdefault(id, []).append(time.monotonic())
        return bool(ids) and self.manager("moveInProgressTaskToTodo", *ids)

    # --- the end ---

    def join(self, seconds=300):
        """Waits for what runs beside: a check of a copy with 100,000 tasks takes a minute."""
        end = time.monotonic() + seconds
        for thread in self.threads:
            thread.join(max(0.0, end - time.monotonic()))

    def heal(self):
        """Undoes all that is not undone; returns when everybody is there again."""
        self.run_due(all_of_it=True)
        self.join(MANAGER_S + 5)
        if self.cluster.redis.process.poll() is not None:
            self.start_redis(None)
        for station in self.cluster.stations:
            self.cluster.proxy.set(station.index, "open")
            for pid in (station.agent(), station.supervisor()):
                send(pid, signal.SIGCONT)
        self.sampler.close()
