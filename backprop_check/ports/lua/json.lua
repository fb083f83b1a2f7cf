-- JSON, which Lua's standard library does not have: as much of it as a port needs.
--
-- A JSON array becomes a table with the keys 1, 2, 3, ...; an object a table with its own keys; null becomes nil.
-- Lua keeps 1 (an integer) and 1.0 (a float) apart, and so does this: each is written as it was read.

local json = {}

-- ------------------------------------------------------------------------------------------------
-- Reading
-- ------------------------------------------------------------------------------------------------

local ESCAPES = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t", ['"'] = '"', ["\\"] = "\\", ["/"] = "/" }
local WORDS = { ["true"] = true, ["false"] = false } -- null is not in it: what is not in a table is nil

local read_value -- it and the two after it call each other

local function fail(at, what)
  error(("JSON, byte %d: %s"):format(at, what), 0)
end

-- Every reader gets the text and where to begin, and gives a value and where to go on.

local function read_unicode(text, at)
  local unit = tonumber(text:match("^%x%x%x%x", at) or fail(at, "four hexadecimal digits expected"), 16)
  return unit, at + 4
end

local function read_string(text, at)
  local parts = {}
  at = at + 1 -- the opening quote
  while true do
    local stop = text:find('["\\]', at) or fail(at, "the end of a string is missing")
    parts[#parts + 1] = text:sub(at, stop - 1)
    if text:sub(stop, stop) == '"' then return table.concat(parts), stop + 1 end
    local letter = text:sub(stop + 1, stop + 1)
    at = stop + 2
    if letter == "u" then
      local code
      code, at = read_unicode(text, at)
      if code >= 0xD800 and code < 0xDC00 and text:sub(at, at + 1) == "\\u" then -- the first half of a pair
        local low
        low, at = read_unicode(text, at + 2)
        code = 0x10000 + (code - 0xD800) * 0x400 + (low - 0xDC00)
      end
      parts[#parts + 1] = utf8.char(code)
    else
      parts[#parts + 1] = ESCAPES[letter] or fail(stop, "unknown escape")
    end
  end
end

local function skip_space(text, at)
  return text:find("[^ \t\r\n]", at) or #text + 1
end

local function read_array(text, at)
  local array, count = {}, 0
  at = skip_space(text, at + 1)
  if text:sub(at, at) == "]" then return array, at + 1 end
  while true do
    count = count + 1
    array[count], at = read_value(text, at)
    at = skip_space(text, at)
    local mark = text:sub(at, at)
    if mark == "]" then return array, at + 1 end
    if mark ~= "," then fail(at, "',' or ']' expected") end
    at = at + 1
  end
end

local function read_object(text, at)
  local object = {}
  at = skip_space(text, at + 1)
  if text:sub(at, at) == "}" then return object, at + 1 end
  while true do
    at = skip_space(text, at)
    if text:sub(at, at) ~= '"' then fail(at, "a key expected") end
    local key
    key, at = read_string(text, at)
    at = skip_space(text, at)
    if text:sub(at, at) ~= ":" then fail(at, "':' expected") end
    object[key], at = read_value(text, at + 1)
    at = skip_space(text, at)
    local mark = text:sub(at, at)
    if mark == "}" then return object, at + 1 end
    if mark ~= "," then fail(at, "',' or '}' expected") end
    at = at + 1
  end
end

read_value = function(text, at)
  at = skip_space(text, at)
  local first = text:sub(at, at)
  if first == "{" then return read_object(text, at) end
  if first == "[" then return read_array(text, at) end
  if first == '"' then return read_string(text, at) end

  local word = text:match("^%l+", at)
  if word == "true" or word == "false" or word == "null" then return WORDS[word], at + #word end
  local digits = text:match("^-?%d[%d.eE+-]*", at) or fail(at, "a value expected")
  return tonumber(digits) or fail(at, "not a number"), at + #digits
end

-- The value that a JSON text stands for. Raises an error with the byte where it is not JSON.
function json.read(text)
  local value, at = read_value(text, 1)
  if skip_space(text, at) <= #text then fail(at, "nothing more expected") end
  return value
end

-- ------------------------------------------------------------------------------------------------
-- Writing
-- ------------------------------------------------------------------------------------------------

local function write_number(number)
  if math.type(number) == "integer" then return tostring(number) end
  if number ~= number then return '"NaN"' end -- JSON has no numbers for these three, so they go as text
  if number == math.huge then return '"Infinity"' end
  if number == -math.huge then return '"-Infinity"' end
  -- 17 digits always give the same number back. Where fewer do, they are easier to read.
  local digits
  for precision = 15, 17 do
    digits = ("%." .. precision .. "g"):format(number)
    if tonumber(digits) == number then break end
  end
  return digits:find("[.e]") and digits or digits .. ".0"
end

local function write_string(text)
  local escaped = text:gsub('[%c"\\]', function(letter) return ("\\u%04x"):format(letter:byte()) end)
  return '"' .. escaped .. '"'
end

local function write(value, parts)
  if type(value) == "number" then
    parts[#parts + 1] = write_number(value)
  elseif type(value) == "string" then
    parts[#parts + 1] = write_string(value)
  elseif type(value) ~= "table" then
    parts[#parts + 1] = value == nil and "null" or tostring(value)
  elseif type(next(value)) == "string" then
    local mark = "{"
    for key, item in pairs(value) do
      parts[#parts + 1] = mark .. write_string(key) .. ":"
      write(item, parts)
      mark = ","
    end
    parts[#parts + 1] = "}"
  else -- an empty table is an empty array
    parts[#parts + 1] = "["
    for i, item in ipairs(value) do
      if i > 1 then parts[#parts + 1] = "," end
      write(item, parts)
    end
    parts[#parts + 1] = "]"
  end
end

-- The value as JSON, in one line.
function json.write(value)
  local parts = {}
  write(value, parts)
  return table.concat(parts)
end

return json
