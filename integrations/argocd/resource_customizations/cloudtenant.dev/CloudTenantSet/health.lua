-- Argo CD opens only Lua's base library for scripts from argocd-cm: there are no functions of strings.
local os = require("os")

local function health(status, message)
  return { status = status, message = message }
end

-- The characters of a text, each found by comparison. The alphabet is in ascending order.
local function characters(text, alphabet)
  local prefix, found = "", {}
  for _ = 1, #text do
    local match = nil
    for _, character in ipairs(alphabet) do
      if prefix .. character <= text then
        match = character
      end
    end
    if match == nil then
      return {}
    end
    prefix = prefix .. match
    found[#found + 1] = match
  end
  return prefix == text and found or {}
end

-- The seconds of a duration such as 1h30m, nil if it is none.
local function seconds(text)
  local found = characters(text, { ".", "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "h", "m", "s" })
  local total, number, i = nil, "", 1
  while i <= #found do
    local unit = ({ h = 3600, m = 60, s = 1 })[found[i]]
    if unit == nil then
      number = number .. found[i]
    else
      if found[i] == "m" and found[i + 1] == "s" then
        unit = 0.001
        i = i + 1
      end
      total = (total or 0) + (tonumber(number) or 0) * unit
      number = ""
    end
    i = i + 1
  end
  return total
end

-- The seconds since 1970 of a time such as 2026-11-22T04:00:00Z, nil if it is none.
local function epoch(text)
  local numbers, number, last = {}, "", nil
  local alphabet = { "-", ".", "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", ":", "T", "Z" }
  for _, character in ipairs(characters(text, alphabet)) do
    if tonumber(character) ~= nil then
      number = number .. character
    else
      numbers[#numbers + 1] = tonumber(number)
      number = ""
    end
    last = character
  end
  if last ~= "Z" or #numbers < 6 then
    return nil
  end
  -- Years begin in March, so that a leap day is the last of its year. An era has 400 years.
  local year, month = numbers[1], (numbers[2] + 9) % 12
  if month > 9 then
    year = year - 1
  end
  local of_era = year % 400
  local days = (year - of_era) / 400 * 146097 + of_era * 365 + (of_era - of_era % 4) / 4
    - (of_era - of_era % 100) / 100 + (153 * month + 2 - (153 * month + 2) % 5) / 5 + numbers[3] - 1 - 719468
  return days * 86400 + numbers[4] * 3600 + numbers[5] * 60 + numbers[6]
end

-- An age in steps, so that the message does not change at every refresh.
local function in_words(age)
  if age > 2592000 then
    return "more than 30 days"
  elseif age >= 172800 then
    return (age - age % 86400) / 86400 .. " days"
  elseif age >= 7200 then
    return (age - age % 3600) / 3600 .. " hours"
  end
  return (age - age % 600) / 60 .. " minutes"
end

-- The message about a list of projects that is older than it can be while the operator runs, nil if there is none. A
-- list may take ten minutes. An Unknown condition has no list that could be too old.
local function stale(spec, status, conditions)
  local interval, listed = seconds(spec.interval or "10m"), conditions["ProjectsListed"]
  if interval == nil or listed == nil or listed.status == "Unknown" or status.observedAt == nil then
    return nil
  end
  local at = epoch(status.observedAt)
  local limit = (interval < 600 and 600 or interval) + 2 * (interval + 600)
  if at ~= nil and os.time() - at > limit then
    return "The list of projects is " .. in_words(os.time() - at) .. " old, from " .. status.observedAt
      .. ": the operator no longer serves this CloudTenantSet. Check the operator's Pods, its flag --tenant-sets and its log."
  end
  return nil
end

if obj.metadata.deletionTimestamp ~= nil then
  return health("Progressing", "Pending deletion.")
end
if obj.spec ~= nil and obj.spec.suspend == true then
  return health("Suspended", "The CloudTenantSet is suspended.")
end

local status = obj.status or {}
local generation = obj.metadata.generation
if status.observedGeneration == nil or (generation ~= nil and status.observedGeneration ~= generation) then
  return health("Progressing", "The operator has not reconciled this generation yet.")
end

local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end
-- Reconciling and Stalled are present only while True. Ready=False means that CloudTenants are missing or held.
-- The health of the CloudTenants is theirs alone.
local ready = conditions["Ready"]
if conditions["Reconciling"] ~= nil and conditions["Reconciling"].status == "True" then
  return health("Progressing", conditions["Reconciling"].message)
end
local too_old = stale(obj.spec or {}, status, conditions)
if too_old ~= nil then
  return health("Degraded", too_old)
end
if conditions["Stalled"] ~= nil and conditions["Stalled"].status == "True" then
  return health("Degraded", conditions["Stalled"].message)
end
if ready == nil then
  return health("Progressing", "The operator has not written conditions yet.")
end
if ready.status == "True" then
  return health("Healthy", ready.message)
end
if ready.status == "False" then
  return health("Degraded", ready.message)
end
return health("Progressing", ready.message)
