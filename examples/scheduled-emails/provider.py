"""Stands for an e-mail provider: takes what is posted to port 8025, and prints it."""

import sys
from http.server import BaseHTTPRequestHandler, HTTPServer


class Provider(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        sys.stdout.write(self.rfile.read(length).decode() + "\n")
        self.send_response(202)
        self.end_headers()


HTTPServer(("127.0.0.1", 8025), Provider).serve_forever()
