-- Four functions that Lua's math does not have, each precise to a few units in the last digit.

local mathematics = {}

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
