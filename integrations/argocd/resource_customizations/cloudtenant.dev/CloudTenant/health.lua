-- Argo CD opens only Lua's base library for scripts from argocd-cm: there are no functions of strings.
local function health(status, message)
  return { status = status, message = message }
end

if obj.metadata.deletionTimestamp ~= nil then
  return health("Progressing", "Pending deletion.")
end
if obj.spec ~= nil and obj.spec.suspend == true then
  return health("Suspended", "The CloudTenant is suspended.")
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
-- Reconciling and Stalled are present only while True. Ready=False means that the cloud is unhealthy.
local ready = conditions["Ready"]
if conditions["Reconciling"] ~= nil and conditions["Reconciling"].status == "True" then
  return health("Progressing", conditions["Reconciling"].message)
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
