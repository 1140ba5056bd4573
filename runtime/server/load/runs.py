"""Keeps asking for runs of the demo's product on loopback for a bounded time; every answer is 200, 202 or 503."""
import http.client, json, sys, threading, time

address, token, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3])
host, port = address.rsplit(":", 1)
assert host == "127.0.0.1" and seconds <= 600
until = time.monotonic() + seconds
answers, lock = {}, threading.Lock()


def work(n):
    ask = 0
    while time.monotonic() < until:
        ask += 1
        body = {"product": "risk-by-city", "arguments": {"min_age": 18 + n, "max_age": 40 + ask % 50}, "purpose": "credit-research"}
        connection = http.client.HTTPConnection(host, int(port), timeout=90)
        connection.request("POST", "/v1/runs", json.dumps(body), {
            "Authorization": "Bearer " + token, "Content-Type": "application/json", "Prefer": "wait=30"})
        answer = connection.getresponse()
        answer.read()
        connection.close()
        with lock:
            answers[answer.status] = answers.get(answer.status, 0) + 1
        if answer.status == 503:
            time.sleep(0.05)


threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
for t in threads: t.start()
for t in threads: t.join()
print("runs", json.dumps(answers, sort_keys=True))
sys.exit(0 if set(answers) <= {200, 202, 503} else 1)
