"""Says hello, and how many socks there are: asked of the shop's catalogue, by name, through the mesh."""

import http.server
import json
import urllib.request

CATALOGUE = "http://catalogue.sock-shop/catalogue/size"


class Greeting(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        with urllib.request.urlopen(CATALOGUE, timeout=5) as answer:
            socks = json.load(answer)["size"]
        body = f"hello from Python: {socks} socks\n".encode()
        self.send_response(200)
        self.send_header("content-type", "text/plain")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


http.server.ThreadingHTTPServer(("", 8000), Greeting).serve_forever()
