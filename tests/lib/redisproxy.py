"""A proxy before a Redis that can be told to do something at a certain request.

    proxy.at(b"HMGET", 2, action)     before the second request with HMGET in it goes on, action() is called
    proxy.at(b"EXEC", 1, "swallow")   Redis gets it, but the client only sees its connection closed
    proxy.at(b"EXEC", 1, "drop")      Redis does not get it either
"""
import socket
import subprocess
import threading

import harness


class RedisProxy:
    def __init__(self, redis):
        self.redis, self.orders, self.seen = redis, [], {}
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def at(self, word, count, action):
        self.orders.append((word, count, action))

    def close(self):
        self.listener.close()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _order(self, carry, data):
        """What is to be done with these bytes of a client; a word may have begun in those before."""
        for word in {word for word, _, _ in self.orders}:
            whole = b"$%d\r\n%s\r\n" % (len(word), word)
            came = (carry[-len(whole) + 1:] + data).count(whole)
            self.seen[word] = self.seen.get(word, 0) + came
            for order in self.orders:
                if order[0] == word and came and self.seen[word] >= order[1]:
                    self.orders.remove(order)
                    return order[2]
        return None

    def _serve(self, client):
        server = socket.socket(socket.AF_UNIX)
        server.connect(str(self.redis.socket))
        hidden = threading.Event()
        threading.Thread(target=self._answers, args=(server, client, hidden), daemon=True).start()
        carry = b""
        while data := self._receive(client):
            action = self._order(carry, data)
            carry = (carry + data)[-64:]
            if callable(action):
                action()
            elif action == "swallow":
                hidden.set()
            if action == "drop" or not self._send(server, data):
                break
        self._shut(server)
        self._shut(client)

    def _answers(self, server, client, hidden):
        while data := self._receive(server):
            if hidden.is_set():
                break
            if not self._send(client, data):
                break
        self._shut(client)
        self._shut(server)

    @staticmethod
    def _receive(peer):
        try:
            return peer.recv(1 << 20)
        except OSError:
            return b""

    @staticmethod
    def _send(peer, data):
        try:
            peer.sendall(data)
        except OSError:
            return False
        return True

    @staticmethod
    def _shut(peer):
        try:
            peer.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def interrupted_by_proxy(redis, cwd, how, scripts, *words):
    """redisManager WORDS, which gets a signal before so many scripts of it reach Redis: exit code, stdout, stderr."""
    def clients():
        return int(redis.info("clients")["connected_clients"])

    proxy, ready, before = RedisProxy(redis), threading.Event(), clients()

    def interrupt():
        ready.wait(10)
        process.send_signal(how)

    proxy.at(b"EVALSHA", scripts, interrupt)
    try:
        process = subprocess.Popen([harness.program("redisManager"), *words, "--redis", proxy.url], cwd=cwd,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        ready.set()
        out, err = process.communicate(timeout=30 * harness.SLOW)
        harness.wait_until(lambda: clients() <= before)  # Redis has done what it was sent
    finally:
        proxy.close()
    return process.returncode, out, err
