#!/usr/bin/env python3
"""Traces of a real node at a collector of the test's own: a request, what was done for it, and the block it went into."""
import http.server
import json
import threading
import time

from daemon import Daemon, run_cases

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
spans = []


class Collector(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        for resource in body["resourceSpans"]:
            for scope in resource["scopeSpans"]:
                spans.extend(scope["spans"])
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *unused):
        pass


def until(condition, what):
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError(f"{what}: {[span['name'] for span in spans]}")


def named(name):
    return [span for span in spans if span["name"] == name]


collector = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
threading.Thread(target=collector.serve_forever, daemon=True).start()
node = Daemon(extra=["--otlp", f"http://127.0.0.1:{collector.server_address[1]}/v1/traces"])


def a_request_is_seen_with_what_it_caused():
    node.start()
    node.call("PUT", "/kv/traced", {"value": "x"}, headers={"traceparent": f"00-{TRACE}-{PARENT}-01"})
    until(lambda: any(span["traceId"] == TRACE for span in named("kv_put")), "the request")
    request = next(span for span in named("kv_put") if span["traceId"] == TRACE)
    assert request["parentSpanId"] == PARENT, request
    facts = {fact["key"]: fact["value"] for fact in request["attributes"]}
    assert facts["http.response.status_code"] == {"intValue": "200"}, facts
    assert facts["http.request.method"] == {"stringValue": "PUT"}, facts
    until(lambda: named("block") and named("finalize") and named("commit"), "blocks")
    block = named("block")[-1]
    assert any(fact["key"] == "hypermesh.height" for fact in block["attributes"])
    assert any(span.get("parentSpanId") == one["spanId"] for one in named("block") for span in named("commit"))


def what_the_caller_does_not_want_traced_is_not():
    other = "1" * 32
    node.call("GET", "/kv/traced", headers={"traceparent": f"00-{other}-{PARENT}-00"})
    node.call("GET", "/kv/traced", headers={"traceparent": f"00-{'2' * 32}-{PARENT}-01"})
    until(lambda: any(span["traceId"] == "2" * 32 for span in spans), "the traced one")
    assert not any(span["traceId"] == other for span in spans)


def a_collector_that_is_away_holds_up_nobody():
    collector.shutdown()
    collector.server_close()
    started = time.monotonic()
    for number in range(50):
        node.call("PUT", "/kv/traced", {"value": str(number)})
    assert time.monotonic() - started < 20
    until(lambda: b"hypermesh_trace_spans_dropped_total 0\n" not in node.call("GET", "/metrics", raw=True), "what was lost")


if __name__ == "__main__":
    try:
        run_cases([a_request_is_seen_with_what_it_caused, what_the_caller_does_not_want_traced_is_not,
                   a_collector_that_is_away_holds_up_nobody])
    finally:
        try:
            node.stop()
        finally:
            node.remove()
