-- Requests for wrk, from a file: a method, a path and a body a line, tabs between; {id} in a body becomes a new number each time.
-- wrk -s requests.lua URL -- FILE AUTHORIZATION. The figures are printed as one line of JSON.
local calls, place, thread, given = {}, 0, 0, 0

function setup(made)
  made:set("number", thread)
  thread = thread + 1
end

function init(arguments)
  for line in io.lines(arguments[1]) do
    local method, path, body = line:match("^(%S+)\t(%S+)\t(.*)$")
    calls[#calls + 1] = { method = method, path = path, body = body, numbered = body:find("{id}", 1, true) ~= nil }
  end
  wrk.headers["authorization"] = arguments[2]
  wrk.headers["content-type"] = "application/json"
end

local function next_id()
  given = given + 1
  return number .. "-" .. given
end

function request()
  place = place % #calls + 1
  local call = calls[place]
  local body = call.body
  if call.numbered then body = body:gsub("{id}", next_id) end
  return wrk.format(call.method, call.path, nil, body ~= "" and body or nil)
end

function done(summary, latency)
  local failed = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.status + summary.errors.timeout
  print(string.format('{"requests": %d, "seconds": %f, "failed": %d, "p50_ms": %f, "p99_ms": %f}',
    summary.requests, summary.duration / 1e6, failed, latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
