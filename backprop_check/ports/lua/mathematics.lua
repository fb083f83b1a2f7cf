-- What Lua does not have: work on lists of numbers, and some functions. log1p, expm1, tanh and erfc are precise to a few
-- units in the last digit.

local mathematics = {}

-- A new list: what the function gives for each index and number of the list.
function mathematics.map(list, make)
  local made = {}
  for i, item in ipairs(list) do
    made[i] = make(item, i)
  end
  return made
end

-- So many zeros.
function mathematics.zeros(count)
  local list = {}
  for i = 1, count do
    list[i] = 0.0
  end
  return list
end

-- The sum, from left to right.
function mathematics.add_up(numbers)
  local total = 0.0
  for _, number in ipairs(numbers) do
    total = total + number
  end
  return total
end

function mathematics.largest_of(numbers)
  local largest = numbers[1]
  for _, number in ipairs(numbers) do
    largest = math.max(largest, number)
  end
  return largest
end

-- 1, -1, or 0 at the kink of |x|, where there is no slope.
function mathematics.sign(x)
  return x > 0.0 and 1.0 or x < 0.0 and -1.0 or 0.0
end

-- t ln p. What does not count (t = 0) adds nothing, not even where ln p is minus infinity.
function mathematics.times_log(t, p)
  return t == 0.0 and 0.0 or t * math.log(p)
end

-- t / p, the derivative of t ln p with regard to p.
function mathematics.divide(t, p)
  return t == 0.0 and 0.0 or t / p
end

-- ln(1 + x). For a small x, 1 + x is rounded; the factor x / (what is left of x) undoes that.
function mathematics.log1p(x)
  local u = 1.0 + x
  if u == 1.0 then return x end
  if x > 1.0 then return math.log(u) end
  return math.log(u) * (x / (u - 1.0))
end

-- e^x - 1. For a small x the subtraction loses digits; the factor x / ln(e^x) brings them back.
function mathematics.expm1(x)
  local u = math.exp(x)
  if math.abs(x) > 0.5 then return u - 1.0 end
  if u == 1.0 then return x end
  return (u - 1.0) * (x / math.log(u))
end

-- The hyperbolic tangent.
function mathematics.tanh(x)
  -- With t = e^(-2|x|) - 1, which never overflows, tanh |x| is -t / (2 + t).
  local t = mathematics.expm1(-2.0 * math.abs(x))
  local size = -t / (2.0 + t)
  return x < 0.0 and -size or size
end

-- erfc(x) = 1 - 2/sqrt(pi) (x - x^3 / (3 1!) + x^5 / (5 2!) - x^7 / (7 3!) + ...), from the smallest term on.
local function erfc_by_series(x)
  local two_by_sqrt_pi_less_1 = 0.12837916709551257390 -- 2/sqrt(pi) - 1: more digits fit without the 1
  local square = x * x
  local rest = 0.0
  for n = 20, 1, -1 do
    rest = -square / n * (1.0 / (2 * n + 1) + rest)
  end
  return (1.0 - x) - x * (two_by_sqrt_pi_less_1 + (1.0 + two_by_sqrt_pi_less_1) * rest)
end

-- erfc(x) = e^(-x^2) / sqrt(pi) / (x + (1/2) / (x + (2/2) / (x + (3/2) / (x + ...)))), from the inside out.
local function erfc_by_fraction(x)
  local fraction = x
  for k = 20 + 200 // (x * x), 1, -1 do -- the smaller x, the more terms it takes
    fraction = x + 0.5 * k / fraction
  end
  -- x^2 = head^2 + (x - head) (x + head): with so few digits head^2 is exact, and so e^(-x^2) stays precise.
  local head = (x * 1024.0 // 1.0) / 1024.0
  return math.exp(-head * head) * math.exp(-(x - head) * (x + head)) / math.sqrt(math.pi) / fraction
end

-- The complementary error function: 1 - erf(x), also where erf(x) is so near to 1 that nothing would be left.
function mathematics.erfc(x)
  if x ~= x then return x end -- only NaN is not equal to itself
  if x < 0.0 then return 2.0 - mathematics.erfc(-x) end
  if x > 28.0 then return 0.0 end -- smaller than the smallest number
  return x < 0.5 and erfc_by_series(x) or erfc_by_fraction(x)
end

return mathematics
