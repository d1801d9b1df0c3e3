"""Programs of the tests that count failures: a server that says its version, and callers that count every call."""

#: Answers `VERSION POD`; `/slow` writes a byte every half a second, for as many seconds as the query says. It ends at
#: SIGTERM at once, as most programs do.
SERVER = """
import asyncio, os
NAME = (os.environ.get("VERSION", "-") + " " + os.environ["HOSTNAME"]).encode()
async def serve(reader, writer):
    try:
        while True:
            path, _, seconds = (await reader.readuntil(b"\\r\\n\\r\\n")).split()[1].decode().partition("?")
            pieces = 2 * int(seconds) if path == "/slow" else 0
            writer.write(b"HTTP/1.1 200 OK\\r\\ncontent-length: %d\\r\\n\\r\\n" % (pieces + len(NAME)))
            for _ in range(pieces):
                writer.write(b"x")
                await asyncio.sleep(0.5)
            writer.write(NAME)
    except (OSError, EOFError):
        writer.close()
async def main():
    await (await asyncio.start_server(serve, "", 8000, backlog=128)).serve_forever()
asyncio.run(main())
"""

#: Calls the Service `web` at RATE a second over kept connections, and never stops. Says how many calls there have been
#: four times a second, and of every call that failed at once why.
CALLER = """
import asyncio, json, os, time
RATE, LINES = float(os.environ["RATE"]), int(os.environ.get("CONNECTIONS", "16"))
counts, words = {"calls": 0, "failed": 0}, {}
async def call(streams):
    reader, writer = streams
    writer.write(b"GET / HTTP/1.1\\r\\nhost: web\\r\\n\\r\\n")
    head = (await reader.readuntil(b"\\r\\n\\r\\n")).decode().lower()
    length = int(head.partition("content-length: ")[2].partition("\\r")[0] or 0)
    body = (await reader.readexactly(length)).decode()
    return int(head.split()[1]), body, "connection: close" in head
async def line(number):
    streams, due = None, time.monotonic() + number / RATE
    while True:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        due = max(due + LINES / RATE, time.monotonic() - 1)
        counts["calls"] += 1
        try:
            async with asyncio.timeout(30):
                streams = streams or await asyncio.open_connection("web", 80)
                status, body, last = await call(streams)
            word = body.partition(" ")[0] if status == 200 else str(status)
            words[word] = words.get(word, 0) + 1
        except (OSError, TimeoutError, EOFError) as error:
            status, body, last = 0, repr(error), True
        if status != 200:
            counts["failed"] += 1
            print(json.dumps({"at": time.time(), "status": status, "body": body}), flush=True)
        if last:
            if streams: streams[1].close()
            streams = None
async def report():
    while True:
        print(json.dumps(counts | {"versions": words}), flush=True)
        words.clear()
        await asyncio.sleep(0.25)
async def main():
    await asyncio.gather(report(), *(line(number) for number in range(LINES)))
asyncio.run(main())
"""

#: A job that calls at its first breath, without a second try.
JOB = """
import urllib.request
print(urllib.request.urlopen("http://web/", timeout=30).status, flush=True)
"""

#: Goes on calling for two seconds after it was told to end, and takes as long for an answer.
LEAVER = """
import http.server, signal, threading, time, urllib.request
class Slow(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        print("asked", flush=True)
        time.sleep(2)
        self.send_response(200); self.end_headers(); self.wfile.write(b"answered")
    def log_message(self, *words): pass
threading.Thread(target=http.server.HTTPServer(("", 8000), Slow).serve_forever, daemon=True).start()
def leave(*_):
    for _ in range(10):
        print("leaving", urllib.request.urlopen("http://web/", timeout=30).status, flush=True)
        time.sleep(0.2)
    raise SystemExit
signal.signal(signal.SIGTERM, leave)
print("first", urllib.request.urlopen("http://web/", timeout=30).status, flush=True)
while True: time.sleep(0.1)
"""
