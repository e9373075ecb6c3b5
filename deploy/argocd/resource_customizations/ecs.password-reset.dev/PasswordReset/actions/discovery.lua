-- Offered only where it has an effect: rerun once no run goes on, retry where something failed or the rest is paused.
local suspended = obj.spec.suspend == true
local reconciling = true
local stalled = false
local status = obj.status or {}
if status.observedGeneration == obj.metadata.generation then
  reconciling = false
  for _, condition in ipairs(status.conditions or {}) do
    if condition.type == "Reconciling" and condition.status == "True" then
      reconciling = true
    end
    if condition.type == "Stalled" and condition.status == "True" then
      stalled = true
    end
    -- The status that the schema gives an object which the controller has not seen yet.
    if condition.type == "Ready" and condition.status == "Unknown" then
      reconciling = true
    end
  end
end
local failed = status.counts ~= nil and status.counts.failed > 0

local actions = {}
actions["retry"] = {
  ["disabled"] = not (stalled or failed),
  ["iconClass"] = "fa fa-fw fa-redo",
  ["displayName"] = "Retry failed instances"
}
actions["rerun"] = {
  ["disabled"] = reconciling or suspended,
  ["iconClass"] = "fa fa-fw fa-sync",
  ["displayName"] = "Run again on all instances (restarts them)"
}
actions["suspend"] = {
  ["disabled"] = suspended,
  ["iconClass"] = "fa fa-fw fa-pause",
  ["displayName"] = "Suspend: start nothing new"
}
actions["resume"] = {
  ["disabled"] = not suspended,
  ["iconClass"] = "fa fa-fw fa-play",
  ["displayName"] = "Resume"
}
return actions
