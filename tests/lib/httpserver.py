"""An HTTP server that serves bytes from memory and misbehaves to order.

    server.files["/a"] = b"..."          GET; with Range and If-Range as RFC 9110 has them, if server.ranges
    server.then(status(503), cut(100))   what is done to the next requests, one each; then all is well
    server.requests                      (method, path, headers) of all that came
    server.put                           {path: bytes} that came by PUT
"""
import http.server
import re
import ssl
import threading


def status(code, **headers):
    """Answers so; `_` in a header's name is '-'."""
    return lambda handler: handler.answer(code, b"no", {key.replace("_", "-"): value for key, value in headers.items()})


def cut(after):
    """Answers as ever but closes the connection after so many bytes of the body."""
    def do(handler):
        handler.cut = after
        handler.serve()
    return do


def hang_up(handler):
    """Closes the connection without an answer."""
    handler.close_connection = True


def give(body, code=200, length=None, **headers):
    """Answers with this body; length: what Content-Length says."""
    fields = {key.replace("_", "-"): value for key, value in headers.items()}
    return lambda handler: handler.answer(code, body, fields, length)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    cut = None

    def log_message(self, *words):
        pass

    def answer(self, code, body, headers, length=None):
        self.send_response(code)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.cut is not None:
            body = body[:self.cut]
            self.close_connection = True
        try:
            self.wfile.write(body)
        except OSError:
            self.close_connection = True

    def serve(self):
        server = self.server.box
        body = server.files.get(self.path)
        if body is None:
            return self.answer(404, b"there is nothing", {})
        headers = dict(server.headers)
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        known = headers.get("ETag", headers.get("Last-Modified"))
        if not asked or not server.ranges or self.headers.get("If-Range", known) != known:
            return self.answer(200, body, headers)
        first = int(asked[1])
        last = min(int(asked[2] or len(body) - 1), len(body) - 1)
        if first >= len(body):
            return self.answer(416, b"", {"Content-Range": f"bytes */{len(body)}"})
        headers["Content-Range"] = f"bytes {first}-{last}/{len(body)}"
        return self.answer(206, body[first:last + 1], headers)

    def handle_one(self):
        server = self.server.box
        body = b""
        if self.command == "PUT":
            body = self.rfile.read(int(self.headers["Content-Length"]))
        server.requests.append((self.command, self.path, dict(self.headers)))
        self.cut = None
        if server.orders:
            server.orders.pop(0)(self)
        elif self.command == "PUT":
            server.put[self.path] = body
            self.answer(201, b"", {})
        else:
            self.serve()

    do_GET = do_PUT = handle_one


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # clients hang up when they have what they want


class HttpServer:
    def __init__(self, certificate=None):
        """certificate: a file with it and its key, to speak TLS."""
        self.files, self.put, self.requests, self.orders = {}, {}, [], []
        self.ranges, self.headers = True, {"ETag": '"one"'}
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.box = self
        self.scheme = "https" if certificate else "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self, path, login=""):
        return f"{self.scheme}://{login}127.0.0.1:{self.server.server_address[1]}{path}"

    def then(self, *orders):
        self.orders += orders

    def ranges_asked(self):
        return [headers.get("Range") for _, _, headers in self.requests]

    def close(self):
        self.server.shutdown()
        self.server.server_close()
