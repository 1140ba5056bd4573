"""What is spent is the sum of what the log says was charged, and nothing was released without its charge."""
import json, sys

entries = [json.loads(line)["entry"] for line in open(sys.argv[1])]
budgets = json.load(open(sys.argv[2]))["budgets"]
charged, released = {}, set()
for entry in entries:
    fields = entry["fields"]
    if entry["kind"] == "run.charged":
        charged[fields["run"]] = fields["rho"]
    elif entry["kind"] == "run.released":
        released.add(fields["run"])
assert released <= set(charged), "released without a charge"
products = sum(b["spent_rho"] for b in budgets if b["kind"] == "product")
total = sum(charged.values()) * 1e-12
assert abs(products - total) < 1e-9, (products, total)
print("budgets exact:", len(charged), "charged,", len(released), "released, rho", round(total, 9))
