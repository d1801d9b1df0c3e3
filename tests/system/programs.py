"""Small Python programs that pods of the system tests run."""

#: A server that says who it is, over HTTP and, before it is asked, over TCP.
SERVER = """
import http.server, os, socketserver, threading
class Hello(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(b"220 " + os.environ["HOSTNAME"].encode() + b"\\n")
class Web(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = os.environ["HOSTNAME"].encode()
        self.send_response(200); self.send_header("content-length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words): pass
socketserver.ThreadingTCPServer.allow_reuse_address = True
threading.Thread(target=socketserver.ThreadingTCPServer(("", 2525), Hello).serve_forever, daemon=True).start()
http.server.ThreadingHTTPServer(("", 8000), Web).serve_forever()
"""
#: The pod's link-local address, once the kernel lets it be used.
OWN_V6 = """
import http.server, re, socket, sys, threading, time
def own():
    while True:
        for line in open("/proc/net/if_inet6"):
            address, _, _, _, flags, name = line.split()
            if name == "eth0" and not int(flags, 16) & 0x40:
                return ":".join(re.findall("....", address))
        time.sleep(0.05)
def reach(address):
    with socket.socket(socket.AF_INET6) as s:
        s.settimeout(2)
        s.connect((address, 8000, 0, socket.if_nametoindex("eth0")))
"""
LISTEN_V6 = (
    OWN_V6
    + """
class V6(http.server.ThreadingHTTPServer): address_family = socket.AF_INET6
threading.Thread(target=V6(("::", 8000), http.server.BaseHTTPRequestHandler).serve_forever).start()
address = own(); reach(address); print(address)
"""
)
CALL_V6 = (
    OWN_V6
    + """
own()
try: reach(sys.argv[1]); print("open")
except TimeoutError: print("shut")
"""
)
#: What a root user in a pod tries first.
BURGLAR = """
import ctypes, os, pathlib, socket, sys
def attempt(name, act):
    try: print(name, act())
    except OSError as error: print(name, "refused")
def leave_chroot():
    here = os.open("/", os.O_RDONLY); os.mkdir("/tmp/j"); os.chroot("/tmp/j"); os.fchdir(here)
    for _ in range(64): os.chdir("..")
    os.chroot(".")
    return sorted(set(os.listdir("/run")) - {"lock", "secrets"})
def strangers():
    # Of a home in which the pod's own Python lies only the way there shows.
    way = [p for p in map(str, pathlib.Path(sys.prefix).parents[1:]) if p.startswith("/home/")]
    seen = [f"{p}/{name}" for p in ("/home", *way) for name in os.listdir(p)]
    return [path for path in seen if not sys.prefix.startswith(path + "/")]
libc = ctypes.CDLL(None, use_errno=True)
def call(result):
    if result < 0: raise OSError(ctypes.get_errno(), "")
    return "done"
attempt("homes", strangers)
attempt("run", lambda: sorted(set(os.listdir("/run")) - {"lock", "secrets"}))
attempt("shadow", lambda: pathlib.Path("/etc/shadow").read_text() and "read")
attempt("others", lambda: [p for p in os.listdir("/proc") if p.isdigit() and int(p) not in (1, os.getpid())])
attempt("pause", lambda: os.listdir("/proc/1/root"))
attempt("raw", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW) and "open")
attempt("ping", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1) and "open")
attempt("mark", lambda: socket.socket().setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 1337) or "set")
attempt("mount", lambda: call(libc.mount(b"none", b"/mnt", b"tmpfs", 0, None)))
attempt("disk", lambda: os.mknod("/tmp/disk", 0o60600, os.makedev(8, 0)) or "made")
attempt("kernel", lambda: pathlib.Path("/proc/sys/kernel/core_pattern").write_text("x"))
attempt("code", lambda: pathlib.Path(ctypes.__file__).write_text(""))
attempt("chroot", leave_chroot)
"""
