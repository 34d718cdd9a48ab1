-- What one kind of request is, for wrk: BENCH_PAIRS names a file of "token conversation cursor message" lines.
local lines = {}
for line in io.lines(os.getenv("BENCH_PAIRS")) do
  local token, conversation, cursor, message = line:match("(%S+) (%S+) (%S+) (%S+)")
  lines[#lines + 1] = { token, conversation, cursor, message }
end
local kind = os.getenv("BENCH_KIND")
local body = '{"message_body":"The quick brown fox jumps over the lazy dog, again and again."}'
math.randomseed(tonumber(os.getenv("BENCH_SEED") or "7"))

local function ask(method, path, line, sent)
  local headers = { ["Authorization"] = "Bearer " .. line[1], ["Content-Type"] = "application/json" }
  return wrk.format(method, path, headers, sent)
end

request = function()
  local line = lines[math.random(#lines)]
  local talk = "/api/conversations/" .. line[2]
  if kind == "send" or kind == "hot" then return ask("POST", talk .. "/messages/", line, body) end
  if kind == "history" then return ask("GET", talk .. "/messages/", line) end
  if kind == "inbox" then return ask("GET", "/api/conversations/?limit=25", line) end
  if kind == "unread" then return ask("GET", "/api/unread/", line) end
  if kind == "message" then return ask("GET", "/api/messages/" .. line[4] .. "/", line) end
  if kind == "star" then return ask("PUT", "/api/messages/" .. line[4] .. "/star/", line) end
  if kind == "conversation" then return ask("GET", talk .. "/", line) end
  if kind == "participants" then return ask("GET", talk .. "/participants/", line) end
  if kind == "users" then return ask("GET", "/api/users/?limit=25", line) end
  if kind == "sync" then return ask("GET", "/api/sync/?cursor=" .. line[3], line) end
  return ask("POST", talk .. "/read/", line, '{"seq":' .. math.random(50) .. "}")
end

done = function(summary, latency, requests)
  io.write(string.format(
    "BENCH %d %d %d %d %d\n",
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout
  ))
end
