-- The port: how backprop-check talks to the network in network.lua.
--
-- A port is a loop: read a line from stdin, it is one request in JSON; answer with one line of JSON on stdout.
-- There is no mathematics here. Keep this file, and put your own network behind `backprop`.

-- The other files stand beside this one, wherever it was started from.
package.path = (arg[0]:match("^.*[/\\]") or "./") .. "?.lua;" .. package.path

local activations = require("activations").activations
local backprop = require("backprop")
local json = require("json")
local losses = require("losses").losses

-- The keys of a table, in alphabetical order.
local function keys(of)
  local list = {}
  for key in pairs(of) do
    list[#list + 1] = key
  end
  table.sort(list)
  return list
end

-- Says who we are and what we can do. What is not listed under `supports` is never asked for.
local function hello(request)
  return {
    protocol = 1,
    name = "vanilla-lua",
    language = _VERSION,
    version = "0.1.0",
    dtype = "float64",
    max_in_flight = 16,
    supports = {
      layers = { "dense" },
      activations = keys(activations),
      losses = keys(losses),
      optimizers = { "sgd" },
      batch = true,
    },
    echo = request.echo, -- shows that no digit is lost on the way in and out
  }
end

local function dispatch(request)
  if request.type == "hello" then return hello(request) end
  if request.type == "case" then return backprop(request) end
  if not request.type then error("a request without a type") end
  return { id = request.id, skip = "the request " .. request.type .. " is not there yet" }
end

-- What a failed call raised, with the way that led to it. A table is a skip, and no failure.
local function explain(problem)
  if type(problem) == "table" then return problem end
  return { error = tostring(problem), traceback = debug.traceback() }
end

-- The reply to one request.
local function answer(line)
  -- One case that fails must not end the others: xpcall says what happened, and we go on.
  local request = {}
  local done, reply = xpcall(function()
    local value = json.read(line)
    if type(value) ~= "table" then error("a JSON object expected") end
    request = value
    return dispatch(request)
  end, explain)
  if not done then reply.id = request.id end
  return reply
end

io.stdout:setvbuf("full") -- a reply goes out in one piece, at the flush
for line in io.lines() do
  if line:find("%S") then
    io.write(json.write(answer(line)), "\n")
    io.flush() -- without it the answer would wait in a buffer, and the harness for the answer
  end
end
