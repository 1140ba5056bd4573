-- Asks a verification about one subject after another; counts the answers by status.
-- YUNEI_TOKEN, and YUNEI_SUBJECTS: a file with one JSON body a line.
local bodies, threads = {}, {}
for line in io.lines(os.getenv("YUNEI_SUBJECTS")) do bodies[#bodies + 1] = line end
wrk.headers["Authorization"] = "Bearer " .. os.getenv("YUNEI_TOKEN")
wrk.headers["Content-Type"] = "application/json"
local at = 0
ok, busy, other = 0, 0, 0

function setup(thread) threads[#threads + 1] = thread end

function request()
  at = at % #bodies + 1
  return wrk.format("POST", "/v1/verifications", nil, bodies[at])
end

function response(status)
  if status == 200 then ok = ok + 1 elseif status == 503 then busy = busy + 1 else other = other + 1 end
end

function done(summary, latency)
  local o, b, x = 0, 0, 0
  for _, thread in ipairs(threads) do o, b, x = o + thread:get("ok"), b + thread:get("busy"), x + thread:get("other") end
  local seconds = summary.duration / 1e6
  io.write(string.format("answered %d\nbusy %d\nother %d\nsocket_errors %d\nanswered_per_second %.0f\np50_us %d\np99_us %d\n", o, b, x,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout, o / seconds,
    latency:percentile(50), latency:percentile(99)))
end
