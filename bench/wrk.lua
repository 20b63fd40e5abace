-- wrk -s wrk.lua URL -- METHOD PATH TOKEN RUN IDS_FILE [BODY...]
--   TOKEN and IDS_FILE may be "-". In PATH and BODY, $n is the number of the request, $run is RUN, and $id the next id
--   of the file. With several bodies, each pass through the ids sends the next.
-- Prints one line of JSON; times in milliseconds.
local method, path, run, bodies, ids, n = nil, nil, nil, {}, {}, 0

function init(args)
  method, path, run = args[1], args[2], args[4]
  if args[3] ~= "-" then wrk.headers["Authorization"] = "Bearer " .. args[3] end
  if args[5] ~= "-" then
    for line in io.lines(args[5]) do ids[#ids + 1] = line end
  end
  for i = 6, #args do bodies[#bodies + 1] = args[i] end
  if #bodies > 0 then wrk.headers["Content-Type"] = "application/json" end
end

function request()
  if #bodies == 0 then return wrk.format(method, path) end
  local pass = math.floor(n / math.max(#ids, 1))
  local words = { n = n, run = run, id = ids[1 + n % math.max(#ids, 1)] }
  n = n + 1
  return wrk.format(method, path:gsub("%$(%w+)", words), nil, (bodies[1 + pass % #bodies]:gsub("%$(%w+)", words)))
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format('{"rps":%.2f,"p50":%.3f,"p99":%.3f,"max":%.3f,"requests":%d,"refused":%d,"broken":%d}\n',
    summary.requests / summary.duration * 1e6, latency:percentile(50) / 1000, latency:percentile(99) / 1000,
    latency.max / 1000, summary.requests, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout))
end
