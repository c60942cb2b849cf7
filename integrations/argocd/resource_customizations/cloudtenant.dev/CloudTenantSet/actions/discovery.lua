-- The operator does not serve a suspended CloudTenantSet, so the action reconcile is not available.
local suspended = obj.spec.suspend == true
return {
  ["reconcile"] = { ["disabled"] = suspended },
  ["suspend"] = { ["disabled"] = suspended },
  ["resume"] = { ["disabled"] = not suspended },
}
