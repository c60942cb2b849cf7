-- What is suspended asks nothing, so it cannot be asked to look now either.
local suspended = obj.spec.suspend == true
return {
  ["reconcile"] = { ["disabled"] = suspended },
  ["suspend"] = { ["disabled"] = suspended },
  ["resume"] = { ["disabled"] = not suspended },
}
